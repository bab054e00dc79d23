"""The verb that makes images smaller: ``downsample``."""

from __future__ import annotations

from typing import Any

import click

from bigimg.cli.options import print_value, say, shared


def _numbers(_: click.Context, option: click.Parameter, text: str | None) -> dict[str, float] | float | None:
    """Return ``4`` or ``z=1,y=4,x=4`` as a number or numbers by axis."""
    if text is None:
        return None
    try:
        if "=" in text:
            return {name.strip(): float(n) for name, n in (part.split("=") for part in text.split(","))}
        return float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r}: write 4, or z=1,y=4,x=4", param=option) from None


def _shape(_: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """Return ``174,187`` as pixels."""
    try:
        return None if text is None else tuple(int(n) for n in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r}: write height,width as in 174,187", param=option) from None


@click.command()
@click.argument("source")
@click.argument("target")
@click.option("--factor", callback=_numbers, metavar="N", help="Pixels that become one: 4, or z=1,y=4,x=4.")
@click.option(
    "--to-spacing", callback=_numbers, metavar="LENGTH", help="The nearest whole factor to it: 2, or y=2,x=2."
)
@click.option("--shape", callback=_shape, metavar="H,W", help="Any smaller shape, as in 174,187.")
@shared("method", "level", "memory", "workers", "series", "overwrite", "json", "quiet")
def downsample(source: str, target: str, as_json: bool, quiet: bool, **asked: Any) -> None:
    """Write SOURCE with fewer pixels to TARGET: a store, or a file whose ending names the format."""
    from bigimg.faces.downsample import downsample_to

    done = downsample_to(source, target, progress=not quiet, **asked)
    if as_json:
        print_value(done, as_json)
    elif not quiet:
        say(done)
