"""What the verbs print: values of the library, and its messages in the words of the command line.

The library writes ``memory='1GB'``, the command ``--memory 1GB``. The names of a verb's options are read from the
verb itself, so no list must be kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from shlex import quote
from typing import Any

import click

from bigimg.cli.options import CONVERSION
from bigimg.errors import BigimgError, any_of

ALIASES = {"index": "at", "position": "mm"}
"""Parameters of the library that have another name on the command line."""
OF_ONE = {"accept": "--accept", "into": "bigimg convert --into"}
"""Options of which a message says whose they are."""
OF_CONVERT = {
    name: f"bigimg convert --{name.replace('_', '-')}" for name in ("axis", "kind", "spacing", "ome_version")
}
"""Options on how a source is read that not all verbs have: the source can be converted with them."""
TYPED = "bigimg.typed"
"""Key in a context's ``meta`` of the words that the person typed."""


def in_words_of(
    command: click.Command, text: str, *, more: Mapping[str, str] | None = None, typed: Sequence[str] = ()
) -> str:
    """Return ``text`` with the parameters that are options of ``command`` written as a person types them.

    Parameters
    ----------
    command : click.Command
        The verb that runs.
    text : str
        ``use memory='1GB'``, ``resume=False``, ``give below= or otsu=True``.
    more : mapping, optional
        Options of another verb that the text may be about, by the name of their parameter.
    typed : sequence of str
        Words that the person typed. They stay as they are: a file may be called ``memory=small.png``.
    """
    flags = {name: (option, "") for name, option in (more or {}).items()}
    for option in command.params:
        if isinstance(option, click.Option) and option.name is not None:
            long = next((name for name in reversed(option.opts) if name.startswith("--")), option.opts[0])
            flags[option.name] = long, option.secondary_opts[-1] if option.secondary_opts else ""
    flags |= {parameter: flags[name] for parameter, name in ALIASES.items() if name in flags}
    if not flags:
        return text
    names = "|".join(map(re.escape, sorted(flags, key=len, reverse=True)))
    # Without a value only what cannot be a word of the sentence is taken for an option: levels_only.
    bare = "|".join(re.escape(name) for name in flags if "_" in name) or "(?!)"
    own = "|".join(re.escape(word) for word in typed if "=" in word and not word.startswith("-")) or "(?!)"
    # A name within a path, an address or another word is no option. A value is quoted, in brackets, a word, or left
    # out, as in "below= or".
    value = r"""\([^()]*\)|\{[^{}]*\}|'[^']*'|"[^"]*"|[\w+-][\w.+-]*(?<!\.)|(?=[\s,;:.)]|$)"""
    return re.sub(
        rf"{own}|(?<![\w/.?&='\"-])(?:({names})=({value})(?![\w/])|({bare})(?![\w=/.(-]))",
        lambda found: _replaced(found, flags),
        text,
    )


def error_in_words_of(command: click.Command, error: BigimgError, *, typed: Sequence[str] = ()) -> str:
    """Return the message of ``error`` for the verb that raised it: what to do names no option that it does not have.

    A way that needs an option of :data:`OF_CONVERT` is one of ``bigimg convert``; others that it lacks are left out.
    """
    own = {option.name for option in command.params} | {name for name, other in ALIASES.items()}
    more = OF_CONVERT | OF_ONE
    ways = [
        way
        for way in error.ways
        if set(re.findall(r"(?<![\w/.?&='\"-])([a-z_]+)=", way)) <= own | more.keys()
    ]
    text = str(error)
    if len(ways) < len(error.ways):
        text = f"{error.text} {any_of(ways)}" if ways else error.text.rstrip(":;")
    return in_words_of(command, text, more=more, typed=typed)


def _replaced(found: re.Match[str], flags: Mapping[str, tuple[str, str]]) -> str:
    if found[3] is not None:
        return flags[found[3]][0]
    return found[0] if found[1] is None else _as_typed(*flags[found[1]], found[2])


def _as_typed(option: str, off: str, value: str) -> str:
    if value.startswith("{"):  # {'A': 0, 'B': 1}
        value = re.sub("[{}' ]", "", value).replace(":", "=")
    if value in ("", "True"):
        return option
    if value == "False":
        return off or f"no {option}"
    bare = value[1:-1].replace(", ", ",") if value[0] in "('\"" else value
    return f"{option} {quote(bare)}"


def told_in_words_of(command: click.Command, text: str, *, typed: Sequence[str] = ()) -> str:
    """Return what is told while ``command`` runs, and is no error, in words that also have the options of others."""
    conversion = {name: f"--{name.replace('_', '-')}" for name in CONVERSION if name != "memory"} | OF_ONE
    return in_words_of(command, text, more=conversion, typed=typed)


def _in_words_of_this_verb(text: object) -> str:
    context = click.get_current_context()
    return told_in_words_of(context.command, str(text), typed=context.meta.get(TYPED, ()))


def say(value: object) -> None:
    """Tell a person on stderr what was done."""
    click.echo(_in_words_of_this_verb(value), err=True)


def print_value(value: Any, as_json: bool) -> None:
    """Print a value of the library on stdout: as JSON, or for a person.

    Raises
    ------
    OutputError
        stdout cannot be written, for instance because the disk is full.
    """
    if as_json:
        from bigimg.omezarr.metadata import strict

        text = json.dumps(strict(value.to_dict()), indent=2, ensure_ascii=False, allow_nan=False)
    else:
        text = _in_words_of_this_verb(value)
    try:
        click.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        from bigimg.errors import OutputError

        raise OutputError(
            f"standard output: cannot write ({error.strerror}); make room, or send it elsewhere"
        ) from error


def report(value: Any, as_json: bool, quiet: bool) -> None:
    """Print what was done: as JSON on stdout, or for a person on stderr unless ``quiet``."""
    if as_json:
        print_value(value, as_json)
    elif not quiet:
        say(value)
