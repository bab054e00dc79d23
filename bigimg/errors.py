"""Every kind of error bigimg raises, one root, each kind also the builtin a caller would expect; and their words.

A message says what was asked, what is so, and what to do. The command line prints it on one line and
exits with ``exit_code``.
"""

from __future__ import annotations


class BigimgError(Exception):
    """Root of all errors raised on purpose by bigimg."""

    exit_code = 1

    def __reduce__(self) -> tuple[object, ...]:
        # As builtin errors do, but told by us: tblib, which a dask cluster pickles errors with, takes the builtin
        # way for one it knows, and cannot make again what is a ValueError and an OSError at once.
        return type(self), self.args, self.__dict__ or None


class Left(str):
    """A note on an error: what a run that ended early left behind, and what to do with it.

    A kind of its own, for an exception may bear the notes of others: Python's own class machinery writes one.
    """


class UsageError(BigimgError, ValueError):
    """An argument cannot mean anything: an unknown axis, a negative size, options that contradict."""

    exit_code = 2


class InputError(BigimgError, ValueError):
    """The source is there but cannot be used: corrupt, truncated, of a shape or type we refuse."""

    exit_code = 3


class InputNotFoundError(InputError, FileNotFoundError):
    """The source does not exist."""


class InconsistentSeries(InputError):
    """The slices of a series are no one even stack: some are missing, there twice, tilted or of another kind."""


class UnknownFormatError(InputError):
    """No reader recognises the content of the source."""


class MissingExtraError(InputError, ImportError):
    """The format is known, but the library that reads it is an extra that is not installed."""


class OutputError(BigimgError, OSError):
    """The target cannot be written: no space, no permission, a folder that is in the way."""

    exit_code = 4


class TargetExistsError(OutputError, FileExistsError):
    """The target exists already; nothing was changed."""


class ResumeError(OutputError):
    """An earlier run left a half store that was made from another source or with other options."""


class IntegrityError(BigimgError, RuntimeError):
    """A store does not hold what was written to it."""

    exit_code = 5


class MissingChunk(IntegrityError):
    """An object or an inner chunk of a store is gone: its pixels are unknown, so none are given."""


class CorruptChunk(IntegrityError):
    """An object of a store has other bytes than were written: a wrong length or checksum."""


class BudgetError(BigimgError, MemoryError):
    """The work does not fit the memory budget; the message names the settings that would.

    Parameters
    ----------
    message : str
    needed, allowed : int
        Bytes.
    """

    exit_code = 6

    def __init__(self, message: str, *, needed: int, allowed: int) -> None:
        super().__init__(message)
        self.needed = needed
        self.allowed = allowed

    def __reduce__(self) -> tuple[object, ...]:
        return (_budget_error, (str(self), self.needed, self.allowed))


def _budget_error(message: str, needed: int, allowed: int) -> BudgetError:
    return BudgetError(message, needed=needed, allowed=allowed)


class WorkerError(BigimgError, RuntimeError):
    """A worker died or lost its connection; the data is not to blame."""

    exit_code = 7


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is not one.

    >>> counted(1, "level"), counted(12, "level"), counted(0, "box of pixels")
    ('1 level', '12 levels', '0 boxes of pixels')
    """
    first, space, rest = noun.partition(" ")
    many = "" if number == 1 else "es" if first.endswith(("x", "s", "ch")) else "s"
    return f"{number} {first}{many}{space}{rest}"
