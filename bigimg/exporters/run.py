"""Export: choose the pixels, lay out the file, plan the memory, write a hidden file that gets its name at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

from bigimg.conversion.progress import Meter, Report, reporting
from bigimg.conversion.target import checked_target
from bigimg.errors import UsageError
from bigimg.exporters.formats import OWNERS, Exporter, find_exporter, load
from bigimg.exporters.plan import ExportPlan, make_export_plan
from bigimg.exporters.selection import cut_indices, reader_to_write, smaller_levels
from bigimg.exporters.staging import part_of, staged
from bigimg.exporters.streaming import encode, write_plain
from bigimg.geometry.holes import said
from bigimg.opening.open import Memory, Source, levels_of_source
from bigimg.opening.sources import is_place
from bigimg.planning.disk import check_free
from bigimg.planning.lines import LIBRARIES_BYTES
from bigimg.planning.memory import human_bytes
from bigimg.planning.room import room
from bigimg.reader import Reader
from bigimg.types import FromSource, Json, Opening


@dataclass(frozen=True, slots=True)
class Exported:
    """The outcome of an export."""

    plan: ExportPlan = field(repr=False)
    target: str
    files: tuple[str, ...]
    """Paths of all files that were written: the target, and the ``.raw`` of a ``.mhd`` or ``.nhdr``."""
    stored_bytes: int
    seconds: float

    @property
    def notes(self) -> list[Json]:
        """What the format could not hold, and what the source lacks."""
        first = self.plan.levels[0]
        return [*self.plan.layout.notes, *([said(first, exported=True)] if first.missing else [])]

    def to_dict(self) -> dict[str, Json]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        plan = self.plan
        return {
            "target": self.target,
            "format": plan.format,
            "files": list(self.files),
            "dims": list(plan.levels[0].dims),
            "shape": list(plan.levels[0].shape),
            "dtype": str(plan.layout.dtype.newbyteorder("=")),
            "levels": len(plan.levels),
            "decoded_bytes": plan.read_bytes,
            "stored_bytes": self.stored_bytes,
            "scratch_bytes": plan.scratch_bytes,
            "peak_bytes": plan.peak_bytes,
            "budget_bytes": plan.budget_bytes,
            "seconds": round(self.seconds, 3),
            "notes": self.notes,
        }

    def __str__(self) -> str:
        plan = self.plan
        rate = human_bytes(plan.read_bytes / max(self.seconds, 1e-3))
        through = f", through {human_bytes(plan.scratch_bytes)} of scratch" if plan.slabs else ""
        lines = [
            f"{' and '.join(self.files)}: {plan.format}, {human_bytes(self.stored_bytes)} "
            f"({human_bytes(plan.read_bytes)} decoded, {len(plan.levels)} levels)",
            f"{self.seconds:.1f} s, {rate}/s{through}, {human_bytes(plan.peak_bytes)} of memory planned of "
            f"{human_bytes(plan.budget_bytes)} allowed",
        ]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def export(
    img: Source,
    target: str | os.PathLike[str],
    *,
    memory: Memory = None,
    level: int = 0,
    plane: str | None = None,
    index: int | None = None,
    position: float | None = None,
    t: int | None = None,
    channel: int | str | None = None,
    raw: bool = False,
    compression: str | None = None,
    quality: int | None = None,
    version: int | None = None,
    keep_metadata: bool = False,
    progress: bool | Report | None = None,
    levels: FromSource | None = None,
    **opening: Unpack[Opening],
) -> Exported:
    """Write an image, or a plane of it, to a file that other programs read; its ending names the format.

    Pixels are read and written in portions that fit the budget. The file gets its name when it is complete, and never
    replaces another file.

    Parameters
    ----------
    img : path, URL, DataArray, DataTree, array, Store or Reader
    target : path
        Ending in ``.nii .nii.gz .mha .mhd .nrrd .nhdr .npy .tif .ome.tif .png .jpg``; must not exist.
    memory : int or str, optional
        Budget of resident memory for this whole process, as bytes or ``"512MB"``.
    level : int
        Of a pyramid: 0 is full resolution, -1 the smallest.
    plane : str, optional
        Write one plane: ``axial``, ``coronal``, ``sagittal``, or the name of the axis across it.
    index, position : int, float, optional
        Position along that axis, in pixels or in its unit; the middle by default.
    t : int, optional
        Write one time.
    channel : int or str, optional
        Write one channel, by number or name.
    raw : bool
        Write stored values if the source declares a slope that the format cannot hold; by default real values are
        written. An array is written as it is.
    compression : {"deflate", "zstd", "none"}, optional
        Of TIFF; deflate by default.
    quality : int, optional
        Of JPEG, 1 to 100; 90 by default.
    version : {1, 2}, optional
        Of NIfTI; 1 unless an axis is longer than 32767 pixels. NIfTI-2 keeps geometry in 64 bits.
    keep_metadata : bool
        Of NIfTI: copy the texts of the header of another NIfTI, which may tell who was imaged. Other formats have no
        place for them.
    progress : bool or callable, optional
        As in :func:`bigimg.convert`.
    levels : {"source"}, optional
        As in :func:`bigimg.open`.
    **opening
        Options of the source: see :class:`bigimg.types.Opening`.

    Returns
    -------
    Exported
        Files, bytes, seconds, and the plan.

    Raises
    ------
    UsageError
        No format has this ending, or it cannot hold the axes or the type; the message names one that can.
    BudgetError
        The export does not fit ``memory``.
    TargetExistsError
        The target exists; nothing was changed.
    InputError, OutputError
        The source cannot be read, or the target cannot be written; nothing is left behind.
    """
    exporter = find_exporter(target)
    given = {
        "compression": compression, "quality": quality, "version": version, "keep_metadata": keep_metadata or None,
    }  # fmt: skip
    options = {name: value for name, value in given.items() if value is not None}
    for name, value in options.items():
        if name not in exporter.options:
            raise UsageError(
                f"{name}={value!r} is an option of {OWNERS[name]}, not of {exporter.title}: leave it out"
            )
    load(exporter)  # a missing library is an error before the source is opened
    found = levels_of_source(img, progress=progress, memory=memory, levels=levels, **opening)
    readers = list(found.starting(level))
    try:
        cut = cut_indices(readers[0].spec, plane, index, position, t, channel)
        stored = raw or exporter.keeps_scaling
        chosen = [reader_to_write(reader, cut, raw=stored) for reader in smaller_levels(readers, cut)]
        return write_out(
            chosen, target, exporter, sources=(img, *readers), options=options, memory=memory, progress=progress,
        )  # fmt: skip
    finally:
        if is_place(img):  # a source that the caller opened stays open
            for reader in readers:
                reader.close()


def write_out(
    chosen: Sequence[Reader],
    target: str | os.PathLike[str],
    exporter: Exporter,
    *,
    sources: Sequence[object],
    options: Mapping[str, Any] | None = None,
    memory: Memory = None,
    overwrite: bool | None = None,
    progress: bool | Report | None = None,
    libraries: int = LIBRARIES_BYTES,
) -> Exported:
    """Write levels as they are to ``target``: laid out, planned inside the budget, whole or not at all.

    Parameters
    ----------
    chosen : sequence of Reader
        The largest first.
    sources : sequence
        What is never written over.
    options : mapping, optional
        Options of the format by name.
    overwrite : bool, optional
        Whether a file that is there may be replaced; None where nobody can ask for it.
    libraries : int
        Bytes of what may still be imported: less where most was imported to look at the pixels.

    Raises
    ------
    UsageError, BudgetError, TargetExistsError, InputError, OutputError
        As :func:`export`.
    """
    layout = load(exporter)([reader.spec for reader in chosen], Path(target), **(options or {}))
    files = [layout.pixels_file or Path(target), *([layout.header_file[0]] if layout.header_file else [])]
    paths = [checked_target(file, *sources, *chosen, overwrite=overwrite, file=True) for file in files]
    chosen = chosen[: layout.levels]
    draft = ExportPlan(
        chosen[0].source, os.fspath(target), exporter.title, tuple(reader.spec for reader in chosen), layout, (), (),
        room(memory).allowed, (),
    )  # fmt: skip
    working = max(getattr(reader, "working", 0.0) for reader in chosen)
    plan = make_export_plan(draft, [reader.access for reader in chosen], working=working, libraries=libraries)
    check_free(plan.target, paths[-1].parent, plan.disk_bytes)
    started = time.monotonic()
    with reporting(progress) as report, staged(paths, overwrite=bool(overwrite)) as parts:
        meter = Meter(plan.read_bytes * (2 if plan.slabs else 1), report)
        meter.stage = "export"
        if layout.header_file is not None:
            parts[-1].write_bytes(layout.header_file[1])
        with open(parts[0], "r+b") as file:
            if layout.encode is None and not layout.gzip:
                write_plain(plan, chosen[0], file, meter)
            else:
                encode(plan, chosen, file, meter, part_of(paths[-1]))
        stored = sum(part.stat().st_size for part in parts)
    written = (plan.target, *([] if layout.pixels_file is None else [str(layout.pixels_file)]))
    return Exported(plan, plan.target, written, stored, time.monotonic() - started)
