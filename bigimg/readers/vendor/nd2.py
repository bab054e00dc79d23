"""Nikon ND2: meaning through the library nd2 (the extra ``bio``), the table of frames and the pixels read by ourselves.

A frame holds all channels of a plane, side by side in each pixel. It lies uncompressed, and then any part of it is
read alone, or deflated as a whole. The library maps the file, which fills resident memory, and makes zeros of frames
that were never recorded: of those that lack in the table at the end of the file. Uncompressed frames have no checksum:
a flipped bit of a pixel is not noticed.
"""

from __future__ import annotations

import math
import os
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import imagecodecs
import numpy as np

from bigimg.errors import AGAIN, InputError, MissingExtraError, damage, one_line, reading
from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import RGB, Channel, ImageSpec
from bigimg.reader import Access
from bigimg.readers.allowed import known_channels, public_and_private
from bigimg.readers.never_written import checked_written
from bigimg.readers.raw.compressed import MOST_INFLATION
from bigimg.readers.raw.plain import READ_BYTES, is_wide, natural_chunks, read_once
from bigimg.readers.several import Named, pick
from bigimg.readers.sniffing import read_head
from bigimg.readers.vendor.planes import MOST_PLANES, NEVER, PlanesReader, chosen, read_plane
from bigimg.types import Array, DType
from bigimg.version import install_line

MAGIC = b"\xda\xce\xbe\x0a"
"""First bytes of a file and of each chunk in it; those of before 2010 are JPEG 2000."""

TABLE_END = b"ND2 CHUNK MAP SIGNATURE 0000001!"
"""The last name in the table of chunks; it stands 40 bytes before the end of the file too, before the table's place."""

FRAME, TIMES = b"ImageDataSeq|", b"CustomData|AcqTimesCache!"
"""Names of chunks: a frame, with its number and ``!`` behind it, and the milliseconds at which each was taken."""

LOOPS = {
    "TimeLoop": "t",
    "NETimeLoop": "t",
    "ZStackLoop": "z",
    "XYPosLoop": "P",
    "CustomLoop": "U",
    "Unknown": "U",
}
"""Axes by the kind of loop, with the letters of the library."""

STAMP_BYTES = 8
"""Of the time before the pixels of a frame."""

LIBRARY_BYTES = 8 << 20
"""Of the library and what it imports, measured and rounded up."""

FRAME_BYTES = 100
"""Of an entry of the table while it is read, with its name."""

