"""The ``bigimg`` command: each verb calls one function of the library.

Data goes to stdout, everything else to stderr. A heavy library is imported only when a verb needs it: ``--help``
imports click alone, and ``convert`` imports neither xarray nor dask (``tests/test_imports.py`` checks this).

To add a verb, write a ``click.command`` in one of the files of this folder and add its name to :data:`FILES`. The
files import click, :mod:`bigimg.cli.options` and :mod:`bigimg.cli.messages` at the top; everything else is
imported inside the verb.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import warnings
from contextlib import suppress
from functools import partial
from typing import Any

import click

from bigimg.cli.messages import TYPED, error_in_words_of, told_in_words_of
from bigimg.system.signals import call_after
from bigimg.version import __version__

FILES = {
    "files": ("info", "formats", "export", "downsample", "patches"),
    "pictures": ("slice", "thumbnail", "montage", "ortho", "view"),
    "statistics": ("stats", "histogram", "fraction", "mask"),
    "stores": ("plan", "convert", "stack", "demo", "verify", "edit", "upgrade", "pack", "unpack", "clean"),
}
VERBS = {verb: file for file, verbs in FILES.items() for verb in verbs}
"""The file of this folder that holds each verb."""
STOPPED = {signal.SIGINT: ("interrupted", 130), signal.SIGTERM: ("terminated", 143)}
"""Word and exit code for each signal on which the command clears up and ends."""
PATIENCE = 5
"""Seconds from a signal to the end, even if a worker or a library still waits for something."""
_arrived: list[int] = []
"""Signals that arrived: a library may catch the exception that is raised for them."""


class _Stopped(BaseException):
    """A signal arrived: the stack unwinds, so that unfinished files are removed.

    Ctrl-C does not raise KeyboardInterrupt here, because click prints an empty line of its own for one.
    """


def main() -> None:
    """Run the command and exit with the code of its outcome."""
    for number in STOPPED:
        signal.signal(number, _stop)
    # No verb multiplies matrices, and the threads of OpenBLAS cost 30 ms when numpy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    warnings.showwarning = _show_warning
    # Our error reports damage once; libraries would log it too.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        code = cli.main(standalone_mode=False, prog_name="bigimg")
        # The work is done: Ctrl-C while Python exits must not turn success into failure.
        for number in STOPPED:
            signal.signal(number, signal.SIG_IGN)
    except _Stopped as stopped:
        code = _say_stopped(stopped.args[0], stopped, *stopped.args[1:])
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except BrokenPipeError:  # the program that reads our output, such as `head`, closed the pipe
        sys.stderr.close()
        code = 0
    except Exception as error:
        from bigimg.errors import BigimgError

        if (
            _arrived
        ):  # a library replaced our _Stopped by an error of its own, as numpy does during its import
            sys.exit(_say_stopped(_arrived[0], error))
        if not isinstance(error, BigimgError):
            raise
        code = _say(str(error), error.exit_code)
    sys.exit(code)


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Print a warning in one line, without the place in our code; nothing with ``--quiet``."""
    typed = sys.argv[1:]  # click knows verb and options in the main thread alone
    if {"-q", "--quiet"} & set(typed):
        return
    verb = cli.get_command(click.Context(cli), typed[0]) if typed else None
    text = str(message) if verb is None else told_in_words_of(verb, str(message), typed=typed)
    _say(f"note: {text}", 0)


def _say_stopped(number: int, error: BaseException, *messages: str) -> int:
    """Print that a signal ended the command, and what it left behind; return the exit code."""
    from bigimg.errors import Left

    word, code = STOPPED[signal.Signals(number)]
    left = [note for note in getattr(error, "__notes__", ()) if isinstance(note, Left)]
    rest = [*messages, *left, "nothing is left behind"]
    return _say(f"{word}; {rest[0]}", code)


def _stop(number: int, frame: object) -> None:
    signal.signal(number, _stop_now)
    _arrived.append(number)
    context = click.get_current_context(silent=True)
    call_after(PATIENCE, partial(_give_up, None if context is None else context.info_name))
    raise _Stopped(number)


def _give_up(verb: str | None) -> None:
    """End without clearing up, when a block that decodes for minutes or a lock that is never released blocks us.

    The state is that after a kill: a store is whole or absent, locks are free, and ``convert`` can go on from the
    blocks that are written.
    """
    word, code = STOPPED[signal.Signals(_arrived[0])]
    rest = "run the same command again to go on" if verb == "convert" else "something unfinished may be left"
    try:
        _say(f"{word} before all was cleared away; {rest}", code)
    finally:  # also if the print fails: the signal may have interrupted another print
        os._exit(code)


def _stop_now(number: int, frame: object) -> None:
    """End at the second signal without waiting for the clearing up."""
    raise _Stopped(number, "before all was cleared away: the unfinished store may be left")


def _say(message: str, code: int) -> int:
    with suppress(OSError):  # if stderr cannot be written, the exit code alone tells the outcome
        click.echo(f"bigimg: {' '.join(message.split())}", err=True)
    return code


class Verbs(click.Group):
    """The verbs of :data:`VERBS`; the file of a verb is imported when the verb is used."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Remember the typed words: file names among them must not be rewritten in messages."""
        ctx.meta[TYPED] = tuple(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb; its error messages name options as the command line does."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            from bigimg.errors import BigimgError

            verb = self.get_command(ctx, ctx.invoked_subcommand or "")
            if isinstance(error, BigimgError) and verb is not None:
                error.args = (error_in_words_of(verb, error, typed=ctx.meta[TYPED]), *error.args[1:])
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all verbs, sorted."""
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return the verb called ``name``, or None."""
        if name not in VERBS:
            return None
        file = importlib.import_module(f"bigimg.cli.{VERBS[name]}")
        return next(v for v in vars(file).values() if isinstance(v, click.Command) and v.name == name)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Huge images in bounded memory: any image to an OME-Zarr pyramid, and a look at it."""
