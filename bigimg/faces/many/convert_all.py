"""``plan_all`` and ``convert_all``: each of many files becomes a store by itself, whole or absent."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigimg.conversion.commit import is_full
from bigimg.conversion.plates import PlateResult
from bigimg.conversion.progress import Meter, Report, reporting
from bigimg.errors import BigimgError, OutputError, counted
from bigimg.faces.convert import convert_source, parted, plan
from bigimg.faces.many.finished import is_finished
from bigimg.faces.many.report import Conversions, table
from bigimg.faces.many.sources import Item, items_of
from bigimg.geometry.holes import on_missing
from bigimg.planning.disk import check_free, free_bytes
from bigimg.planning.memory import human_bytes
from bigimg.planning.options import Options, options
from bigimg.planning.plate_plan import PlatePlan
from bigimg.readers.folders.pattern import files_that_follow, is_pattern
from bigimg.readers.several import on_others
from bigimg.types import Json, Opening

if TYPE_CHECKING:
    from distributed import Client

SAMPLES = 5
"""Files whose stores are estimated, one second each: their share of the source is taken for that of all."""
SURELY = 60
"""How many times larger than its source no usual store is: with so much room nothing is estimated."""

type Sources = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


@dataclass(frozen=True, slots=True)
class ManyPlan:
    """What converting many files would do; prints as a table."""

    items: tuple[Item, ...]
    finished: tuple[bool, ...]
    """Of each, whether its store is there already."""
    source_bytes: tuple[int, ...]
    needed_bytes: int | None
    """Disk for the stores that are not there, estimated from a few; None where there is room in any case."""
    free_bytes: int

    def to_dict(self) -> dict[str, Json]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        files: list[Json] = [
            {"source": item.source, "target": item.target, "finished": done, "bytes": size}
            for item, done, size in zip(self.items, self.finished, self.source_bytes, strict=True)
        ]
        return {"files": files, "needed_bytes": self.needed_bytes, "free_bytes": self.free_bytes}

    def __str__(self) -> str:
        pairs = zip(self.items, self.finished, strict=True)
        lines = [f"{item.source} -> {item.target}{' (finished)' if done else ''}" for item, done in pairs]
        size, left = sum(self.source_bytes), len(self.items) - sum(self.finished)
        about = "" if self.needed_bytes is None else f", about {human_bytes(self.needed_bytes)} of disk"
        lines.append(
            f"{counted(len(self.items), 'file')}, {human_bytes(size)}: {left} to convert{about} "
            f"({human_bytes(self.free_bytes)} free)"
        )
        return "\n".join(lines)


def plan_all(sources: Sources, into: str | os.PathLike[str], **settings: Any) -> ManyPlan:
    """Return what :func:`convert_all` would do; a few of the files are opened, and nothing is written.

    Raises
    ------
    InputNotFoundError, UsageError
        As :func:`convert_all`.
    """
    _, opening, others = parted(settings)
    asked = options(**others)
    return _planned(_items(sources, into, asked, opening), into, asked, opening, settings)


def convert_all(
    sources: Sources,
    into: str | os.PathLike[str],
    *,
    report: str | os.PathLike[str] | None = None,
    executor: Executor | Client | None = None,
    progress: bool | Report | None = None,
    resume: bool = True,
    overwrite: bool = False,
    sync: bool = True,
    **settings: Any,
) -> Conversions:
    """Convert each of many files, or plates, to a store of its own in the folder ``into``, one after the other.

    What fails is listed and passed by. A later run skips what is finished: the store of the same source, with the same
    options. It goes on with what was interrupted.

    Parameters
    ----------
    sources : path, pattern or address, or several of them
        A folder is looked through, with the folders in it, by the names of files. A store, a plate as a microscope left
        it, and a folder of DICOM files are one source each, and so are a pattern with fields as ``{well}``, which gets
        the name of its folder, and with ``pattern`` each folder. The folders in a folder, and those that a pattern
        with ``*`` leaves open, are kept below ``into``. Of a store that holds several images, as bioformats2raw makes
        them, each becomes a store, ``a/0.ome.zarr`` and so on, unless ``series`` chooses one.
    into : path
        Made if it does not exist. A file ``a.svs`` becomes ``a.ome.zarr``, and with ``levels_only``
        ``a.levels.ome.zarr``.
    report : path, optional
        A CSV file with a line for each source: source, target, state, seconds, bytes, message. The state is
        ``converted``, ``finished`` (by an earlier run), ``failed``, or of a run that was stopped ``interrupted`` and
        ``waiting``; once the disk is full the others wait. It is written line by line. The message is that of the
        error, or says which image of a file that holds several was converted, and what the source lacks.
    executor, progress, resume, overwrite, sync :
        As in :func:`bigimg.convert`; the progress is that of all files, in bytes of the sources. On a cluster too one
        file follows the other, each on all workers.
    **settings
        As in :func:`bigimg.convert`, for all files.

    Returns
    -------
    Conversions
        ``.rows``, one for each source; ``.ok``; ``.failed``; ``.to_dict()``.

    Raises
    ------
    UsageError
        Two sources would become one store, or an option is wrong.
    InputNotFoundError
        A pattern matches nothing, or a folder holds no image.
    OutputError
        The disk has no room for all, or the report cannot be written.
    """
    return convert_each(
        sources, into, report=report, executor=executor, progress=progress, resume=resume, overwrite=overwrite,
        sync=sync, **settings,
    )  # fmt: skip


def convert_each(
    sources: Sources,
    into: str | os.PathLike[str],
    *,
    report: str | os.PathLike[str] | None = None,
    worded: Callable[[BigimgError], str] = str,
    executor: Executor | Client | None = None,
    progress: bool | Report | None = None,
    resume: bool = True,
    overwrite: bool = False,
    sync: bool = True,
    **settings: Any,
) -> Conversions:
    """Convert as :func:`convert_all` does; ``worded`` gives the message of an error in the words of the caller."""
    _, opening, others = parted(settings)
    asked = options(**others)
    items = _items(sources, into, asked, opening)
    started = time.monotonic()
    try:
        Path(into).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{into}: cannot be made ({error.strerror}): choose another folder") from error
    planned = _planned(items, into, asked, opening, settings)
    _check_room(planned, into)
    whole = sum(size for size, done in zip(planned.source_bytes, planned.finished, strict=True) if not done)
    full = False
    with table(items, report) as rows, reporting(progress) as tell:
        meter = Meter(whole, tell)
        for number, item in enumerate(items):
            if planned.finished[number]:
                rows.add("finished")
                continue
            if full:
                rows.add("waiting")
                continue
            inner = meter.share(f"{number + 1} of {len(items)} files", planned.source_bytes[number])
            begun = time.monotonic()
            try:
                Path(item.target).parent.mkdir(parents=True, exist_ok=True)
                result = convert_source(
                    item.source, item.target, executor=executor, progress=inner or False, resume=resume,
                    overwrite=overwrite, sync=sync, **settings | _chosen(item),
                )  # fmt: skip
                which = "" if isinstance(result, PlateResult) else on_others(result.plan.spec.of_source)
                which = which or ("" if item.series is None else f"series {item.series}")
                note = "; ".join(filter(None, [which, on_missing(result.plan.notes)]))
                rows.add("converted", time.monotonic() - begun, result.stored_bytes, note)
            except Exception as error:  # whatever it is, the other files are not to suffer from it
                message = (
                    worded(error)
                    if isinstance(error, BigimgError)
                    else f"{item.source}: {type(error).__name__}: {error}"
                )
                rows.add("failed", time.monotonic() - begun, message=message)
                full = is_full(error)
                del error
                gc.collect()  # it held what its frames held, such as the pixels of a block
            meter.done += planned.source_bytes[number]
    return Conversions(tuple(rows.rows), time.monotonic() - started)


def _items(
    sources: Sources, into: str | os.PathLike[str], asked: Options, opening: Opening
) -> tuple[Item, ...]:
    ending = ".levels.ome.zarr" if asked.levels_only else ".ome.zarr"
    return items_of(
        sources, into, ending, whole=opening.get("pattern") is not None, each=opening.get("series") is None
    )


def _chosen(item: Item) -> dict[str, str]:
    """Return the option of the source that chooses the image of an item."""
    return {} if item.series is None else {"series": item.series}


def _planned(
    items: tuple[Item, ...], into: str | os.PathLike[str], asked: Options, opening: Opening,
    settings: Mapping[str, Any],
) -> ManyPlan:  # fmt: skip
    sizes = tuple(_size(item.source) for item in items)
    finished = tuple(is_finished(item, asked, opening) for item in items)
    free = free_bytes(_existing(Path(os.path.abspath(into))))
    todo = [(size, item) for size, item, done in zip(sizes, items, finished, strict=True) if not done]
    needed = None
    if (size := sum(size for size, _ in todo)) * SURELY > free and (
        times := _grows(todo, settings)
    ) is not None:
        needed = int(size * times)
    return ManyPlan(items, finished, sizes, needed, free)


def _grows(todo: list[tuple[int, Item]], settings: Mapping[str, Any]) -> float | None:
    """Return how many times larger stores are than their sources, by a few of them of all sizes; None if unknown."""
    ordered = sorted(todo, key=lambda pair: pair[0])
    some = (
        [ordered[i * len(ordered) // SAMPLES] for i in range(SAMPLES)] if len(ordered) > SAMPLES else ordered
    )
    sizes = stored = 0
    for size, item in some:
        beside = Path(_existing(Path(item.target)), ".bigimg.ome.zarr")
        try:
            planned = plan(item.source, beside, **{**settings, **_chosen(item)})
        except BigimgError:  # it fails by itself later, with its message
            continue
        if isinstance(planned, PlatePlan):
            sizes, stored = sizes + size, stored + int(planned.decoded_bytes / planned.compression)
        elif planned.estimate is not None:
            sizes, stored = sizes + size, stored + planned.estimate.output_bytes
    return stored / sizes if sizes else None


def _check_room(planned: ManyPlan, into: str | os.PathLike[str]) -> None:
    left = len(planned.items) - sum(planned.finished)
    if planned.needed_bytes is not None:
        who = f"{left} stores (of which {min(left, SAMPLES)} were looked at)" if left > 1 else ""
        ways = ["levels_only=True", "give fewer files"]
        check_free(into, Path(into), 0, about=planned.needed_bytes, who=who, ways=ways)


def _size(source: str) -> int:
    """Return the bytes of a source; 0 of what is not there."""
    if not os.path.lexists(source) and is_pattern(source):
        try:
            return sum(map(os.path.getsize, files_that_follow(source)[0].names))
        except BigimgError:  # it fails when it is converted, with its message
            return 0
    if os.path.isdir(source):
        return sum(_size(os.path.join(where, name)) for where, _, names in os.walk(source) for name in names)
    try:
        return os.path.getsize(source)
    except OSError:
        return 0


def _existing(folder: Path) -> Path:
    """Return ``folder``, or the nearest folder above it that exists."""
    return next(each for each in (folder, *folder.parents) if each.is_dir())
