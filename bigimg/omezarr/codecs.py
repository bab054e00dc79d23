"""The three codecs of our chunks, as functions on bytes and as metadata of zarr 2 and 3.

Blosc comes from imagecodecs, with one thread for a chunk. numcodecs would use several in the main thread; they finish
in any order, so the bytes would differ each time. It also takes 50 ms to import.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bigimg.omezarr.bitplanes import thin_part
from bigimg.types import Array, CodecName, DType, Json, Region


@dataclass(frozen=True, slots=True)
class Codec:
    """How one chunk becomes bytes; a crc32c of those bytes always follows them."""

    name: CodecName
    level: int = 0
    shuffle: Literal[0, 1, 2] = 0
    """None, of bytes, or of bits."""

    def most(self, nbytes: int) -> int:
        """Return how many bytes a chunk of ``nbytes`` has at most when compressed."""
        return nbytes if self.name == "none" else nbytes + 16

    def encode(self, chunk: Array, out: Array) -> int:
        """Put the compressed bytes of a C-contiguous ``chunk`` into ``out``, and return their number.

        Parameters
        ----------
        out : ndarray of uint8
            Of exactly the size that :meth:`most` gives: blosc stores a chunk uncompressed that would be larger.
        """
        if self.name == "none":
            out[:] = chunk.reshape(-1).view(np.uint8)
            return out.size
        encoded = _imagecodecs().blosc_encode(
            chunk, level=self.level, compressor=self.name, shuffle=self.shuffle, typesize=chunk.itemsize,
            numthreads=1, out=out,
        )  # fmt: skip
        return len(encoded)

    def decode(self, data: bytes, out: Array) -> None:
        """Decompress ``data`` into the C-contiguous array ``out``.

        Raises
        ------
        RuntimeError
            The bytes are not what ``encode`` made.
        """
        if self.name == "none":
            out.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)
        elif len(data) < 16 or int.from_bytes(data[4:8], "little") != out.nbytes:
            # Bytes 4 to 7 are the decoded size, which is checked before anything is written to `out`.
            raise RuntimeError("the compressed size does not match the chunk")
        else:
            _imagecodecs().blosc_decode(data, out=out.reshape(-1).view(np.uint8), numthreads=1)

    def decode_part(self, data: bytes, part: Region, buffer: Array) -> Array:
        """Return ``part`` of a chunk as a new array, or as a view of ``buffer``, which has room for the whole chunk.

        Raises
        ------
        RuntimeError
            The bytes are not what ``encode`` made.
        """
        found = thin_part(data, part, buffer) if self.shuffle == 2 else None
        if found is None:
            self.decode(data, buffer)
            found = buffer[part]
        return found

    def metadata(self, dtype: DType) -> list[Json]:
        """Return zarr's description of the codecs inside a shard, crc32c included."""
        checksum: Json = {"name": "crc32c"}
        if self.name == "none":
            return [bytes_codec(dtype), checksum]
        shuffle = ("noshuffle", "shuffle", "bitshuffle")[self.shuffle]
        blosc: Json = {"typesize": dtype.itemsize, "cname": self.name, "clevel": self.level, "shuffle": shuffle,
                       "blocksize": 0}  # fmt: skip
        return [bytes_codec(dtype), {"name": "blosc", "configuration": blosc}, checksum]

    @property
    def compressor(self) -> Json:
        """Zarr 2's description of the codec."""
        if self.name == "none":
            return None
        return {
            "id": "blosc",
            "cname": self.name,
            "clevel": self.level,
            "shuffle": self.shuffle,
            "blocksize": 0,
        }


def bytes_codec(dtype: DType) -> Json:
    """Return zarr's description of little-endian bytes."""
    if dtype.itemsize == 1:
        return {"name": "bytes"}
    return {"name": "bytes", "configuration": {"endian": "little"}}


def _imagecodecs() -> Any:
    import imagecodecs  # takes 40 ms, which only the use of pixels should cost

    return imagecodecs


CODECS: dict[CodecName, Codec] = {
    # Measured per core on noisy RGB: lz4 2.7 GB/s, zstd 0.9 GB/s; zstd gives stores 4-20 % smaller.
    "lz4": Codec("lz4", 5, 2),
    "zstd": Codec("zstd", 1, 1),
    "none": Codec("none"),
}


def codec_of_compressor(compressor: Json) -> Codec | None:
    """Return the codec that zarr 2 describes as ``compressor``, or None when it is not one of ours."""
    return next((codec for codec in CODECS.values() if codec.compressor == compressor), None)


def codec_of(metadata: list[Json], dtype: DType) -> Codec | None:
    """Return the codec that writes ``metadata``, or None when it is not one of ours."""
    return next((codec for codec in CODECS.values() if codec.metadata(dtype) == metadata), None)
