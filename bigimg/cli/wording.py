"""Messages of the library, which speak of Python's ``memory='1GB'``, in the words of the command: ``--memory 1GB``.

What a verb's own options are called is read from the verb, so there is no list to keep.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import click

ALIASES = {"physical": "mm", "index": "at", "position": "mm"}
"""Parameters of the library that a verb has under another name."""
TYPED = "bigimg.typed"
"""In a context's ``meta``: the words that the person typed."""


def in_words_of(
    command: click.Command, text: str, *, beside: Mapping[str, str] | None = None, typed: Sequence[str] = ()
) -> str:
    """Return ``text`` with what is an option of ``command`` written as a person types it.

    Parameters
    ----------
    command : click.Command
        The verb that runs.
    text : str
        ``use memory='1GB'``, ``resume=False``, ``give below= or otsu=True``.
    beside : mapping, optional
        More options by the name of their parameter: those of another verb that the text may be about.
    typed : sequence of str
        Words that the person typed: a file may be called ``memory=small.png``, and is called so.
    """
    flags = {name: (option, "") for name, option in (beside or {}).items()}
    for option in command.params:
        if isinstance(option, click.Option) and option.name is not None:
            off = option.secondary_opts[-1] if option.secondary_opts else ""
            flags[option.name] = (
                option.opts[-1] if option.opts[-1].startswith("--") else option.opts[0],
                off,
            )
    for parameter, name in ALIASES.items():
        if name in flags:
            flags[parameter] = flags[name]
    if not flags:
        return text
    names = "|".join(map(re.escape, sorted(flags, key=len, reverse=True)))
    own = "|".join(re.escape(word) for word in typed if "=" in word and not word.startswith("-")) or "(?!)"
    # Not within a path, an address or another word; a value is quoted, in brackets, a word, or left out, as in
    # "below= or".
    value = r"""\([^()]*\)|'[^']*'|"[^"]*"|[\w+-][\w.+-]*(?<!\.)|(?=[\s,;:.)]|$)"""
    return re.sub(
        rf"{own}|(?<![\w/.?&='\"-])({names})=({value})(?![\w/])",
        lambda found: found[0] if found[1] is None else _typed(*flags[found[1]], found[2]),
        text,
    )


def _typed(option: str, off: str, value: str) -> str:
    if value in ("", "True"):
        return option
    if value == "False":
        return off or f"no {option}"
    bare = value[1:-1].replace(", ", ",") if value[0] in "('\"" else value
    return f"{option} {bare}"
