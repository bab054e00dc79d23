"""Errors and warnings of the system and of libraries about a file, as errors and notes of ours."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bigimg.errors import BigimgError, InputError, InputNotFoundError, UsageError

AGAIN = "copy or download it again"
DAMAGED = f"it is truncated or damaged: {AGAIN}"
"""What is wrong with a damaged file, and what to do."""

MOST_WARNINGS = 100
"""Of a library about one file."""


@contextmanager
def reading(
    source: str,
    parse_errors: tuple[type[Exception], ...] = (),
    remedy: str = "write the file again",
    *,
    what: str = "the header makes no sense",
) -> Iterator[None]:
    """Turn errors of the code within into errors that name ``source`` and say what to do.

    Parameters
    ----------
    source : str
        The file, as a message calls it.
    parse_errors : tuple of exceptions
        What a library raises for a header that makes no sense; for HDF5 it includes OSError.
    remedy : str
        What to do then.
    what : str
        What is wrong then.

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
        raise InputNotFoundError(f"{source}: there is no such file; check the path") from None
    except parse_errors as error:
        raise InputError(f"{source}: {what} ({one_line(error)}); {remedy}") from error
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{source}: cannot be read ({reason}); check its type and permissions") from error


def damage(source: str, what: str, why: str = "") -> InputError:
    """Return the error of a damaged file that says ``what`` is wrong with it."""
    return InputError(f"{source}: {what}; {f'{why}: {AGAIN}' if why else DAMAGED}")


def one_line(error: object) -> str:
    """Return the text of ``error`` in one line of at most 160 characters; the name of its type if it has no text."""
    text = " ".join(str(error).split())
    return (text if len(text) <= 160 else text[:157] + "...") or type(error).__name__


@contextmanager
def logged_warnings(library: str) -> Iterator[list[str]]:
    """Collect the warnings that ``library`` logs in this thread, once each; they are not printed."""
    found: list[str] = []
    thread, logger = threading.get_ident(), logging.getLogger(library)

    def collect(record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or threading.get_ident() != thread:
            return True
        text = one_line(record.getMessage())
        if len(found) < MOST_WARNINGS and text not in found:
            found.append(text)
        return False

    logger.addFilter(collect)
    try:
        yield found
    finally:
        logger.removeFilter(collect)


def only_image(source: str, series: int | str | None) -> None:
    """Refuse any ``series`` but 0 of a source that holds one image."""
    if series not in (None, 0):
        raise UsageError(f"{source}: series {series} was asked for, but it holds one image; leave series out")
