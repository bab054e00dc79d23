"""What the dask array of an image says of its values: which of them are no measurements.

dask keeps an empty array beside each of its arrays, the meta, and makes that of a result by doing the same with the
metas of what it is made from. Ours notes the padding. What moves pixels, as a slice, a transposition or a flip, keeps
the note, and what computes new ones loses it, in any chain of xarray's and after pickling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from bigimg.types import Array, DType, Padding

MOVES = frozenset({np.transpose})
"""Functions of numpy that dask calls on a meta to move pixels; slices and copies are no such functions."""
WRITES = frozenset({np.copyto, np.place, np.put, np.putmask})
"""Functions of numpy that write into their first argument."""


class Declared(np.ndarray):
    """An empty array whose values are stored ones of ``declared``, a type and the padding."""

    declared: tuple[DType, Padding] | None = None

    def __array_finalize__(self, of: Any) -> None:
        self.declared = getattr(of, "declared", None)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Return what numpy's own array gives: computed values are no stored ones."""
        for written in kwargs.get("out", ()):
            _forget(written)
        return getattr(ufunc, method)(*map(_plain, inputs), **{key: _plain(v) for key, v in kwargs.items()})

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: Iterable[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """Return what numpy's own array gives, unless ``func`` only moves pixels."""
        if func in MOVES:
            return super().__array_function__(func, types, args, kwargs)
        if func in WRITES:
            _forget(next(iter(args), None))
        return func(*map(_plain, args), **{key: _plain(v) for key, v in kwargs.items()})

    def __setitem__(self, key: Any, value: Any) -> None:
        """Assign: an array into which others write holds values of theirs."""
        _forget(self)
        super().__setitem__(key, value)

    def __reduce__(self) -> Any:
        return _noting, (_plain(self), self.declared)


def _forget(written: Any) -> None:
    if isinstance(written, Declared):
        written.declared = None


def _plain(value: Any) -> Any:
    if isinstance(value, Declared):
        return value.view(np.ndarray)
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    return value


def declared(meta: Array, padding: Padding | None) -> Array:
    """Return an empty array that notes ``padding``, if there is one."""
    return meta if padding is None else _noting(meta, (meta.dtype, padding))


def _noting(meta: Array, noted: tuple[DType, Padding] | None) -> Array:
    found = meta.view(Declared)
    found.declared = noted
    return found


def padding_of_meta(meta: object) -> Padding | None:
    """Return the padding that a meta notes; None if it was made of other values, or of another type."""
    if not isinstance(meta, Declared) or meta.declared is None:
        return None
    dtype, padding = meta.declared
    return padding if dtype == meta.dtype else None
