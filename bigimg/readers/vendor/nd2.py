"""Nikon ND2: meaning through the library nd2 (the extra ``bio``), the table of frames and the pixels read by ourselves.

A frame holds all channels of a plane, side by side in each pixel. It lies uncompressed, and then any part of it is
read alone, or deflated as a whole. The library maps the file, which fills resident memory, and makes zeros of frames
that were never recorded: of those that lack in the table at the end of the file. Uncompressed frames have no checksum:
a flipped bit of a pixel is not noticed.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from bigimg.errors import AGAIN, InputError, damage, reading
from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import RGB, Channel, ImageSpec
from bigimg.reader import Access
from bigimg.readers.allowed import known_channels, public_and_private
from bigimg.readers.extras import imported
from bigimg.readers.never_written import checked_written
from bigimg.readers.raw.compressed import MOST_INFLATION
from bigimg.readers.raw.plain import READ_BYTES, is_wide, natural_chunks
from bigimg.readers.several import Named, pick, pick_indices
from bigimg.readers.sniffing import read_head
from bigimg.readers.vendor.nd2_frames import MAGIC, Frames, Table, read_table
from bigimg.readers.vendor.planes import MOST_PLANES, NEVER, PlanesReader
from bigimg.types import Array

LOOPS = {
    "TimeLoop": "t", "NETimeLoop": "t", "ZStackLoop": "z", "XYPosLoop": "P", "CustomLoop": "U", "Unknown": "U",
}  # fmt: skip
"""Axes by the kind of loop, with the letters of the library."""

LIBRARY_BYTES = 8 << 20
"""Of the library and what it imports, measured and rounded up."""

ERRORS = (
    LookupError, ValueError, TypeError, AttributeError, NameError, SyntaxError, struct.error, NotImplementedError,
    AssertionError,
)  # fmt: skip
"""What the library raises for metadata that make no sense."""


def open_nd2(
    path: str,
    *,
    series: int | str | None = None,
    axis: Mapping[str, int] | None = None,
    allow_partial: bool = False,
) -> PlanesReader:
    """Return a reader of one position of an ND2.

    Parameters
    ----------
    path : str
    series : int or str, optional
        Which position, by number or name; the first one by default.
    axis : mapping of str to int, optional
        Which index along the axis U of loops that the owner's program has no name for.
    allow_partial : bool
        Take frames that were never recorded for holes.

    Raises
    ------
    InputError
        The file is of before 2010, damaged, truncated, or lacks frames, or an index must be chosen.
    UsageError
        There is no such position, or no such index.
    """
    if not read_head(path, 4).startswith(MAGIC):
        what = "is an ND2 of before 2010, with JPEG 2000 in it, which is not read"
        raise InputError(f"{path}: {what}; save it again with NIS-Elements, or export it as TIFF")
    nd2 = imported("nd2", path)
    table = read_table(path)
    with reading(path, ERRORS, AGAIN), nd2.ND2File(path) as file:
        return _reader(path, file, table, series, axis, partial=allow_partial)


def _reader(
    path: str,
    file: Any,
    table: Table,
    series: int | str | None,
    axis: Mapping[str, int] | None,
    *,
    partial: bool,
) -> PlanesReader:
    """Return the reader of one position of an open ``file``."""
    attributes, loops = file.attributes, {LOOPS[loop.type]: loop for loop in file.experiment}
    if len(loops) != len(file.experiment):
        raise InputError(f"{path}: has several loops of one kind, which is not read; export it as TIFF")
    counts = {name: loop.count for name, loop in loops.items()}
    if (frames := math.prod(counts.values())) > MOST_PLANES:
        raise damage(path, f"should have {frames} frames, and at most {MOST_PLANES} are read")
    dtype, packed = file.dtype, attributes.compressionType == "lossless"
    height, width, components = attributes.heightPx, attributes.widthPx or 1, attributes.componentCount
    row = _row(path, attributes, width * components, table.longest)
    points = loops["P"].parameters.points if "P" in loops else []
    shape = (counts.get("t", 1), components, counts.get("z", 1), height, width)
    shown = tuple(n for n, name in zip(shape, "tczyx", strict=True) if n > 1 or name in "yx")
    every = [Named(point.name or f"XYPos:{i}", shown) for i, point in enumerate(points)] or [Named("", shown)]
    position, others = pick(path, every, series)
    unnamed = {name: range(n) for name, n in counts.items() if name == "U"}
    index, said = pick_indices(path, f"series {position}", unnamed, axis)
    numbers, notes = table.numbers(counts, index | {"P": position})
    step, more = _time_step(loops["t"], table.times, numbers[:, 0, 0]) if "t" in loops else (0.0, ())
    depth = loops["z"].parameters.stepUm if "z" in loops else 0.0
    axes = _axes(shape, file, step, depth)
    dims = [each.name for each in axes]
    channels, private = known_channels(_channels(file, components))
    public, rest = public_and_private(_settings(file), "nd2")
    order = [*(name for name in dims if name != "c"), "c"] if components > 1 else dims
    whole = tuple(each.size if each.name in "cyx" else 1 for each in axes)
    spec = ImageSpec(
        axes, dtype, whole if packed else natural_chunks(axes, order), channels, meta=public,
        notes=(*notes, *more), private=rest | private, of_source=(*others, *said),
    )  # fmt: skip
    counted = [name for name in dims if name in "tz"]
    written = (numbers[:, 0] != NEVER)[tuple(slice(None) if name in dims else 0 for name in "tz")]
    spec = checked_written(spec, written, counted, source=path, allow_partial=partial)
    planes = Frames(path, table, (height, row), width * components, dtype, packed=packed)
    fixed, one = LIBRARY_BYTES + table.nbytes + 3 * numbers.nbytes, height * row * dtype.itemsize
    if packed:  # the frame that is kept; one that is decoded, and its deflated form
        access = Access("random", "frames, deflate", fixed_bytes=fixed + one, read_bytes=one + table.longest)
    else:
        wide = is_wide(dims, row * dtype.itemsize)
        access = Access("random", "uncompressed", fixed_bytes=fixed, read_bytes=READ_BYTES, wide=wide)
    return PlanesReader(spec, access, path, planes, numbers, components, paths=(path,))


def _row(path: str, attributes: Any, wanted: int, longest: int) -> int:
    """Return the values from one row of a frame to the next.

    Parameters
    ----------
    wanted : int
        Values of a row.
    longest : int
        Bytes of the longest frame in the file.

    Raises
    ------
    InputError
        A frame cannot have as many, or is compressed with loss.
    """
    if attributes.compressionType == "lossy":
        raise InputError(f"{path}: its frames are compressed with loss, which is not read; export it as TIFF")
    item = attributes.bitsPerComponentInMemory // 8
    row_bytes = attributes.widthBytes or wanted * item
    if row_bytes < wanted * item or row_bytes % item:
        raise damage(path, f"its rows of {wanted} values of {item} bytes have {row_bytes} bytes")
    most = longest * (MOST_INFLATION["zlib"] if attributes.compressionType == "lossless" else 1)
    if (expected := (attributes.heightPx - 1) * row_bytes + wanted * item) > most:
        raise damage(path, f"its frames have at most {longest} bytes, and {expected} in each are expected")
    return int(row_bytes // item)


def _axes(shape: Sequence[int], file: Any, step: float, depth: float) -> tuple[Axis, ...]:
    """Return the axes t c z y x of ``shape`` that are longer than 1.

    Parameters
    ----------
    step : float
        From one time to the next, in seconds; 0 if it is not known.
    depth : float
        From one plane to the next, in micrometres; 0 if only the calibration has it.
    """
    calibrated = [channel.volume.axesCalibrated for channel in file.metadata.channels or []]
    known = dict(zip("xyz", calibrated[0] if calibrated else (False,) * 3, strict=True))
    sizes = dict(zip("xyz", file.voxel_size(), strict=True))
    spacing = {name: sizes[name] if known[name] else 0.0 for name in "xyz"} | (
        {"z": abs(depth)} if depth else {}
    )
    spacing |= {"t": step, "c": 0.0}
    found = []
    for name, size in zip("tczyx", shape, strict=True):
        if size == 1 and name in "tcz":
            continue
        unit = "second" if name == "t" else "micrometer"
        found.append(Axis(name, size, spacing[name], unit) if spacing[name] > 0 else Axis(name, size))
    return tuple(found)


def _time_step(loop: Any, times: Array, numbers: Array) -> tuple[float, tuple[str, ...]]:
    """Return the seconds from one time to the next, 0 if they are not known, and a note.

    Parameters
    ----------
    times : ndarray of float
        When each frame was taken, in milliseconds.
    numbers : ndarray of int
        The first frame of each time.
    """
    phases = getattr(loop.parameters, "periods", [loop.parameters])
    steps = {phase.periodDiff.avg or phase.periodMs or 0.0 for phase in phases}
    if len(steps) == 1 and (step := steps.pop()) > 0:
        return step / 1000, ()
    there = np.flatnonzero((numbers != NEVER) & (numbers < len(times)))
    if len(there) > 1 and (there[-1] > there[0]):
        passed = float(times[numbers[there[-1]]] - times[numbers[there[0]]])
        if passed > 0:
            why = "the file plans no even time step; it is the mean of the recorded times"
            return passed / 1000 / int(there[-1] - there[0]), (why,)
    return 0.0, ("the file gives no even time step",)


def _channels(file: Any, components: int) -> list[Channel]:
    """Return a channel for each value of a pixel."""
    found = [each.channel for each in file.metadata.channels or []]
    if components == 3 and len(found) <= 1:
        return list(RGB)
    if len(found) * 3 == components:
        return [Channel(f"{each.name} {color.name}", color.color) for each in found for color in RGB]
    if len(found) != components:
        return []
    return [Channel(each.name, each.color.as_hex()[1:].upper()) for each in found]


def _settings(file: Any) -> dict[str, Any]:
    """Return fields of the file: how it was recorded, and texts."""
    found: dict[str, Any] = {"bitsPerComponentSignificant": file.attributes.bitsPerComponentSignificant}
    channels = file.metadata.channels or []
    for name in ("emissionLambdaNm", "excitationLambdaNm"):
        if any(waves := [getattr(each.channel, name) for each in channels]):
            found[name] = waves
    for each in channels[:1]:
        found |= {name: value for name, value in asdict(each.microscope).items() if value is not None}
    return found | {name: text for name, text in file.text_info.items() if text}
