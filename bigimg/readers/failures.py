"""What the system and the libraries say of a file that cannot be read, in words of ours."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bigimg.errors import BigimgError, InputError, InputNotFoundError, UsageError

MOST_DOUBTS = 100
"""Of a library about one file."""


@contextmanager
def reading(
    who: str, nonsense: tuple[type[Exception], ...] = (), remedy: str = "write the file again"
) -> Iterator[None]:
    """Have errors of the code within name ``who`` and say what to do.

    Parameters
    ----------
    who : str
        The file, as a message calls it.
    nonsense : tuple of exceptions
        What a library raises for a header that makes no sense.
    remedy : str
        What to do then.

    Raises
    ------
    InputNotFoundError, InputError
        There is no such file; it cannot be read; its header makes no sense.
    """
    try:
        yield
    except BigimgError:  # some kinds are ValueErrors or OSErrors too
        raise
    except FileNotFoundError:
        raise InputNotFoundError(f"{who}: there is no such file; check the path") from None
    except OSError as error:
        raise InputError(
            f"{who}: cannot be read ({error.strerror or error}); check its type and permissions"
        ) from error
    except nonsense as error:
        raise InputError(f"{who}: the header makes no sense ({one_line(error)}); {remedy}") from error


def one_line(error: object) -> str:
    """Return what ``error`` says, on one line of bearable length."""
    said = " ".join(str(error).split())
    return (said if len(said) <= 160 else said[:157] + "...") or type(error).__name__


@contextmanager
def heard(library: str) -> Iterator[list[str]]:
    """Gather what ``library`` logs of doubts in this thread, once each, in place of what it would print."""
    found: list[str] = []
    me, logger = threading.get_ident(), logging.getLogger(library)

    def keep(record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or threading.get_ident() != me:
            return True
        if len(found) < MOST_DOUBTS and (said := one_line(record.getMessage())) not in found:
            found.append(said)
        return False

    logger.addFilter(keep)
    try:
        yield found
    finally:
        logger.removeFilter(keep)


def only_image(source: str, series: int | str | None) -> None:
    """Refuse any ``series`` but 0 of a file that holds one image."""
    if series not in (None, 0):
        raise UsageError(f"{source}: series {series} was asked for, but it holds one image; leave series out")
