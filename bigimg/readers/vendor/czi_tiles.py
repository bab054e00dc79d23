"""The pixels of one tile of a CZI, decoded, or read as they are where they are not compressed.

No codec of CZI has a checksum: zstd, JPEG, JPEG XR and LZW notice most damage, and plain pixels none.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import imagecodecs
import numpy as np

from bigimg.errors import InputError, damage, one_line
from bigimg.geometry.region import count
from bigimg.readers.coded_sizes import check_coded_size
from bigimg.readers.codestreams import jpeg_is_cut, jxr_is_cut
from bigimg.readers.raw.plain import GAP_BYTES, READ_BYTES, RawFile, read_runs
from bigimg.readers.vendor.czi_directory import SEGMENT_BYTES, Pixels, check_place, parts_of
from bigimg.readers.vendor.kept import KeptTiles
from bigimg.types import Array, Region, Shape

PLAIN, JPEG, LZW, JPEG_XR, ZSTD, ZSTD_HEADED = 0, 1, 2, 4, 5, 6
CODECS = {
    PLAIN: "uncompressed", JPEG: "JPEG", LZW: "LZW", JPEG_XR: "JPEG XR", ZSTD: "zstd", ZSTD_HEADED: "zstd",
}  # fmt: skip
"""Types of compression that are read. Zstd with a head may have the bytes of 16-bit numbers apart (HiLo)."""
MAGIC = {JPEG: b"\xff\xd8", JPEG_XR: b"II\xbc", ZSTD: b"\x28\xb5\x2f\xfd"}
"""What coded tiles begin with: some programs write plain pixels, and say that they are coded."""
CUT: dict[int, Callable[[bytes], bool]] = {JPEG: jpeg_is_cut, JPEG_XR: jxr_is_cut}
DECODE_ERRORS = (ValueError, RuntimeError, TypeError, LookupError, ArithmeticError, MemoryError)
"""What decoders raise on bytes that they cannot decode; imagecodecs' own errors are RuntimeErrors."""
MASK = bytes.fromhex("67eae3cbfc5b2b49a16aece378031448")
"""Begins the mask that says which pixels of a tile were recorded."""
ALPHA, OPAQUE = 3, 255
"""Which sample is alpha, and its value."""
SLACK_BYTES = 1 << 16
"""What a coded tile may be longer than 1.5 times its pixels: heads and tables of a small one."""


class Part(NamedTuple):
    """A part of a tile, and where its pixels go."""

    target: Array
    """Of shape (samples, rows, columns)."""
    box: Region
    """Rows and columns of the tile."""


