"""The ``bigimg`` command: one library function behind each verb.

Data goes to stdout, everything else to stderr. Nothing heavy is imported before a verb needs it: ``--help``
loads click alone, and ``convert`` neither xarray nor dask (``tests/test_imports.py`` keeps the list).

A verb is a ``click.command`` in a file of its family, and a line in :data:`VERBS`. Its file imports click and
:mod:`bigimg.cli.options` alone; what does the work is imported inside the verb.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
from contextlib import suppress
from functools import partial
from typing import Any

import click

from bigimg.cli.wording import TYPED, in_words_of
from bigimg.system.signals import call_after
from bigimg.version import __version__

VERBS = {
    "info": "looking",
    "formats": "looking",
    "slice": "looking",
    "thumbnail": "looking",
    "montage": "drawing",
    "plan": "converting",
    "convert": "converting",
    "demo": "converting",
    "stats": "statistics",
    "histogram": "statistics",
    "fraction": "statistics",
    "mask": "statistics",
    "downsample": "shrinking",
    "patches": "patching",
    "export": "exporting",
    "verify": "keeping",
    "clean": "keeping",
    "view": "viewing",
}
"""The file in this folder that holds each verb."""
STOPPED = {signal.SIGINT: ("interrupted", 130), signal.SIGTERM: ("terminated", 143)}
"""Word and exit code for each signal that ends a run in order."""


PATIENCE = 5
"""Seconds from a signal to the end, whatever a worker or a library still waits for."""
_arrived: list[int] = []
"""Signals that arrived, for a library may catch what is raised for them."""


class _Stopped(BaseException):
    """A signal arrived: unwind, so that what was begun is cleared away.

    Ctrl-C is no KeyboardInterrupt here, for click prints an empty line of its own when it sees one.
    """


def main() -> None:
    """Run the command and exit with the code of what happened."""
    for number in STOPPED:
        signal.signal(number, _stop)
    # No verb multiplies matrices, and numpy's threads for it spin 30 ms while it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    logging.getLogger().addHandler(logging.NullHandler())  # what libraries log of damage, our error says once
    try:
        code = cli.main(standalone_mode=False, prog_name="bigimg")
        for number in STOPPED:  # all is done: Ctrl-C while Python clears up would make a failure of it
            signal.signal(number, signal.SIG_IGN)
    except _Stopped as stopped:
        code = _say_stopped(stopped.args[0], stopped, *stopped.args[1:])
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except BrokenPipeError:  # the reader of our output, `head` for example, has had enough
        sys.stderr.close()
        code = 0
    except Exception as error:
        from bigimg.errors import BigimgError

        if _arrived:  # a library made an error of its own of ours, as numpy does while it is loaded
            sys.exit(_say_stopped(_arrived[0], error))
        if not isinstance(error, BigimgError):
            raise
        code = _say(str(error), error.exit_code)
    sys.exit(code)


def _say_stopped(number: int, error: BaseException, *said: str) -> int:
    """Say that a signal ended the command, and what of it is left; return the exit code."""
    from bigimg.errors import Left

    word, code = STOPPED[signal.Signals(number)]
    left = [note for note in getattr(error, "__notes__", ()) if isinstance(note, Left)]
    rest = [*said, *left, "nothing is left behind"]
    return _say(f"{word}; {rest[0]}", code)


def _stop(number: int, frame: object) -> None:
    signal.signal(number, _stop_now)
    _arrived.append(number)
    context = click.get_current_context(silent=True)
    call_after(PATIENCE, partial(_give_up, None if context is None else context.info_name))
    raise _Stopped(number)


def _give_up(verb: str | None) -> None:
    """End without clearing up: a block that decodes for minutes, or a lock that nobody gives back, would keep us.

    It leaves what a kill would leave: a store that is whole or absent, a lock that is free, and of ``convert``
    blocks to go on from.
    """
    word, code = STOPPED[signal.Signals(_arrived[0])]
    rest = "run the same command again to go on" if verb == "convert" else "something unfinished may be left"
    try:
        _say(f"{word} before all was cleared away; {rest}", code)
    finally:  # also when nothing can be said: the handler may have come in the middle of another line
        os._exit(code)


def _stop_now(number: int, frame: object) -> None:
    """A person who asks twice does not wait for the clearing."""
    raise _Stopped(number, "before all was cleared away: the unfinished store may be left")


def _say(message: str, code: int) -> int:
    with suppress(OSError):  # nobody can be told where not even that can be written; the code says it
        click.echo(f"bigimg: {' '.join(message.split())}", err=True)
    return code


class Verbs(click.Group):
    """The verbs of :data:`VERBS`, each imported when it is asked for."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what was typed: names of files are no words of ours."""
        ctx.meta[TYPED] = tuple(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb; what it refuses is said in the words of the command line."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            from bigimg.errors import BigimgError

            verb = self.get_command(ctx, ctx.invoked_subcommand or "")
            if isinstance(error, BigimgError) and verb is not None:
                error.args = (in_words_of(verb, str(error), typed=ctx.meta[TYPED]), *error.args[1:])
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all verbs, sorted."""
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return the verb called ``name``, or None."""
        if name not in VERBS:
            return None
        family = importlib.import_module(f"bigimg.cli.{VERBS[name]}")
        return next(v for v in vars(family).values() if isinstance(v, click.Command) and v.name == name)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Huge images in bounded memory: any image to an OME-Zarr pyramid, and a look at it."""
