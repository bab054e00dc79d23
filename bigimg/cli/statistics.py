"""Verbs that answer with numbers, and the masks that they count: ``stats histogram fraction mask``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from typing import Any

import click

from bigimg.cli.options import print_value, say, shared


def _threshold(
    _: click.Context, option: click.Parameter, text: str | None
) -> dict[str, float] | list[float] | float | None:
    """Return ``125``, ``125,140,90`` or ``R=125,G=140,B=90`` as numbers."""
    if text is None:
        return None
    try:
        if "=" in text:
            return {name.strip(): _number(n) for name, n in (part.split("=") for part in text.split(","))}
        numbers = [_number(n) for n in text.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"{text!r}: write 125, or 125,140,90, or R=125,G=140,B=90", param=option
        ) from None
    return numbers if len(numbers) > 1 else numbers[0]


def _number(text: str) -> float:
    """Return an integer exactly, of any size, anything else as a float."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def _pair(_: click.Context, option: click.Parameter, text: str | None) -> tuple[float, float] | None:
    """Return ``10,90`` as two numbers."""
    if text is None:
        return None
    try:
        low, high = (_number(n) for n in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r}: write two numbers, as in 10,90", param=option) from None
    return low, high


WHERE = click.option("--where", metavar="MASK", help="Count only where this mask is true.")
CONDITIONS = (
    click.option("--below", callback=_threshold, metavar="N", help="Pixels < N; R=125,G=140 for these channels alone."),
    click.option("--above", callback=_threshold, metavar="N", help="Pixels > N."),
    click.option("--between", callback=_pair, metavar="LOW,HIGH", help="Pixels from LOW to HIGH, both included."),
    click.option("--equals", callback=_threshold, metavar="N", help="Pixels of this value or label."),
    click.option("--otsu", is_flag=True, help="Pixels above Otsu's threshold of their channel."),
)  # fmt: skip


def _conditions(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(CONDITIONS):
        function = option(function)
    return function


@click.command()
@click.argument("source")
@WHERE
@shared("level", "memory", "series", "json")
def stats(source: str, as_json: bool, **asked: Any) -> None:
    """Print count, min, max, mean and std of each channel; from the store where it holds them."""
    from bigimg.ops.statistics.tables import statistics_table

    print_value(statistics_table(source, **asked), as_json)


@click.command()
@click.argument("source")
@click.option("--bins", type=int, default=50, show_default=True, help="How many, of equal width.")
@click.option(
    "--range", "range", callback=_pair, metavar="LOW,HIGH", help="Outer edges; min and max by default."
)
@WHERE
@click.option("--plot", type=click.Path(dir_okay=False), help="Draw it into this picture too.")
@shared("level", "memory", "series", "overwrite", "json")
def histogram(source: str, plot: str | None, overwrite: bool, as_json: bool, **asked: Any) -> None:
    """Print how many pixels of each channel lie in each bin; from the store where it holds counts."""
    from bigimg.ops.statistics.tables import histogram_table

    if plot is not None:  # first: a target that is refused is refused before all is counted
        from bigimg.viewing.figure_files import histogram_figure

        histogram_figure(source, plot, overwrite=overwrite, **asked)
    found = histogram_table(source, **asked)
    print_value(found, as_json)
    if not as_json and sys.stdout.isatty():
        click.echo(found.sparklines(shutil.get_terminal_size().columns))


@click.command()
@click.argument("source")
@_conditions
@click.option("--levels", is_flag=True, help="Of every level of a pyramid.")
@WHERE
@shared("level", "memory", "series", "json")
def fraction(source: str, as_json: bool, **asked: Any) -> None:
    """Print what share and area of each channel is true: of a mask, or of an image by conditions."""
    from bigimg.ops.statistics.tables import fraction_table

    print_value(fraction_table(source, **asked), as_json)


@click.command()
@click.argument("source")
@click.argument("target")
@_conditions
@shared("level", "memory", "workers", "series", "overwrite", "json", "quiet")
def mask(
    source: str, target: str, level: int | None, memory: str | None, workers: int | None, series: int | None,
    overwrite: bool, as_json: bool, quiet: bool, **conditions: Any,
) -> None:  # fmt: skip
    """Write where SOURCE fulfils all conditions to the store TARGET; STORE/labels/NAME makes a label of it."""
    from bigimg.faces.convert import convert_to_store
    from bigimg.opening.open import open as open_image
    from bigimg.ops.masks import mask as make
    from bigimg.ops.statistics.tables import mask_report

    found = make(open_image(source, level=level or 0, memory=memory, series=series), **conditions)
    result = convert_to_store(
        found, target, kind="mask", memory=memory, workers=workers, overwrite=overwrite, progress=not quiet
    )
    report = mask_report(target, result.statistics, result.stored_bytes)
    if as_json:
        print_value(report, as_json)
    elif not quiet:
        say(report)
