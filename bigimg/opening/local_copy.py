"""A reader of a local copy that goes by the name of where it came from.

Messages, metadata and stores name the place as it may be shown; the copy lives as long as the reader.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bigimg.errors import BudgetError, InputError, InputNotFoundError, MissingExtraError
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access, Reader
from bigimg.types import Array, Region


class PlacedReader:
    """A :class:`bigimg.reader.Reader` of what lies at ``local``, called ``source``.

    Parameters
    ----------
    inner : Reader
    source : str
        What to call it.
    local : str
        Its copy, as messages of ``inner`` name it.
    title : str
        Of the format.
    keep : object
        Keeps the copy for as long as it lives.
    doubt : callable, optional
        Called when the copy turns out damaged.
    again : callable, optional
        Gives the same reader in another process; without one the copy itself is opened there.
    kept_as : str, optional
        The local file by which the source is known again when a conversion goes on: a zip file, a download.
    """

    def __init__(
        self,
        inner: Reader,
        *,
        source: str,
        local: str,
        title: str,
        keep: object,
        doubt: Callable[[], None] | None = None,
        again: tuple[Callable[..., Reader], tuple[object, ...]] | None = None,
        kept_as: str | None = None,
    ) -> None:
        self.inner = inner
        self.local = kept_as
        self.source = source
        self.format = title
        self._local = local
        self._keep = keep
        self._doubt = doubt
        self._again = again

    @property
    def spec(self) -> ImageSpec:
        """What the image is."""
        return self.inner.spec

    @property
    def access(self) -> Access:
        """How its pixels can be had."""
        return self.inner.access

    def read(self, region: Region) -> Array:
        """Return the stored values of ``region``; see :meth:`bigimg.reader.Reader.read`."""
        with named(self._local, self.source, self._doubt):
            return self.inner.read(region)

    def close(self) -> None:
        """Let go of files; the copy stays for a later read, until this reader is gone."""
        self.inner.close()

    def __reduce__(self) -> tuple[object, ...]:
        if self._again is not None:
            return self._again
        return _copy_opened, (self.inner, self.source, self._local, self.format)


def _copy_opened(inner: Reader, source: str, local: str, title: str) -> PlacedReader:
    return PlacedReader(inner, source=source, local=local, title=title, keep=None)


@contextmanager
def named(local: str, source: str, doubt: Callable[[], None] | None = None) -> Iterator[None]:
    """Have errors name ``source`` where they name ``local`` or a file beside it, and ``doubt`` the copy then."""
    try:
        yield
    except BudgetError:
        raise
    except InputError as error:
        if doubt is not None and not isinstance(error, InputNotFoundError | MissingExtraError):
            doubt()
        text = str(error).replace(local, source).replace(os.path.join(os.path.dirname(local), ""), "")
        if text == str(error):
            raise
        raise type(error)(text if source in text else f"{source}: {text}") from error
