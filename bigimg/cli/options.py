"""Options that verbs share, spelt the same for each, and how a value of ours is printed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import click

from bigimg.cli.wording import TYPED, in_words_of


def shared(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds the options in ``names``, spelt the same for every verb."""

    def add(function: Callable[..., None]) -> Callable[..., None]:
        for name in reversed(names):
            function = OPTIONS[name](function)
        return function

    return add


def lengths(
    _: click.Context, option: click.Parameter, text: str | None
) -> dict[str, int] | tuple[int, ...] | int | None:
    """Return ``512``, ``64,64,64`` or ``y=512,x=512`` as pixels."""
    if text is None:
        return None
    try:
        if "=" in text:
            return {name.strip(): int(n) for name, n in (part.split("=") for part in text.split(","))}
        numbers = tuple(int(n) for n in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r}: write 512, or 64,64,64, or y=512,x=512", param=option) from None
    return numbers if len(numbers) > 1 else numbers[0]


def _insecure(_: click.Context, __: click.Parameter, asked: bool) -> bool:
    """Say once, as a line of ours, what the library would warn of in Python's way."""
    if asked:
        import warnings

        warnings.filterwarnings("ignore", ".*certificates are not checked", UserWarning)
        click.echo("bigimg: certificates of servers are not checked (--insecure)", err=True)
    return asked


def series(context: click.Context, option: click.Parameter, text: str | None) -> int | str | None:
    """Return a number as one, a name (of a TIFF's series, a UID of DICOM) as it is."""
    return int(text) if text is not None and re.fullmatch(r"-?\d+", text) else text


OPTIONS: dict[str, Callable[[Callable[..., None]], Callable[..., None]]] = {
    "memory": click.option("--memory", metavar="SIZE", help="Budget of resident memory, as in 512MB or 2GiB."),
    "workers": click.option("--workers", type=int, help="At most this many workers; one a CPU by default."),
    "level": click.option("--level", type=int, help="Level of a pyramid: 0 is full resolution, -1 the smallest."),
    "series": click.option(
        "--series", metavar="WHICH", callback=series, help="Number or name, where the source holds several images."
    ),
    "overwrite": click.option(
        "--overwrite", is_flag=True, help="Replace what is there, once the new one is whole."
    ),
    "json": click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    "quiet": click.option("-q", "--quiet", is_flag=True, help="Print errors alone."),
    "chunks": click.option("--chunks", callback=lengths, help="Pixels of the unit of reading: 512, or y=512,x=512."),
    "shards": click.option("--shards", callback=lengths, help="Pixels of the unit of writing; multiples of chunks."),
    "codec": click.option("--codec", type=click.Choice(["lz4", "zstd", "none"]), default="lz4", show_default=True),
    "levels": click.option("--levels", type=int, help="Number of levels, full resolution included."),
    "method": click.option(
        "--method", type=click.Choice(["mean", "mode", "nearest", "min", "max", "gaussian"]), help="Way of halving."
    ),
    "kind": click.option("--kind", type=click.Choice(["image", "labels", "mask"]), help="What the numbers mean."),
    "spacing": click.option("--spacing", metavar="z=2,y=0.5,x=0.5um", help="In place of what the file says."),
    "channels": click.option(
        "--channels", callback=lambda _, __, text: text.split(",") if text else None, help="Names, as in DAPI,GFP."
    ),
    "insecure": click.option(
        "--insecure", is_flag=True, callback=_insecure, help="Take any certificate of a server."
    ),
    "max_download": click.option("--max-download", metavar="SIZE", help="The most to fetch or unzip; 10GB by default."),
    "keep_metadata": click.option(
        "--keep-metadata", is_flag=True, help="Write also fields that may tell who was imaged."
    ),
    "ome_version": click.option(
        "--ome-version", type=click.Choice(["0.4", "0.5", "0.6"]), default="0.5", show_default=True,
        help="Of the store; 0.4 is for QuPath and older tools.",
    ),
}  # fmt: skip
CONVERSION = (
    "memory",
    "workers",
    "chunks",
    "shards",
    "codec",
    "levels",
    "method",
    "kind",
    "spacing",
    "channels",
    "keep_metadata",
    "ome_version",
    "series",
    "insecure",
    "max_download",
)


def spoken(text: object) -> str:
    """Return a text of the library as the command that runs would say it."""
    conversion = {name: f"--{name.replace('_', '-')}" for name in CONVERSION if name != "memory"}
    context = click.get_current_context()
    return in_words_of(context.command, str(text), beside=conversion, typed=context.meta.get(TYPED, ()))


def say(value: object) -> None:
    """Tell a person, on stderr, what was done."""
    click.echo(spoken(value), err=True)


def print_value(value: Any, as_json: bool) -> None:
    """Print a value of ours: as JSON, or for a person."""
    if as_json:
        from bigimg.omezarr.metadata import strict

        text = json.dumps(strict(value.to_dict()), indent=2, ensure_ascii=False, allow_nan=False)
    else:
        text = spoken(value)
    try:
        click.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        from bigimg.errors import OutputError

        raise OutputError(
            f"standard output: cannot write ({error.strerror}); make room, or send it elsewhere"
        ) from error
