"""What became of each of many sources: a table in a CSV file, complete at any time, and the value that is returned."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TextIO

from bigimg.errors import OutputError, counted
from bigimg.faces.many.sources import Item
from bigimg.planning.memory import human_bytes

type State = Literal["converted", "finished", "failed", "interrupted", "waiting"]
"""Converted now; finished by an earlier run; failed; stopped while it was converted; not begun."""
SHOWN = 20
"""Failures, and notes, that are printed; the report has all."""


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one source."""

    source: str
    target: str
    state: State
    seconds: float = 0.0
    bytes: int = 0
    """Of all objects of the store that was written now."""
    message: str = ""
    """Of the error; of what was converted which of several images it is, and what it lacks."""


@dataclass(frozen=True, slots=True)
class Conversions:
    """What became of all sources; prints as a few lines."""

    rows: tuple[Row, ...]
    """One for each source, in their order."""
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether each source has its store."""
        return all(row.state in ("converted", "finished") for row in self.rows)

    @property
    def failed(self) -> tuple[Row, ...]:
        """Those that were not converted, each with its message."""
        return tuple(row for row in self.rows if row.state == "failed")

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        states = Counter(row.state for row in self.rows)
        counts = {state: states[state] for state in ("converted", "finished", "failed")}
        return {"seconds": round(self.seconds, 3), **counts, "files": [asdict(row) for row in self.rows]}

    def __str__(self) -> str:
        states, stored = Counter(row.state for row in self.rows), sum(row.bytes for row in self.rows)
        waiting = f", {states['waiting']} not begun" if states["waiting"] else ""
        noted = [row for row in self.rows if row.state == "converted" and row.message]
        return "\n".join(
            [
                f"{counted(len(self.rows), 'file')}: {states['converted']} converted ({human_bytes(stored)}), "
                f"{states['finished']} finished before, {states['failed']} failed{waiting}; {self.seconds:.0f} s",
                *_listed("failed", self.failed),
                *_listed("note", noted),
            ]
        )


def _listed(what: str, rows: Sequence[Row]) -> list[str]:
    """Return a line for each of the first rows."""
    more = len(rows) - SHOWN
    lines = [f"{what}: {_named(row)}" for row in rows[:SHOWN]]
    return [*lines, *([f"and {more} more, which the report lists"] if more > 0 else [])]


def _named(row: Row) -> str:
    """Return the message of a row, with its source where the message does not name it."""
    return row.message if row.source in row.message else f"{row.source}: {row.message}"


HEADER = ",".join(field.name for field in fields(Row))


class Table:
    """Rows as they come, written to a file line by line."""

    def __init__(self, items: tuple[Item, ...], file: TextIO | None) -> None:
        self.items, self.file, self.rows = items, file, list[Row]()
        self._write(HEADER.split(","))

    def add(self, state: State, seconds: float = 0.0, stored: int = 0, message: str = "") -> None:
        """Add what became of the next source."""
        item = self.items[len(self.rows)]
        row = Row(item.source, item.target, state, round(seconds, 3), stored, " ".join(message.split()))
        self.rows.append(row)
        self._write(asdict(row).values())

    def _write(self, values: Any) -> None:
        if self.file is not None:
            csv.writer(self.file, lineterminator="\n").writerow(values)
            self.file.flush()


@contextmanager
def table(items: tuple[Item, ...], report: str | os.PathLike[str] | None) -> Iterator[Table]:
    """Give the table of ``items``; when it ends early, it says so of the source that was converted and of the others.

    Raises
    ------
    OutputError
        The report cannot be written, or would replace a file that is none.
    """
    with nullcontext() if report is None else _opened(report) as file:
        found = Table(items, file)
        try:
            yield found
        except BaseException:
            if len(found.rows) < len(items):
                found.add("interrupted")
            while len(found.rows) < len(items):
                found.add("waiting")
            raise


def _opened(report: str | os.PathLike[str]) -> TextIO:
    try:
        if os.path.lexists(report) and os.path.getsize(report):
            with open(report, encoding="utf-8", errors="replace") as old:
                if old.readline().rstrip("\n") != HEADER:
                    raise OutputError(f"{report}: exists, and is no report of bigimg: choose another name")
        return open(report, "w", encoding="utf-8", errors="surrogateescape", newline="")
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{report}: cannot be written ({error.strerror}): choose another name") from error
