"""The errors that bigimg raises: one root class, and each class is also the builtin that a caller expects.

A message says what was asked, what is so, and what to do. The command line prints it on one line and
exits with ``exit_code``.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

AGAIN = "copy or download it again"
DAMAGED = f"it is truncated or damaged: {AGAIN}"
"""What is wrong with a damaged file, and what to do."""
PARTIAL = "take what is there by allow_partial=True"
ACCEPT = "accept=True of verify takes it over"
"""What else can be done with a file of which a part is gone."""
CUT_HERE = "before the cut"
"""What every note says on a source of which nobody knows how much is gone."""


class BigimgError(Exception):
    """Root class of all errors that bigimg raises on purpose.

    Parameters
    ----------
    text : str
        What was asked and what is so.
    ways : sequence of str, optional
        What to do, each by itself: the message joins them. The command line leaves out those that name an option which
        its verb does not have.
    """

    exit_code = 1

    def __init__(self, text: str = "", *, ways: Sequence[str] = ()) -> None:
        super().__init__(f"{text} {any_of(ways)}" if ways else text)
        self.text, self.ways = text, tuple(ways)

    def __reduce__(self) -> tuple[object, ...]:
        # The same as the builtin __reduce__, but defined here. tblib, with which a dask cluster pickles errors, treats
        # the builtin one in its own way, and then cannot rebuild a class that is a ValueError and an OSError at once.
        return type(self), self.args, self.__dict__ or None


class Left(str):
    """A note on an error: what an interrupted run left behind, and what to do with it.

    It has a class of its own because an exception may also carry notes that others added, such as Python itself.
    """


class UsageError(BigimgError, ValueError):
    """An argument cannot mean anything: an unknown axis, a negative size, options that contradict."""

    exit_code = 2


class InputError(BigimgError, ValueError):
    """The source exists but cannot be used: it is corrupt, truncated, or of a shape or type that is not supported."""

    exit_code = 3


class InputNotFoundError(InputError, FileNotFoundError):
    """The source does not exist."""


class InconsistentSeries(InputError):
    """The slices of a series are not one regular stack: some are missing, duplicated, tilted or of another kind."""


class UnknownFormatError(InputError):
    """No reader recognises the content of the source."""


class MissingExtraError(InputError, ImportError):
    """The format is known, but the library that reads it belongs to an extra that is not installed."""


class OutputError(BigimgError, OSError):
    """The target cannot be written: there is no space, no permission, or a folder is in the way."""

    exit_code = 4


class TargetExistsError(OutputError, FileExistsError):
    """The target exists already; nothing was changed."""


class ResumeError(OutputError):
    """An earlier run left an unfinished store of another source or of other options."""


class IntegrityError(BigimgError, RuntimeError):
    """A store does not hold what was written to it."""

    exit_code = 5


class MissingChunk(IntegrityError):
    """An object or an inner chunk of a store is missing: its pixels are unknown, so none are returned."""


class CorruptChunk(IntegrityError):
    """An object of a store does not have the bytes that were written: its length or checksum is wrong."""


class BudgetError(BigimgError, MemoryError):
    """The work does not fit the memory budget; the message names the settings that would.

    Parameters
    ----------
    message : str
    needed, allowed : int
        Bytes.
    ways : sequence of str, optional
        Settings that would fit.
    """

    exit_code = 6

    def __init__(self, message: str, *, needed: int, allowed: int, ways: Sequence[str] = ()) -> None:
        super().__init__(message, ways=ways)
        self.needed = needed
        self.allowed = allowed

    def __reduce__(self) -> tuple[object, ...]:
        return (_budget_error, (str(self), self.needed, self.allowed), self.__dict__)


def _budget_error(message: str, needed: int, allowed: int) -> BudgetError:
    return BudgetError(message, needed=needed, allowed=allowed)


class WorkerError(BigimgError, RuntimeError):
    """A worker died or lost its connection; the data are not the cause."""

    exit_code = 7


def any_of(ways: Sequence[str]) -> str:
    """Return several ways as one text.

    >>> any_of(["wait"]), any_of(["wait", "go"]), any_of(["wait", "go", "ask"])
    ('wait', 'wait or go', 'wait, go, or ask')
    """
    return ", ".join([*ways[:-1], f"or {ways[-1]}"]) if len(ways) > 2 else " or ".join(ways)


def warn(text: str) -> None:
    """Warn whoever called bigimg; the line that is shown is theirs."""
    warnings.warn(text, UserWarning, skip_file_prefixes=(os.path.dirname(__file__),))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is not one.

    >>> counted(1, "level"), counted(12, "level"), counted(0, "box of pixels")
    ('1 level', '12 levels', '0 boxes of pixels')
    """
    first, space, rest = noun.partition(" ")
    many = "" if number == 1 else "es" if first.endswith(("x", "s", "ch")) else "s"
    return f"{number} {first}{many}{space}{rest}"


def few(names: Sequence[object], most: int = 8) -> str:
    """Return the first of ``names`` as one text for a message.

    >>> few(["a", "b"]), few(range(12), 3)
    ('a, b', '0, 1, 2, …')
    """
    return ", ".join(map(one_line, names[:most])) + (", …" if len(names) > most else "")


class reading:
    """Turn errors of the code within into errors that name ``source`` and say what to do.

    It is no generator: an error that passes through one keeps all that its frames hold until the next collection.

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

    def __init__(
        self,
        source: str,
        parse_errors: tuple[type[Exception], ...] = (),
        remedy: str = "write the file again",
        *,
        what: str = "the header makes no sense",
    ) -> None:
        self.source, self.parse_errors, self.remedy, self.what = source, parse_errors, remedy, what

    def __enter__(self) -> None:
        """Do nothing yet."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise the error of ours that ``error`` becomes, if it becomes one."""
        if isinstance(error, BigimgError):  # some kinds are ValueErrors or OSErrors too
            return
        if isinstance(error, FileNotFoundError):
            raise InputNotFoundError(f"{self.source}: there is no such file; check the path") from None
        if isinstance(error, self.parse_errors):
            raise InputError(f"{self.source}: {self.what} ({one_line(error)}); {self.remedy}") from error
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise InputError(
                f"{self.source}: cannot be read ({reason}); check its type and permissions"
            ) from error


def damage(source: str, what: str, why: str = "") -> InputError:
    """Return the error of a damaged file that says ``what`` is wrong with it."""
    return InputError(f"{source}: {what}; {f'{why}: {AGAIN}' if why else DAMAGED}")


def without_remedy(error: BigimgError) -> str:
    """Return what ``error`` says without what to do.

    >>> without_remedy(InputError("a.tif: is empty; copy it again; or leave it out")), without_remedy(InputError("no"))
    ('a.tif: is empty', 'no')
    """
    return str(error).partition("; ")[0]


def one_line(error: object) -> str:
    """Return the text of ``error`` in one line of at most 160 characters; the name of its type if it has no text."""
    text = "".join(sign if sign.isprintable() else "?" for sign in " ".join(str(error)[:2000].split()))
    return (text if len(text) <= 160 else text[:157] + "...") or type(error).__name__
