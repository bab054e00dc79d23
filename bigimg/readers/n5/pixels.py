"""Pixels of a folder of chunks through tensorstore (the extra ``n5``), chunk by chunk: a read holds no more than that.

Where a chunk has no file, tensorstore gives zeros unless it is told not to; here it is known before, or an error.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np

from bigimg.errors import InputError, damage, reading
from bigimg.geometry.holes import hole_value
from bigimg.geometry.region import pieces, shape_of, shift
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access
from bigimg.readers.extras import imported
from bigimg.readers.never_written import CHUNK_BYTES, checked_written
from bigimg.readers.raw.plain import READ_BYTES, ChosenReader
from bigimg.system.shared import Shared
from bigimg.types import Array, DType, Region, Shape

TENSORSTORE_BYTES = 64 << 20
"""Memory of tensorstore: 32 MB of library, threads and their arenas."""

ERRORS = (ValueError, OSError, RuntimeError, TypeError)
"""What tensorstore raises."""
AGAIN = "fetch it again"

MOST_NUMBER = 1e15

MOST_DOCUMENT = 64 << 20
"""Bytes of a JSON document."""


@dataclass
class TensorPixels:
    """The numbers of one dataset."""

    path: str
    """The folder, for messages."""
    spec: dict[str, Any]
    """What tensorstore opens."""
    shape: Shape
    """Slowest axis first; the other way round in tensorstore."""
    chunks: Shape
    dtype: DType
    origin: Shape = ()
    """Of the first pixel in tensorstore, slowest axis first; zeros by default."""
    written: Array | None = None
    """Which chunks have a file, where that is known."""
    single: bool = False
    """Whether tensorstore has one more axis behind the others, of one pixel."""
    _store: Shared[Any] = field(default_factory=Shared, repr=False)

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``; never written ones are :func:`hole_value`.

        Raises
        ------
        InputError
            A chunk is damaged, or was never written.
        """
        store, start = self._store.get(self.open), tuple(s.start for s in region)
        origin = self.origin or (0,) * len(self.shape)
        result = np.empty(shape_of(region), self.dtype)
        for index, part in pieces(region, self.chunks):
            target = result[shift(part, start)]
            if self.written is not None and not self.written[index]:
                target[...] = hole_value(self.dtype, None)
                continue
            there = tuple(slice(s.start + o, s.stop + o) for s, o in zip(part, origin, strict=True))[::-1]
            with reading(self.path, ERRORS, AGAIN, what=f"its chunk {index} cannot be read"):
                target[...] = store[there].read(order="F").result().transpose()
        return result

    def close(self) -> None:
        """Let go of the dataset; a later read opens it again."""
        self._store.take()

    def open(self) -> Any:
        """Return an open dataset of tensorstore, without a cache.

        Raises
        ------
        MissingExtraError
            tensorstore is not installed.
        InputError
            It cannot be opened, or is not as the metadata said.
        """
        tensorstore = imported("tensorstore", self.path)
        context = tensorstore.Context({"cache_pool": {"total_bytes_limit": 0}})
        whole = self.spec | {"fill_missing_data_reads": False}
        with reading(self.path, ERRORS, AGAIN, what="cannot be opened"):
            store = tensorstore.open(whole, open=True, read=True, context=context).result()
            store = store[..., 0] if self.single else store
        if tuple(reversed(store.domain.shape)) != self.shape or store.dtype.numpy_dtype != self.dtype:
            what = f"tensorstore says {store.domain.shape} {store.dtype.name}, and its metadata say otherwise"
            raise damage(self.path, what)
        return store


def tensor_reader(
    source: str,
    title: str,
    spec: ImageSpec,
    pixels: TensorPixels,
    dims: tuple[str, ...],
    *,
    allow_partial: bool,
) -> ChosenReader:
    """Return the reader of ``pixels``, whose axes are ``dims``.

    Raises
    ------
    InputError
        tensorstore cannot open it, or chunks were never written and ``allow_partial`` is not given.
    """
    pixels.open()
    tables = 0
    if pixels.written is not None:
        tables = CHUNK_BYTES * pixels.written.size
        spec = checked_written(
            spec, pixels.written, dims, source=source, allow_partial=allow_partial, steps=pixels.chunks
        )
    nbytes = math.prod(pixels.chunks) * pixels.dtype.itemsize
    why = f"{title} in chunks of {' x '.join(map(str, pixels.chunks))}, {pixels.dtype}"
    access = Access("random", why, dims, TENSORSTORE_BYTES + tables, READ_BYTES + 3 * nbytes)
    return ChosenReader(spec, access, source, pixels, dims, identity=json.dumps(pixels.spec))


def document(path: str) -> dict[str, Any]:
    """Return the JSON object in a file; an empty one where there is no file.

    Raises
    ------
    InputError
        It is no JSON object.
    """
    if not os.path.isfile(path):
        return {}
    if os.path.getsize(path) > MOST_DOCUMENT:
        raise damage(path, f"has more than {MOST_DOCUMENT >> 20} MiB, and should be a short JSON")
    with (
        reading(path, (ValueError, RecursionError), "fetch it again", what="is no JSON"),
        open(path, "rb") as file,
    ):
        found = json.load(file)
    if not isinstance(found, dict):
        raise InputError(f"{path}: is a JSON {type(found).__name__}, not an object; fetch it again")
    return found


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value of a document is a number of a size that an image can have."""
    return type(value) in (int, float) and abs(value) < MOST_NUMBER  # type: ignore[arg-type]  # and so finite


def whole_numbers(path: str, name: str, value: object, count: int | None = None) -> Shape:
    """Return a list of positive whole numbers of a document; an InputError where it is none."""
    good = isinstance(value, list) and all(type(n) is int and 0 < n < 1 << 48 for n in value)
    if not good or not value or (count is not None and len(value) != count):  # type: ignore[arg-type]
        raise damage(path, f"its {name} is {str(value)[:80]}")
    return tuple(value)  # type: ignore[arg-type]
