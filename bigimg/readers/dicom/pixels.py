"""Pixels of one DICOM file: uncompressed ones are read by window, all others are decoded frame by frame.

Only the table of frames of a compressed file stays in memory between reads, and no file stays open, so a series may
have thousands of files. pydicom and its plugins decode, convert YBR to RGB, and give signed values.
"""

from __future__ import annotations

import io
import struct
import threading
import zlib
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from bigimg.errors import DAMAGED, InputError, damage, reading
from bigimg.readers.coded_sizes import check_coded_size
from bigimg.readers.codestreams import jpeg_is_cut
from bigimg.readers.raw.compressed import read_bytes
from bigimg.readers.raw.plain import read_once
from bigimg.readers.raw.streams import Packing
from bigimg.types import Array, DType

DEFLATED = "1.2.840.10008.1.2.1.99"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
NATIVE = (IMPLICIT, EXPLICIT, BIG_ENDIAN)
RLE = "1.2.840.10008.1.2.5"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"

MOST_INFLATED = 64 << 20
"""Bytes that a deflated file may inflate to: it can only be read whole, and does not say its size."""
RLE_RATIO = 64
"""Bytes that one byte of run lengths stands for at most: two bytes stand for 128."""


@dataclass(frozen=True)
class Pixels:
    """The pixels of one file."""

    path: str
    syntax: str
    """UID of the transfer syntax."""
    offset: int
    """Byte of the first pixel, or of the table of fragments."""
    length: int
    """Bytes of the pixels; up to the end of the file when the header does not say."""
    keyword: str
    vr: str
    frames: int
    rows: int
    columns: int
    samples: int
    photometric: str
    planar: int
    allocated: int
    stored: int
    high: int
    signed: bool
    packing: Packing | None = None
    """How the file is compressed as a whole."""
    unpacked: int = 0
    """Bytes of the file, uncompressed."""
    across: int = 1
    """Pictures in a row of a Siemens mosaic, and in a column; each of them is a frame to those who read."""
    palette: Array | None = field(default=None, compare=False)
    """Of shape (values, 3): the colour of each value."""
    _table: _FrameTable = field(default_factory=lambda: _FrameTable(), compare=False, repr=False)

    @property
    def colored(self) -> bool:
        """Whether a pixel has several samples, or stands for a colour."""
        return self.samples > 1 or self.palette is not None

    @property
    def dtype(self) -> DType:
        """Of a decoded value, before the palette."""
        if self.keyword != "PixelData":
            return np.dtype(np.float32 if self.keyword == "FloatPixelData" else np.float64)
        if self.allocated == 1:
            return np.dtype(np.uint8)
        return np.dtype(f"{'i' if self.signed else 'u'}{self.allocated // 8}")

    @property
    def height(self) -> int:
        """Rows of what :meth:`read` takes for a frame."""
        return self.rows // self.across

    @property
    def width(self) -> int:
        """Columns of what :meth:`read` takes for a frame."""
        return self.columns // self.across

    @property
    def packed(self) -> bool:
        """Whether the file is compressed as a whole, and read as a whole."""
        return self.syntax == DEFLATED or self.packing is not None

    @property
    def native(self) -> bool:
        """Whether the pixels are not compressed."""
        return not self.packed and self.syntax in NATIVE

    @property
    def plain(self) -> bool:
        """Whether any window can be read without decoding the frame."""
        swapped = self.syntax == BIG_ENDIAN and self.allocated <= 8 and self.vr == "OW"
        colour = self.photometric.startswith("YBR") or (self.allocated == 1 and self.samples > 1)
        return self.native and not swapped and not colour

    @property
    def plane_bytes(self) -> int:
        """Of one decoded frame."""
        return self.rows * self.columns * self.samples * self.dtype.itemsize

    def read(self, frame: int, rows: slice, columns: slice) -> Array:
        """Return a window of a frame, of shape (y, x), or (c, y, x) in colour.

        Raises
        ------
        InputError
            The file is corrupt or shorter than it says.
        """
        if self.across > 1:
            (down, right), frame = divmod(frame, self.across), 0
            rows = slice(rows.start + down * self.height, rows.stop + down * self.height)
            columns = slice(columns.start + right * self.width, columns.stop + right * self.width)
        if not self.plain:
            plane = self._decoded(frame)[rows, columns]
        elif self.allocated == 1:
            plane = self._bits(frame, rows, columns)
        else:
            plane = self._window(frame, rows, columns)
        if self.palette is not None:
            plane = self.palette[np.minimum(plane, len(self.palette) - 1)]
        return plane if plane.ndim == 2 else np.moveaxis(plane, -1, 0)

    def close(self) -> None:
        """Drop the inflated pixels; no file is open between reads."""
        self._table.whole = None

    def _window(self, frame: int, rows: slice, columns: slice) -> Array:
        dtype = self.dtype.newbyteorder(">" if self.syntax == BIG_ENDIAN else "<")
        shape: tuple[int, ...] = (self.frames, self.rows, self.columns)
        region: tuple[slice, ...] = (slice(frame, frame + 1), rows, columns)
        if self.samples > 1:
            at = 1 if self.planar else 3
            shape = (*shape[:at], self.samples, *shape[at:])
            region = (*region[:at], slice(0, self.samples), *region[at:])
        window = read_once(self.path, self.offset, shape, dtype, region)[0]
        if dtype.kind != "f" and self.stored < self.allocated:  # the other bits are not part of the value
            np.left_shift(window, self.allocated - 1 - self.high, out=window)
            np.right_shift(window, self.allocated - self.stored, out=window)
        return np.moveaxis(window, 0, -1) if self.samples > 1 and self.planar else window

    def _bits(self, frame: int, rows: slice, columns: slice) -> Array:
        """Return a window of a frame that may begin within a byte; pydicom 3.0 gives too little of those."""
        first = (frame * self.rows + rows.start) * self.columns
        last = (frame * self.rows + rows.stop) * self.columns
        size = -(-self.frames * self.rows * self.columns // 8)
        part = (slice(first // 8, -(-last // 8)),)
        packed = read_once(self.path, self.offset, (size,), np.dtype(np.uint8), part)
        bits = np.unpackbits(packed, bitorder="little")[first % 8 :][: last - first]
        return bits.reshape(-1, self.columns)[:, columns]

    def _decoded(self, frame: int) -> Array:
        """Return a whole frame of shape (y, x) or (y, x, c)."""
        from pydicom.encaps import encapsulate
        from pydicom.pixels import get_decoder

        if self.packed:
            return self._inflated(frame)
        decoder = get_decoder(self.syntax)
        # What pydicom and its plugins raise for damaged frames, and NotImplementedError for kinds that a plugin lacks.
        errors = (RuntimeError, ValueError, NotImplementedError, EOFError, OSError, struct.error)
        with (
            reading(self.path, errors, DAMAGED, what=f"frame {frame} cannot be decoded"),
            open(self.path, "rb") as file,
        ):
            options = self._options(file)
            if self.syntax == RLE:  # before memory is allocated for what its bytes cannot hold
                if self.length * RLE_RATIO * self.frames < self.plane_bytes:
                    raise ValueError(f"{self.length} bytes of run lengths cannot hold {self.plane_bytes}")
                options["decoding_plugin"] = "pydicom"  # pylibjpeg-rle panics on damaged bytes
            elif not self.native:
                coded = self._coded(file, frame, options)
                if self.syntax == JPEG_EXTENDED and self.stored > 8 and self.samples == 1:
                    # Of 12 bits; of pydicom's plugins only one under the GPL decodes it.
                    import imagecodecs

                    return self._checked(imagecodecs.jpeg8_decode(coded), frame)
                if self._table.fragments:  # which pydicom would not put together
                    options["number_of_frames"] = 1
                    array, _ = decoder.as_array(encapsulate([coded]), index=0, validate=False, **options)
                    return self._checked(array, frame)
            file.seek(self.offset)
            array, _ = decoder.as_array(file, index=frame, validate=False, **options)
        return self._checked(array, frame)

    def _inflated(self, frame: int) -> Array:
        with self._table.lock:
            if self._table.whole is None:
                from pydicom import dcmread

                errors = (RuntimeError, ValueError, AttributeError, EOFError)
                wrong = reading(self.path, errors, DAMAGED, what="its pixels make no sense")
                with wrong, opened(self.path, self.packing) as file:
                    if self.syntax == DEFLATED:
                        inflated_bytes(self.path, file)
                        file.seek(0)
                    self._table.whole = dcmread(file, force=True).pixel_array
            whole = self._table.whole
        return self._checked(whole[frame] if self.frames > 1 else whole, frame)

    def _checked(self, array: Array, frame: int) -> Array:
        """Return a decoded frame; refuse one that is not as the header says."""
        shape = (self.rows, self.columns) if self.samples == 1 else (self.rows, self.columns, self.samples)
        if array.shape != shape or not np.can_cast(array.dtype, self.dtype, "same_kind"):
            what = f"frame {frame} decodes to {array.dtype} of shape {array.shape}"
            raise damage(self.path, f"{what}, but the header says {self.dtype} of shape {shape}")
        return array.astype(self.dtype, copy=False)

    def _options(self, file: BinaryIO) -> dict[str, Any]:
        options: dict[str, Any] = {
            "rows": self.rows, "columns": self.columns, "samples_per_pixel": self.samples,
            "photometric_interpretation": self.photometric, "number_of_frames": self.frames,
            "bits_allocated": self.allocated, "bits_stored": self.stored,
            "pixel_representation": int(self.signed), "pixel_keyword": self.keyword, "pixel_vr": self.vr,
        }  # fmt: skip
        if self.samples > 1:
            options["planar_configuration"] = self.planar
        if not self.native and self.frames > 1:
            with self._table.lock:
                if self._table.found is None:  # without it, pydicom would search the file for every frame
                    self._table.fragments, self._table.found = _find_frames(file, self.offset, self.frames)
                options |= self._table.found
        return options

    def _coded(self, file: BinaryIO, frame: int, options: dict[str, Any]) -> bytes:
        """Return the bytes of a compressed frame; refuse a JPEG that is cut, which decoders may not notice."""
        from pydicom.encaps import get_frame

        if self._table.fragments:
            coded = b"".join(_at(file, *part) for part in self._table.fragments[frame])
        else:
            file.seek(self.offset)
            table = options.get("extended_offsets")
            coded = get_frame(file, frame, number_of_frames=self.frames, extended_offsets=table)
        if jpeg_is_cut(coded):
            raise ValueError("its JPEG stream has no end")
        check_coded_size(coded, self.rows * self.columns * self.samples)
        return coded


class _FrameTable:
    """The table of frames of a compressed file, found at the first read, or the pixels of a deflated file."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.found: dict[str, Any] | None = None
        self.fragments: list[list[tuple[int, int]]] = []
        """First byte and length of the fragments of each frame, where they are several and no table says which."""
        self.whole: Array | None = None

    def __reduce__(self) -> tuple[type[_FrameTable], tuple[()]]:
        return _FrameTable, ()


type Fragments = list[list[tuple[int, int]]]


def _find_frames(file: BinaryIO, offset: int, frames: int) -> tuple[Fragments, dict[str, Any]]:
    """Return the fragments of each frame where a frame has several, otherwise the table of pydicom for its frames."""
    from pydicom.encaps import parse_basic_offsets, parse_fragments

    file.seek(offset)
    own_table = parse_basic_offsets(file)
    first = file.tell()
    count, starts = parse_fragments(file)
    if (
        count != frames and len(own_table) == frames
    ):  # a frame has several, and the table of the file says which
        return [], {}
    lengths = [struct.unpack("<L", _at(file, start + 4, 4))[0] for start in starts]
    if count == frames:
        return [], {"extended_offsets": ([start - first for start in starts], lengths)}
    parts = [(start + 8, length) for start, length in zip(starts, lengths, strict=True)]
    found: Fragments = []
    for i, part in enumerate(
        parts
    ):  # a frame begins as the first one does, where another has come to its end
        if not i or (_at(file, part[0], 2) == _at(file, parts[0][0], 2) and _ends(file, *parts[i - 1])):
            found.append([])
        found[-1].append(part)
    if len(found) != frames:
        what = f"{count} fragments for {frames} frames, and no table says which belong together"
        raise ValueError(f"{what}: {len(found)} of them begin a picture")
    return found, {}


def _at(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)


def _ends(file: BinaryIO, start: int, length: int) -> bool:
    """Return whether a fragment has the end of a JPEG, JPEG-LS or JPEG 2000 picture."""
    return _at(file, start + max(length - 4, 0), min(length, 4)).rstrip(b"\0").endswith(b"\xff\xd9")


def opened(path: str, packing: Packing | None) -> BinaryIO:
    """Return the open file at ``path``, or where it is compressed as a whole what is inside, in memory.

    Raises
    ------
    InputError
        It cannot be unpacked, or has more than ``MOST_INFLATED`` bytes.
    """
    if packing is None:
        return open(path, "rb")
    content = read_bytes(path, MOST_INFLATED + 1, what=f"is in {packing} and cannot be unpacked")
    if len(content) > MOST_INFLATED:
        raise _too_large(path, f"in {packing}", "unpack it first")
    return io.BytesIO(content)


def inflated_bytes(path: str, file: BinaryIO) -> int:
    """Return the bytes that the deflated DICOM in ``file`` inflates to.

    Raises
    ------
    InputError
        They are more than ``MOST_INFLATED``, or damaged.
    """
    stream, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    errors, what = (zlib.error, struct.error), "is deflated and cannot be inflated"
    with reading(path, errors, DAMAGED, what=what):
        file.seek(140)
        (length,) = struct.unpack("<L", file.read(4))
        file.seek(144 + length)  # after the file meta, which is not deflated
        while piece := file.read(1 << 16):
            while piece and total <= MOST_INFLATED:
                total += len(stream.decompress(piece, 1 << 20))
                piece = stream.unconsumed_tail
    if total > MOST_INFLATED:
        raise _too_large(path, "deflated", "store it uncompressed first, with dcmconv +te")
    if not stream.eof:
        raise damage(path, f"is deflated and ends too early, after {total} bytes")
    return total


def _too_large(path: str, how: str, remedy: str) -> InputError:
    what = f"is {how} and inflates to more than {MOST_INFLATED >> 20} MiB, which can only be read whole"
    return InputError(f"{path}: {what}; {remedy}")
