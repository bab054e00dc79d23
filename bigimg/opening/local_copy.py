"""A reader of a local copy whose messages, metadata and stores name the original: a URL, a zip member, a stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from bigimg.errors import BudgetError, InputError, InputNotFoundError, MissingExtraError
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access, Reader, as_kind, as_part, coarser_of, parts_of
from bigimg.types import Array, Part, Region


@dataclass(frozen=True, eq=False)
class LocalCopyReader:
    """A :class:`bigimg.reader.Reader` of the copy at ``path`` of ``source``."""

    inner: Reader
    """Of the copy."""
    source: str
    """The original, as messages name it."""
    path: str
    """The copy, as messages of ``inner`` name it."""
    format: str
    """Its title."""
    copy: object = None
    """The copy is deleted when nothing refers to this object any more."""
    on_damage: Callable[[], None] | None = None
    """Called when the copy turns out damaged."""
    reopen: Callable[[], Reader] | None = None
    """Returns the same reader in another process; without it the copy itself is opened there."""
    local: str | None = None
    """The local file that identifies the source when a conversion is continued: a zip file, a download."""
    how: str = ""
    """How it is fetched, and why, for a plan."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The zip file, if the original lies in one."""
        return () if self.local is None else (self.local,)

    @property
    def spec(self) -> ImageSpec:
        """What the image is."""
        return self.inner.spec

    @property
    def access(self) -> Access:
        """How its pixels can be read."""
        found = self.inner.access
        return replace(found, why=f"{found.why}; {self.how}") if self.how else found

    def read(self, region: Region) -> Array:
        """Return the stored values of ``region``; see :meth:`bigimg.reader.Reader.read`."""
        with naming(self.path, self.source, self.on_damage):
            return self.inner.read(region)

    def indices(self) -> LocalCopyReader | None:
        """Return a reader of the indices into the palette; None where there is none."""
        found = getattr(self.inner, "indices", lambda: None)()
        if found is None:
            return None
        return replace(self, inner=found, reopen=self.reopen and partial(_reopen_indices, self.reopen))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of complex values to choose from."""
        return parts_of(self.inner)

    def of_part(self, part: Part) -> LocalCopyReader:
        """Return the reader of one part of complex values."""
        reopen = self.reopen and partial(_reopen_part, self.reopen, part)
        return replace(self, inner=as_part(self.inner, part), reopen=reopen)

    @property
    def coarser(self) -> tuple[Callable[[], LocalCopyReader], ...]:
        """What opens each coarser level of the copy."""
        return tuple(partial(self._at_level, number) for number in range(len(coarser_of(self.inner))))

    def _at_level(self, number: int) -> LocalCopyReader:
        with naming(self.path, self.source, self.on_damage):
            inner = coarser_of(self.inner)[number]()
        return replace(self, inner=inner, reopen=self.reopen and partial(_reopen_level, self.reopen, number))

    @property
    def lossy(self) -> bool:
        """Whether the copy may not give back the pixels that went in."""
        return bool(getattr(self.inner, "lossy", False))

    def close(self) -> None:
        """Let go of files; the copy stays for a later read, as long as this reader lives."""
        self.inner.close()

    def __reduce__(self) -> tuple[object, ...]:
        if self.reopen is not None:
            return self.reopen, ()
        return LocalCopyReader, (self.inner, self.source, self.path, self.format)


def _reopen_indices(reopen: Callable[[], Reader]) -> Reader:
    return as_kind(reopen(), "labels")


def _reopen_level(reopen: Callable[[], Reader], number: int) -> Reader:
    return coarser_of(reopen())[number]()


def _reopen_part(reopen: Callable[[], Reader], part: Part) -> Reader:
    return as_part(reopen(), part)


@contextmanager
def naming(path: str, source: str, on_damage: Callable[[], None] | None = None) -> Iterator[None]:
    """Let errors name ``source`` instead of ``path`` or its folder; call ``on_damage`` if the file is damaged."""
    try:
        yield
    except BudgetError:
        raise
    except InputError as error:
        if on_damage is not None and not isinstance(error, InputNotFoundError | MissingExtraError):
            on_damage()
        text = str(error).replace(path, source).replace(os.path.join(os.path.dirname(path), ""), "")
        if text == str(error):
            raise
        raise type(error)(text if source in text else f"{source}: {text}") from error
