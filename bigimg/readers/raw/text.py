"""Pixels written as text numbers, all decoded at once: the ``ascii`` encodings of NRRD and MetaImage."""

from __future__ import annotations

import functools
import math
import os
import threading

import numpy as np

from bigimg.errors import InputError
from bigimg.types import Array, DType, Region, Shape


class TextPixels:
    """The numbers of a text file from byte ``offset`` on; they stay in memory until :meth:`close`.

    Parameters
    ----------
    path : str
    offset : int
    shape : tuple of int
        Slowest axis first.
    dtype : dtype

    Raises
    ------
    InputError
        The file is too short for so many numbers.
    """

    def __init__(self, path: str, *, offset: int, shape: Shape, dtype: DType) -> None:
        self.path = path
        self.offset = offset
        self.shape = shape
        self.dtype = dtype.newbyteorder("=")
        self.size = max(os.path.getsize(path) - offset, 0)
        self._values: Array | None = None
        self._lock = threading.Lock()
        count = math.prod(shape)
        if 2 * count - 1 > self.size:  # one digit for each, and a space between two
            raise InputError(
                f"{path}: {self.size} bytes of text cannot hold {count} numbers (shape {shape}); it is truncated, "
                "or its header is wrong"
            )

    @property
    def fixed_bytes(self) -> int:
        """Memory of the decoded image, its text, and one Python object for each word while the text is split."""
        return self.size + math.prod(self.shape) * (self.dtype.itemsize + 80)

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``.

        Raises
        ------
        InputError
            A word is no number of the type, or the file has too few or too many words.
        """
        with self._lock:
            if self._values is None:
                self._values = self._decode()
            return self._values[region]

    def close(self) -> None:
        """Drop the decoded numbers."""
        with self._lock:
            self._values = None

    def _decode(self) -> Array:
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            words = file.read().replace(b",", b" ").split()
        count = math.prod(self.shape)
        if len(words) != count:
            raise InputError(
                f"{self.path}: has {len(words)} numbers, and shape {self.shape} needs {count}; write the file again"
            )
        number = float if self.dtype.kind == "f" else int
        try:
            return np.array([number(word) for word in words], self.dtype).reshape(self.shape)
        except (ValueError, OverflowError) as error:
            raise InputError(
                f"{self.path}: one of its numbers is no {self.dtype} ({error}); write it again"
            ) from error

    def __reduce__(self) -> tuple[object, ...]:
        opener = functools.partial(TextPixels, offset=self.offset, shape=self.shape, dtype=self.dtype)
        return opener, (self.path,)