class Tiles:
    """Reads tiles of one type of pixels; from any thread.

    Parameters
    ----------
    path : str
    file : RawFile
        Its bytes.
    pixels : Pixels
    kept : int
        Decoded tiles that are kept until all that is seen of them was read.
    """

    def __init__(self, path: str, file: RawFile, pixels: Pixels, kept: int = 0) -> None:
        self.path, self.file, self.pixels = path, file, pixels
        self.dtype = np.dtype(pixels.dtype)
        self.kept = KeptTiles[tuple[Array, bool]](kept)
        self._places: dict[bytes, tuple[int, int]] = {}

    def __reduce__(self) -> tuple[object, ...]:
        return Tiles, (self.path, self.file, self.pixels, self.kept.most)

    def copy(self, tile: Any, parts: Sequence[Part], samples: range, seen: int) -> None:
        """Copy ``samples``, of which red is the first, of some parts of a tile; it is decoded once.

        Parameters
        ----------
        tile : element of an array of TILE
        parts : sequence of Part
        samples : range
        seen : int
            Pixels of the tile that no other one covers.

        Raises
        ------
        InputError
            The tile is not what the directory says, is damaged, or a part of it was not recorded.
        """
        top, bottom, left, right = tile["box"].tolist()
        shape = (bottom - top, right - left, self.pixels.samples)
        if int(tile["codec"]) == PLAIN:
            start, length = self.check(tile)
            if length < (size := math.prod(shape) * self.dtype.itemsize):  # more is padding
                raise self._error(
                    tile, f"has {length} bytes of pixels where {shape} {self.dtype} take {size}"
                )
            for part in parts:
                self._copy_plain(part, start, shape, samples)
            return
        if self._is_direct(first := parts[0]) and first.target.shape == (1, *shape[:2]):
            decoded, bgr = self._decoded(tile, shape, first.target)
            if np.may_share_memory(decoded, first.target):
                return
        else:
            wanted = len(samples) * sum(count(part.box) for part in parts)
            decoded, bgr = self.kept.get(
                int(tile["at"]), wanted, seen * shape[2], lambda: self._decoded(tile, shape, None)
            )
        for part in parts:
            _put(part.target, decoded[part.box], samples, bgr=bgr)

    def check(self, tile: Any) -> tuple[int, int]:
        """Return first byte and length of the pixels of a tile; none of them is read, and its head only once.

        Raises
        ------
        InputError
            The tile is not what the directory says, or a part of it was not recorded.
        """
        said = tile.tobytes()  # all of it: a damaged directory may name one place twice
        if said in self._places:
            return self._places[said]
        start, length, mask = self._place(tile)
        if mask is not None and (mask.shape != tuple(tile["stored"]) or not mask.all()):
            what = "has pixels that were not recorded, by its own mask, and such tiles are not read"
            raise InputError(
                f"{self.path}: the tile at byte {int(tile['at'])} {what}; save it without them in ZEN"
            )
        self._places[said] = start, length
        return start, length

    def _copy_plain(self, part: Part, start: int, shape: Shape, samples: range) -> None:
        """Copy a part of uncompressed pixels from byte ``start`` on, a few rows at once."""
        item, (rows, columns) = self.dtype.itemsize, part.box

        def read(flat: Array, first: int) -> None:
            self.file.read_run(flat.view(np.uint8), start + first * item)

        if self._is_direct(part):
            read_runs(part.target[0], part.box, shape[:2], read)
            return
        row = math.prod(shape[1:])
        whole = row * item <= GAP_BYTES  # short rows are read whole
        across = slice(0, shape[1]) if whole else columns
        inner = slice(columns.start - across.start, columns.stop - across.start)
        most = max(1, READ_BYTES // (row * item))
        for first in range(rows.start, rows.stop, most):
            lines = slice(first, min(first + most, rows.stop))
            pixels = np.empty((lines.stop - first, across.stop - across.start, shape[2]), self.dtype)
            if whole:
                read(pixels.reshape(-1), first * row)
            else:
                read_runs(pixels, (lines, across, slice(0, shape[2])), shape, read)
            target = part.target[:, first - rows.start : lines.stop - rows.start]
            _put(target, pixels[:, inner], samples, bgr=True)

    def _is_direct(self, part: Part) -> bool:
        """Return whether the pixels go to ``part`` as they are."""
        return self.pixels.samples == 1 and part.target.flags.c_contiguous and part.target.dtype == self.dtype

    def _decoded(self, tile: Any, shape: Shape, room: Array | None) -> tuple[Array, bool]:
        """Return the pixels of a coded tile, of shape (rows, columns, samples), and whether blue is the first.

        They are in ``room``, where one is given and the decoder can use it.
        """
        start, length = self.check(tile)
        codec, size = int(tile["codec"]), math.prod(shape) * self.dtype.itemsize
        if not 0 < length <= size + size // 2 + SLACK_BYTES:
            raise self._error(tile, f"has {length} coded bytes for {size} of pixels")
        data = self._bytes(tile, start, length)
        if length == size and codec in MAGIC and not bytes(data[:4]).startswith(MAGIC[codec]):
            return data.view(self.dtype).reshape(shape), True
        try:
            found = np.asarray(self._decode(codec, data, shape, room))
        except DECODE_ERRORS as error:
            raise self._error(tile, f"cannot be decoded ({one_line(error)})") from error
        if (
            found.shape not in (shape, shape[:2] + shape[2:] * (shape[2] > 1))
            or found.dtype.str[1:] != self.dtype.str[1:]
        ):
            what = f"decodes to {found.dtype} of shape {found.shape}"
            raise self._error(tile, f"{what} where {self.dtype} of shape {shape} should be")
        return found.reshape(shape), codec == LZW

    def _decode(self, codec: int, data: Array, shape: Shape, into: Array | None) -> Array:
        values, itemsize = math.prod(shape), self.dtype.itemsize
        if codec in CUT:
            coded = data.tobytes()
            if CUT[codec](coded):
                raise ValueError("its coded picture has no end")
            check_coded_size(coded, values)
            picture: Array = (imagecodecs.jpeg_decode if codec == JPEG else imagecodecs.jpegxr_decode)(coded)
            return picture
        room: Any = np.empty(values * itemsize, np.uint8) if into is None else into.reshape(-1).view(np.uint8)
        if codec == LZW:
            found = imagecodecs.lzw_decode(data, out=room)
        else:
            found = imagecodecs.zstd1_decode(data, itemsize=itemsize, samples=shape[2], out=room)
        if len(found) != len(room):
            raise ValueError(f"it has {len(found)} of {len(room)} bytes of pixels")
        return np.frombuffer(found, self.dtype).reshape(shape)

    def _place(self, tile: Any) -> tuple[int, int, Array | None]:
        """Return first byte and length of the pixels of a tile, and its mask if it has one."""
        at, head = int(tile["at"]), check_place(self.path, self.file, tile)
        start, length, attached = parts_of(tile, head)
        if start < at or min(attached, length) < 0 or start + length + attached > self.file.shape[0]:
            raise self._error(tile, f"reaches beyond the {self.file.shape[0]} bytes of the file")
        # Plain pixels that are read from a wrong byte on look like pixels, so their place must follow from both sizes.
        (used,), end = struct.unpack_from("<q", head, 24), start + length + attached - at - SEGMENT_BYTES
        if used and (end > used or (int(tile["codec"]) == PLAIN and end != used)):
            raise self._error(tile, f"has parts of {end} bytes in {used}")
        return start, length, self._mask(tile, start + length, attached)

    def _mask(self, tile: Any, start: int, length: int) -> Array | None:
        """Return which pixels were recorded, from what is attached to a tile; None where that is something else."""
        if length < 36:
            return None
        # A size, or what else the attachment is, may stand before the mask.
        head = self._bytes(tile, start, 36).tobytes()
        skip = head.find(MASK, 0, 32)
        if skip < 0:
            return None
        skip += 20 if skip == 0 else 16
        width, height, kind, stride = struct.unpack("<4I", self._bytes(tile, start + skip, 16))
        if kind or height * stride > length or not width <= stride * 8:
            raise self._error(tile, "has a mask of recorded pixels that makes no sense")
        bits = self._bytes(tile, start + skip + 16, height * stride)
        return np.unpackbits(bits.reshape(height, stride), axis=1)[:, :width].astype(bool)

    def _bytes(self, tile: Any, at: int, length: int) -> Array:
        if at + length > self.file.shape[0]:
            raise self._error(tile, f"reaches beyond the {self.file.shape[0]} bytes of the file")
        return self.file.read((slice(at, at + length),))

    def _error(self, tile: Any, what: str) -> InputError:
        return damage(self.path, f"the tile at byte {int(tile['at'])} {what}")


def tile_bytes(tiles: Array, pixels: Pixels) -> int:
    """Return the bytes of the largest of ``tiles``, decoded."""
    boxes = tiles["box"].astype(np.int64)
    largest = ((boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2])).max()
    return int(largest) * pixels.samples * np.dtype(pixels.dtype).itemsize


def read_bytes(tiles: Array, pixels: Pixels) -> int:
    """Return the most memory that copying from one of ``tiles`` takes, in bytes."""
    # The coded bytes, the decoded ones, and a copy of these in which the decoder moves bytes.
    coded = 3 * tile_bytes(tiles, pixels)
    return READ_BYTES + (coded if (tiles["codec"] != PLAIN).any() else READ_BYTES)


def _put(target: Array, pixels: Array, samples: range, *, bgr: bool) -> None:
    """Copy samples of ``pixels`` (rows, columns, samples) into ``target`` (samples, rows, columns), red first."""
    order = (2, 1, 0, 3) if bgr and pixels.shape[-1] > 1 else (0, 1, 2, 3)
    for plane, sample in zip(target, samples, strict=True):
        # Zeiss keeps no alpha, whatever stands there; decoders that give red first have done the same.
        plane[...] = OPAQUE if bgr and sample == ALPHA else pixels[..., order[sample]]
