"""The findings of a check, and the report made of them: for people, and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, cast

from bigimg.errors import counted
from bigimg.planning.memory import human_bytes
from bigimg.types import Shape

type Problem = Literal["missing", "corrupt", "extra", "metadata", "derived", "statistics", "source"]
"""An object is gone; has other bytes; is not ours; metadata contradicts itself; a level, or statistics, do not follow
from the pixels; level 0 differs from the source."""
LONGEST_LIST = 100_000
"""Findings of one check, some 300 bytes each: the findings on a store full of damage must not fill the memory."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and where."""

    kind: Problem
    file: str
    """Path inside the store."""
    message: str
    """What is wrong and what to do, on one line."""
    array: str | None = None
    """Path of the array inside the store; None for what belongs to the whole image."""
    level: int | None = None
    shard: Shape | None = None
    """Index in the grid of objects."""
    chunk: Shape | None = None
    """Index in the grid of chunks of the whole array; None when it is the whole object."""

    def __str__(self) -> str:
        return f"{self.file}: {self.message}"


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """What ``bigimg.verify`` found; prints as a short table."""

    store: str
    source: str | None
    """What the pixels were compared with."""
    quick: bool
    """Only presence, lengths and metadata were looked at."""
    findings: tuple[Finding, ...]
    doubts: tuple[Finding, ...]
    """Absent chunks of a store of others: lost, or left out because they hold the fill value."""
    notes: tuple[str, ...]
    """What could not be checked, a sentence each."""
    edits: tuple[str, ...]
    """What others edited of the metadata since bigimg wrote it, a line each; no damage."""
    objects: int
    """Objects looked at, metadata included."""
    decoded_bytes: int
    """Pixels decoded, each level once."""
    seconds: float
    peak_bytes: int | None = None
    """Planned peak of resident memory; None for a quick check, which needs next to nothing."""
    budget_bytes: int | None = None
    accepted: bool = False
    """Whether the edits were taken over, so that the next check finds none."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; an edit of the metadata is not."""
        return not self.findings

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        values = asdict(replace(self, seconds=round(self.seconds, 3))) | {"ok": self.ok}
        return cast(dict[str, Any], json.loads(json.dumps(values)))  # lists instead of tuples

    @property
    def verdict(self) -> str:
        """One line: the store, what was looked at, and whether it is intact."""
        count = len(self.findings)
        message = f"{count} thing{'s' if count > 1 else ''} wrong"
        if self.ok:
            message = "nothing wrong found, see the notes" if self.notes else "intact"
            if self.edits:
                way = "taken over" if self.accepted else "accept=True takes them over"
                message = f"nothing damaged, {counted(len(self.edits), 'edit')} of the metadata ({way})"
        looked = f"{self.objects} objects"
        if self.decoded_bytes:
            looked += f", {human_bytes(self.decoded_bytes)} of pixels"
        against = f", compared with {self.source}" if self.source else ""
        how = "quick check" if self.quick else "full check"
        return f"{self.store}: {message} ({how} of {looked}{against}, {self.seconds:.1f} s)"

    def __repr__(self) -> str:
        lines = [self.verdict]
        lines += [f"  {item.kind:10} {item}" for item in self.findings]
        lines += [f"  {'edited':10} {edit}" for edit in self.edits]
        lines += [f"  {'doubt':10} {item}" for item in self.doubts]
        lines += [f"  {'note':10} {note}" for note in self.notes]
        return "\n".join(lines)


class Findings:
    """Collects findings, each one once, from one thread."""

    def __init__(self) -> None:
        self._found: dict[Finding, None] = {}
        self._objects: set[tuple[int, Shape]] = set()
        self.doubts: list[Finding] = []
        self.notes: list[str] = []
        self.edits: list[str] = []
        self.objects = 0
        self.decoded_bytes = 0

    def add(self, *findings: Finding) -> None:
        """Add new findings; a whole object that is lost or damaged gets one finding."""
        for finding in findings:
            if finding.shard is not None and finding.level is not None and finding.chunk is None:
                if (finding.level, finding.shard) in self._objects:
                    continue
                self._objects.add((finding.level, finding.shard))
            self._add(finding)

    def _add(self, finding: Finding) -> None:
        if len(self._found) < LONGEST_LIST:
            self._found[finding] = None
        elif finding not in self._found:
            self.note(f"only the first {LONGEST_LIST} findings are listed")

    def add_image(self, path: str, others: Findings) -> None:
        """Add the findings on the image at ``path`` inside this one."""
        for finding in others._found:
            array = path if finding.array is None else f"{path}/{finding.array}"
            self._add(replace(finding, file=f"{path}/{finding.file}", array=array))
        self.doubts += [replace(doubt, file=f"{path}/{doubt.file}") for doubt in others.doubts]
        self.edits += [f"{path}/{edit}" for edit in others.edits]
        for note in others.notes:
            self.note(f"{path}: {note}")
        self.objects += others.objects
        self.decoded_bytes += others.decoded_bytes

    @property
    def damaged(self) -> bool:
        """Whether anything was found."""
        return bool(self._found)

    @property
    def lost(self) -> bool:
        """Whether anything but objects of others was found."""
        return any(finding.kind != "extra" for finding in self._found)

    def note(self, text: str) -> None:
        """Add a sentence on what could not be checked."""
        if text not in self.notes:
            self.notes.append(text)

    def report(self, **rest: Any) -> Report:
        """Return the report, findings in the order of files and chunks."""
        ordered = sorted(self._found, key=_order)
        return Report(
            findings=tuple(ordered), doubts=tuple(self.doubts), notes=tuple(self.notes),
            edits=tuple(self.edits), objects=self.objects, decoded_bytes=self.decoded_bytes, **rest,
        )  # fmt: skip


def _order(finding: Finding) -> tuple[Any, ...]:
    none = finding.level is None
    return none, finding.level or 0, finding.shard or (), finding.chunk or (), finding.file, finding.message
