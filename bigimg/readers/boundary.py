"""The boundary around the libraries that read files: whatever they raise becomes an error of ours.

Readers turn the errors that they know into better ones. What else a damaged or hostile file makes a library raise,
nobody knows, so nothing passes here but errors of ours, MemoryError, warnings, and what ends a program.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from bigimg.errors import DAMAGED, BigimgError, InputError, damage, one_line, reading
from bigimg.reader import Reader, coarser_of
from bigimg.types import Array, Part, Region

PANICS = "pyo3_runtime"
"""The module of what libraries in Rust raise for their own faults; it is no ``Exception``, so few catch it."""


def bounded(source: str, open_it: Callable[[], Reader]) -> BoundedReader:
    """Return the reader that ``open_it`` makes of the file ``source``, behind the boundary.

    Raises
    ------
    InputNotFoundError, InputError
        As ``open_it``, and where a library raises anything; that is then the cause.
    """
    try:
        return BoundedReader(open_it())
    except BaseException as error:
        _raise_ours(error, source, "opening it")
        raise


class BoundedReader:
    """A :class:`bigimg.reader.Reader` of which all errors are ours.

    Parameters
    ----------
    inner : Reader
        What it has beside the contract, such as ``paths``, this one has too.
    """

    def __init__(self, inner: Reader) -> None:
        self.inner = inner
        self.spec, self.access, self.source = inner.spec, inner.access, inner.source

    def read(self, region: Region) -> Array:
        """Return the stored values of ``region``; see :meth:`bigimg.reader.Reader.read`."""
        try:
            found = self.inner.read(region)
        except BaseException as error:
            _raise_ours(error, self.source, f"reading {self._named(region)}")
            raise
        wanted = tuple(s.stop - s.start for s in region)
        if found.shape != wanted or found.dtype != self.spec.dtype:
            what = f"{found.shape} {found.dtype} where {wanted} {self.spec.dtype} were asked for"
            raise damage(self.source, f"reading {self._named(region)} gave {what}")
        return found

    def indices(self) -> BoundedReader | None:
        """Return a reader of the indices into the palette; None where there is none."""
        try:
            found = getattr(self.inner, "indices", lambda: None)()
        except BaseException as error:
            _raise_ours(error, self.source, "reading its palette")
            raise
        return None if found is None else BoundedReader(found)

    def of_part(self, part: Part) -> BoundedReader:
        """Return the reader of one part of complex values; see :func:`bigimg.reader.as_part`."""
        return bounded(self.source, lambda: self.inner.of_part(part))  # type: ignore[attr-defined]

    def like(self, path: str) -> BoundedReader | None:
        """Return the reader of another file with the same header; see :mod:`bigimg.readers.folders.members`."""
        found = getattr(self.inner, "like", lambda _: None)(path)
        return None if found is None else BoundedReader(found)

    @property
    def coarser(self) -> tuple[Callable[[], BoundedReader], ...]:
        """What opens each coarser level of the file; see :func:`bigimg.reader.coarser_of`."""
        return tuple(partial(bounded, self.source, open_it) for open_it in coarser_of(self.inner))

    def close(self) -> None:
        """Let go of files; see :meth:`bigimg.reader.Reader.close`."""
        self.inner.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "inner" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __reduce__(self) -> tuple[object, ...]:
        return BoundedReader, (self.inner,)

    def _named(self, region: Region) -> str:
        named = zip(self.spec.dims, region, strict=True)
        return " ".join(f"{name}={along.start}:{along.stop}" for name, along in named)


def _raise_ours(error: BaseException, source: str, asked: str) -> None:
    """Raise the error of ours that ``error`` becomes; return if it may pass as it is."""
    if isinstance(error, BigimgError | MemoryError | Warning):
        return
    if not isinstance(error, Exception) and type(error).__module__ != PANICS:
        return
    if isinstance(error, OSError) and error.errno is not None:  # the system refuses, and not a library
        with reading(source):
            raise error
    name, text = type(error).__name__, one_line(error)
    what = name if text == name else f"{name}: {text}"
    raise InputError(f"{source}: {asked} failed ({what}); {DAMAGED}") from error
