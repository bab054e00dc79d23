"""Pixels of one DICOM file: uncompressed ones are read by window, all others are decoded frame by frame.

Only the table of frames of a compressed file stays in memory between reads, and no file stays open, so a series may
have thousands of files. pydicom and its plugins decode, convert YBR to RGB, and give signed values.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from bigimg.errors import DAMAGED, InputError, damage, reading
from bigimg.readers.coded_sizes import check_coded_size
from bigimg.readers.codestreams import jpeg_is_cut
from bigimg.readers.raw.compressed import read_bytes
from bigimg.readers.raw.plain import read_once
from bigimg.readers.raw.streams import Packing
from bigimg.system.shared import Shared
from bigimg.types import Array, DType

DEFLATED = "1.2.840.10008.1.2.1.99"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
NATIVE = (IMPLICIT, EXPLICIT, BIG_ENDIAN)
RLE = "1.2.840.10008.1.2.5"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")

MOST_INFLATED = 64 << 20
"""Bytes that a deflated file may inflate to: it can only be read whole, and does not say its size."""
ITEM = b"\xfe\xff\x00\xe0"
"""What a fragment of compressed pixels begins with, before its length."""
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
    extended: tuple[bytes, bytes] = field(default=(b"", b""), repr=False)
    """Offsets and lengths of the frames, where the file has an extended table of them."""
    tile: bool = False
    """Whether a frame is a tile of a slide: imagecodecs then decodes JPEG and JPEG 2000, as the readers of slides do.
    libjpeg itself makes RGB of these; pydicom does it afterwards, takes six times as long, and does not look whether
    the picture is RGB already, which the headers of slides often fail to say."""
    _table: Shared[Array] = field(default_factory=Shared, compare=False, repr=False)
    """Of a compressed file, of shape (frames, 2): where the fragments of each frame begin and end."""
    _whole: Shared[Array] = field(default_factory=Shared, compare=False, repr=False)
    """The pixels of a file that is read as a whole."""
    places: Array | None = field(default=None, compare=False, repr=False)
    """Of shape (frames, 2): where the fragments of each frame begin and end, if that was found when the file was
    opened; else ``_table`` has it once a frame is read."""

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
        self._whole.take()

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
            options = self._options()
            if self.native:
                file.seek(self.offset)
                array, _ = decoder.as_array(file, index=frame, validate=False, **options)
                return self._checked(array, frame)
            if self.syntax == RLE:  # before memory is allocated for what its bytes cannot hold
                if self.length * RLE_RATIO * self.frames < self.plane_bytes:
                    raise ValueError(f"{self.length} bytes of run lengths cannot hold {self.plane_bytes}")
                options["decoding_plugin"] = "pydicom"  # pylibjpeg-rle panics on damaged bytes
            coded = self._coded(file, frame)
            array = self._by_imagecodecs(coded)
            if array is None:
                options["number_of_frames"] = 1
                array, _ = decoder.as_array(encapsulate([coded]), index=0, validate=False, **options)
        return self._checked(array, frame)

    def _inflated(self, frame: int) -> Array:
        whole = self._whole.get(self._unpacked)
        return self._checked(whole[frame] if self.frames > 1 else whole, frame)

    def _unpacked(self) -> Array:
        from pydicom import dcmread

        errors = (RuntimeError, ValueError, AttributeError, EOFError)
        wrong = reading(self.path, errors, DAMAGED, what="its pixels make no sense")
        with wrong, opened(self.path, self.packing) as file:
            if self.syntax == DEFLATED:
                inflated_bytes(self.path, file)
                file.seek(0)
            found: Array = dcmread(file, force=True).pixel_array
        return found

    def _checked(self, array: Array, frame: int) -> Array:
        """Return a decoded frame; refuse one that is not as the header says."""
        shape = (self.rows, self.columns) if self.samples == 1 else (self.rows, self.columns, self.samples)
        if array.shape != shape or not np.can_cast(array.dtype, self.dtype, "same_kind"):
            what = f"frame {frame} decodes to {array.dtype} of shape {array.shape}"
            raise damage(self.path, f"{what}, but the header says {self.dtype} of shape {shape}")
        return array.astype(self.dtype, copy=False)

    def _by_imagecodecs(self, coded: bytes) -> Array | None:
        """Return a frame of which imagecodecs is the decoder; None if pydicom is."""
        import imagecodecs

        if self.syntax == JPEG_EXTENDED and self.stored > 8 and self.samples == 1:
            # Of 12 bits; of pydicom's plugins only one under the GPL decodes it.
            return np.asarray(imagecodecs.jpeg8_decode(coded))
        if self.tile and self.stored == 8 and self.syntax in (JPEG_BASELINE, JPEG_EXTENDED):
            space = "RGB" if self.photometric == "RGB" else None  # None: as its markers say, else YCbCr
            return np.asarray(imagecodecs.jpeg8_decode(coded, colorspace=space, outcolorspace=space))
        if self.tile and self.syntax in JPEG_2000 and self.photometric not in ("YBR_FULL", "YBR_FULL_422"):
            return np.asarray(imagecodecs.jpeg2k_decode(coded))
        return None

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "rows": self.rows, "columns": self.columns, "samples_per_pixel": self.samples,
            "photometric_interpretation": self.photometric, "number_of_frames": self.frames,
            "bits_allocated": self.allocated, "bits_stored": self.stored,
            "pixel_representation": int(self.signed), "pixel_keyword": self.keyword, "pixel_vr": self.vr,
        }  # fmt: skip
        if self.samples > 1:
            options["planar_configuration"] = self.planar
        return options

    def _coded(self, file: BinaryIO, frame: int) -> bytes:
        """Return the bytes of a compressed frame; refuse a JPEG that is cut, which decoders may not notice."""
        found = self.places
        if found is None:
            found = self._table.get(lambda: _find_frames(file, self.offset, self.frames, self.extended))
        start, end = found[frame].tolist()
        coded = b"".join(_fragments(bytes_at(file, start, end - start), start))
        if jpeg_is_cut(coded):
            raise ValueError("its JPEG stream has no end")
        check_coded_size(coded, self.rows * self.columns * self.samples)
        return coded


def frame_bits(pixels: Pixels) -> int:
    """Return the bits of an uncompressed frame, as stored."""
    bits = pixels.rows * pixels.columns * pixels.samples * pixels.allocated
    return bits * 2 // 3 if pixels.photometric == "YBR_FULL_422" else bits


def _find_frames(file: BinaryIO, offset: int, frames: int, extended: tuple[bytes, bytes]) -> Array:
    """Return where the fragments of each frame begin and end: by a table of the file, or by a walk along them."""
    from pydicom.encaps import parse_basic_offsets, parse_fragments

    file.seek(offset)
    table = np.array(parse_basic_offsets(file), np.int64)
    first = file.tell()
    if frames > 1 and len(extended[0]) == len(extended[1]) == 8 * frames:
        starts, lengths = (np.frombuffer(part, "<u8").astype(np.int64) for part in extended)
        if begin_frames(file, starts + first, first):
            return np.stack([starts + first, starts + first + 8 + lengths], axis=1)
    if frames > 1 and len(table) == frames and begin_frames(file, table + first, first):
        starts = table + first
        return np.stack([starts, np.append(starts[1:], _end(file, int(starts[-1])))], axis=1)
    file.seek(first)
    count, found = parse_fragments(file)
    if not count:
        raise ValueError("it has no fragments")
    starts = np.array(found, np.int64)
    ends = np.append(starts[1:], starts[-1] + 8 + struct.unpack("<L", bytes_at(file, found[-1] + 4, 4))[0])
    if count == frames:
        return np.stack([starts, ends], axis=1)
    if frames == 1:
        return np.array([[starts[0], ends[-1]]])
    # A frame begins as the first one does, where another has come to its end.
    head = bytes_at(file, found[0] + 8, 2)
    begins = [
        i
        for i in range(count)
        if not i
        or (bytes_at(file, found[i] + 8, 2) == head and ends_as_picture(file, found[i - 1] + 8, found[i]))
    ]
    if len(begins) != frames:
        what = f"{count} fragments for {frames} frames, and no table says which belong together"
        raise ValueError(f"{what}: {len(begins)} of them begin a picture")
    return np.stack([starts[begins], np.append(starts[begins[1:]], ends[-1])], axis=1)


def begin_frames(file: BinaryIO, starts: Array, first: int) -> bool:
    """Return whether a table of frames may be true: in order, with a fragment at its first, middle and last frame."""
    some = starts[[0, len(starts) // 2, -1]].tolist()
    return bool(
        starts[0] == first
        and (np.diff(starts) > 0).all()
        and all(bytes_at(file, at, 4) == ITEM for at in some)
    )


def _end(file: BinaryIO, at: int) -> int:
    """Return where the fragments that begin at byte ``at`` end."""
    while (head := bytes_at(file, at, 8))[:4] == ITEM and len(head) == 8:
        at += 8 + int.from_bytes(head[4:], "little")
    return at


def _fragments(data: bytes, start: int) -> Iterator[bytes]:
    """Yield the contents of the fragments in ``data``, which lies at byte ``start`` of the file."""
    at = 0
    while at < len(data) or not at:
        if data[at : at + 4] != ITEM:
            raise ValueError(f"there is no fragment at byte {start + at}")
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        part = data[at + 8 : at + 8 + length]
        if len(part) < length - 1:  # an extended table may leave out a byte that makes the length even
            raise ValueError(f"its fragment at byte {start + at} is cut")
        yield part
        at += 8 + length


def bytes_at(file: BinaryIO, start: int, length: int) -> bytes:
    """Return bytes of a file, fewer at its end."""
    file.seek(start)
    return file.read(length)


def ends_as_picture(file: BinaryIO, start: int, end: int) -> bool:
    """Return whether a fragment ends as a JPEG, JPEG-LS or JPEG 2000 picture does."""
    last = max(end - 4, start)
    return bytes_at(file, last, end - last).rstrip(b"\0").endswith(b"\xff\xd9")


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