ERRORS = (
    KeyError,
    ValueError,
    TypeError,
    IndexError,
    AttributeError,
    struct.error,
    NotImplementedError,
    AssertionError,
)
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
        The file is of before 2010, damaged, truncated, or lacks frames.
    UsageError
        There is no such position, or an index must be chosen.
    """
    if not read_head(path, 4).startswith(MAGIC):
        what = "is an ND2 of before 2010, with JPEG 2000 in it, which is not read"
        raise InputError(f"{path}: {what}; save it again with NIS-Elements, or export it as TIFF")
    nd2 = import_nd2(path)
    table = _table(path)
    with reading(path, ERRORS, AGAIN), nd2.ND2File(path) as file:
        return _reader(path, file, table, series, axis, partial=allow_partial)


def _reader(
    path: str,
    file: Any,
    table: _Table,
    series: int | str | None,
    axis: Mapping[str, int] | None,
    *,
    partial: bool,
) -> PlanesReader:
    attributes, loops = file.attributes, {LOOPS[loop.type]: loop for loop in file.experiment}
    if len(loops) != len(file.experiment):
        raise InputError(f"{path}: has several loops of one kind, which is not read; export it as TIFF")
    if attributes.compressionType == "lossy":
        raise InputError(f"{path}: its frames are compressed with loss, which is not read; export it as TIFF")
    dtype, components, packed = (
        file.dtype,
        attributes.componentCount,
        attributes.compressionType == "lossless",
    )
    height, width = attributes.heightPx, attributes.widthPx or 1
    row = (attributes.widthBytes or width * components * dtype.itemsize) // dtype.itemsize
    if row < width * components:
        raise damage(path, f"its rows of {width} x {components} values are {row} values long")
    one, inflation = height * row * dtype.itemsize, MOST_INFLATION["zlib"] if packed else 1
    if one > inflation * table.longest + row * dtype.itemsize:
        raise damage(path, f"its frames have at most {table.longest} bytes, and {one} in each are expected")
    counts = {name: loop.count for name, loop in loops.items()}
    if math.prod(counts.values()) > MOST_PLANES:
        raise damage(
            path, f"should have {math.prod(counts.values())} frames, and at most {MOST_PLANES} are read"
        )
    points = loops["P"].parameters.points if "P" in loops else []
    shape = (counts.get("t", 1), components, counts.get("z", 1), height, width)
    shown = tuple(n for n, name in zip(shape, "tczyx", strict=True) if n > 1 or name in "yx")
    every = [Named(point.name or f"XYPos:{i}", shown) for i, point in enumerate(points)] or [Named("", shown)]
    position, others = pick(path, every, series)
    index = chosen(path, f"series {position}", {name: n for name, n in counts.items() if name == "U"}, axis)
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
        notes=(*notes, *more), private=rest | private, of_source=others,
    )  # fmt: skip
    counted = [name for name in dims if name in "tz"]
    written = (numbers[:, 0] != NEVER)[tuple(slice(None) if name in dims else 0 for name in "tz")]
    spec = checked_written(spec, written, counted, source=path, allow_partial=partial)
    frames = _Frames(path, table.starts, (height, row), width * components, dtype, packed=packed)
    fixed = LIBRARY_BYTES + table.nbytes + 3 * numbers.nbytes
    if packed:  # the frame that is kept; one that is decoded, and its deflated form
        access = Access("random", "frames, deflate", fixed_bytes=fixed + one, read_bytes=one + table.longest)
    else:
        wide = is_wide(dims, row * dtype.itemsize)
        access = Access("random", "uncompressed", fixed_bytes=fixed, read_bytes=READ_BYTES, wide=wide)
    return PlanesReader(spec, access, path, frames, numbers, components, paths=(path,))


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


@dataclass(frozen=True)
class _Table:
    """The frames of a file."""

    starts: Array
    """Byte of the chunk of each frame, by its number; 0 where there is none."""
    longest: int
    """Bytes of the longest frame in the file."""
    times: Array
    """Milliseconds at which frames were taken, as far as the file has them."""
    nbytes: int
    """Of memory, also to read it."""

    def numbers(self, counts: Mapping[str, int], index: Mapping[str, int]) -> tuple[Array, tuple[str, ...]]:
        """Return the numbers of frames by t, 1 and z, and a note on frames that no loop counts.

        Parameters
        ----------
        counts : mapping of str to int
            Lengths of the loops, slowest first.
        index : mapping of str to int
            Which one is taken of the loops that are neither t nor z.
        """
        count = math.prod(counts.values())
        there = np.zeros(count, bool)
        there[: len(self.starts)] = self.starts[:count] > 0
        numbers = np.where(there, np.arange(count), NEVER).reshape([*counts.values()])
        numbers = numbers[tuple(index.get(name, slice(None)) for name in counts)]
        dims = [name for name in counts if name in "tz"]
        if dims == ["z", "t"]:
            numbers = numbers.T
        found = int((self.starts > 0).sum())
        more = f"the file has {found} frames, and its loops count {count}: the others are left out"
        notes = (more,) if len(self.starts) > count else ()
        return numbers.reshape(counts.get("t", 1), 1, counts.get("z", 1)), notes


def _table(path: str) -> _Table:
    """Return the frames of a file, from the table at its end.

    Raises
    ------
    InputError
        The table is not there, or makes no sense: the file is truncated or damaged.
    """
    size, frames, times = os.path.getsize(path), dict[int, tuple[int, int]](), np.empty(0)
    wrong = "the table of its frames makes no sense"
    with reading(path, (struct.error, ValueError), AGAIN, what=wrong), open(path, "rb") as file:
        file.seek(max(0, size - 40))
        end, place = struct.unpack("<32sQ", file.read(40))
        if end != TABLE_END:
            raise damage(path, "has no table of its frames at its end")
        data, at = _chunk(file, place, size), 0
        while (name := data[at : (stop := data.index(b"!", at) + 1)]) != TABLE_END:
            start, length = struct.unpack_from("<QQ", data, stop)
            if name.startswith(FRAME):
                if not start + length <= size:
                    raise damage(path, f"ends at byte {size}, before the end of its frame {name.decode()}")
                frames[int(name[len(FRAME) : -1])] = start, length
            elif name == TIMES:
                times = np.frombuffer(_chunk(file, start, size), np.float64)
            at = stop + 16
    if not frames:
        raise InputError(f"{path}: holds no frame; record it again")
    if max(frames) >= MOST_PLANES:
        raise damage(path, f"has a frame with the number {max(frames)}, and at most {MOST_PLANES} are read")
    starts = np.zeros(max(frames) + 1, np.int64)
    starts[list(frames)] = [start for start, _ in frames.values()]
    longest = max(length for _, length in frames.values())
    return _Table(starts, longest, times, len(data) + 3 * starts.nbytes + FRAME_BYTES * len(frames))


def _chunk(file: BinaryIO, start: int, size: int) -> bytes:
    """Return the content of the chunk that begins at byte ``start`` of a file of ``size`` bytes."""
    file.seek(start)
    magic, name, length = struct.unpack("<4sIQ", file.read(16))
    if magic != MAGIC or start + 16 + name + length > size:
        raise ValueError(f"no chunk at byte {start}")
    file.seek(name, os.SEEK_CUR)
    return file.read(length)


class _Frames:
    """The frames of a file; the deflated frame that was decoded last is kept."""

    def __init__(
        self, path: str, starts: Array, shape: tuple[int, int], wanted: int, dtype: DType, *, packed: bool
    ) -> None:
        self.path, self.dtype = path, dtype.newbyteorder("<")
        self._shape, self._wanted, self._packed = shape, wanted, packed
        self._starts, self._places = starts, np.zeros((len(starts), 2), np.int64)
        self._lock, self._kept = threading.Lock(), (NEVER, np.empty(shape, dtype)[:0])

    def read_into(self, out: Array, number: int, rows: slice, columns: slice) -> None:
        """Fill ``out`` with a part of a frame."""
        if self._packed:
            out[...] = self._decoded(number)[rows, columns]
        else:
            place, _ = self._found(number)
            read_plane(out, self.path, place, self._shape, self.dtype, (rows, columns))

    def close(self) -> None:
        """Let go of the frame that is kept; no file is open."""
        with self._lock:
            self._kept = (NEVER, self._kept[1][:0])

    def _found(self, number: int) -> tuple[int, int]:
        """Return the byte of the first pixel of a frame and its length, after a look at the head of its chunk."""
        if not self._places[number, 0]:
            start, name = int(self._starts[number]), FRAME + b"%d!" % number
            head = read_once(
                self.path, start, (16 + len(name),), np.dtype(np.uint8), (slice(0, 16 + len(name)),)
            )
            magic, skip, length = struct.unpack("<4sIQ", head[:16].tobytes())
            rows, row = self._shape
            least = ((rows - 1) * row + self._wanted) * self.dtype.itemsize if not self._packed else 1
            if magic != MAGIC or head[16:].tobytes() != name or length < STAMP_BYTES + least:
                raise damage(self.path, f"frame {number} does not lie at byte {start}, where its table says")
            self._places[number] = start + 16 + skip + STAMP_BYTES, length - STAMP_BYTES
        place, length = self._places[number].tolist()
        return place, length

    def _decoded(self, number: int) -> Array:
        with self._lock:
            if self._kept[0] == number:
                return self._kept[1]
        place, length = self._found(number)
        packed = read_once(self.path, place, (length,), np.dtype(np.uint8), (slice(0, length),))
        frame = np.empty(self._shape, self.dtype)
        try:
            got = imagecodecs.deflate_decode(packed, out=memoryview(frame.reshape(-1).view(np.uint8)))
        except (imagecodecs.DeflateError, ValueError) as error:
            raise damage(self.path, f"frame {number} cannot be inflated ({one_line(error)})") from error
        if len(got) != frame.nbytes:
            raise damage(
                self.path, f"frame {number} inflates to {len(got)} bytes, and it needs {frame.nbytes}"
            )
        with self._lock:
            self._kept = (number, frame)
        return frame

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_kept": (NEVER, self._kept[1][:0])}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def import_nd2(path: str) -> Any:
    """Return the library nd2.

    Raises
    ------
    MissingExtraError
        It is not installed; the message has the line that installs it.
    """
    try:
        import nd2
    except ImportError:
        what = "is a file of Nikon, whose metadata nd2 reads, and that is not installed"
        raise MissingExtraError(f"{path}: {what}: {install_line('bio')}") from None
    return nd2
