"""Verbs that count, and the masks that they count: ``stats``, ``histogram``, ``fraction`` and ``mask``."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import click

from bigimg.cli.messages import print_value, report
from bigimg.cli.options import SOURCE, Verb, added, number, numbers, shared

threshold = numbers("125, or 125,140,90, or R=125,G=140,B=90", number, most=1 << 16)
pair = numbers("two numbers, as in 10,90", number, names=False, least=2, most=2)
conditions = added([
    click.option("--below", callback=threshold, metavar="N", help="Pixels < N; R=125,G=140 for these channels alone."),
    click.option("--above", callback=threshold, metavar="N", help="Pixels > N."),
    click.option("--between", callback=pair, metavar="LOW,HIGH", help="Pixels from LOW to HIGH, both included."),
    click.option("--equals", callback=threshold, metavar="N", help="Pixels of this value or label."),
    click.option("--otsu", is_flag=True, help="Pixels above Otsu's threshold of their channel."),
    click.option("--below-otsu", is_flag=True, help="All others, as tissue on a bright slide."),
    click.option("--gray", type=click.Choice(["luma", "mean"]), help="Compare the grey value, not each channel."),
    click.option("--any", is_flag=True, help="One mask: where at least one channel fulfils the conditions."),
])  # fmt: skip


@click.command(cls=Verb)
@shared("source", "where", "level", "memory", *SOURCE, "json")
def stats(source: str, as_json: bool, **options: Any) -> None:
    """Print count, min, max, mean and std of each channel; from the store where it holds them."""
    from bigimg.ops.statistics.tables import statistics_table

    print_value(statistics_table(source, **options), as_json)


@click.command(cls=Verb)
@click.option("--bins", type=int, default=50, show_default=True, help="How many, of equal width.")
@click.option("--range", callback=pair, metavar="LOW,HIGH", help="Outer edges; min and max by default.")
@shared("source", "where")
@click.option("--plot", type=click.Path(dir_okay=False), help="Draw it into this picture too.")
@shared("level", "memory", *SOURCE, "overwrite", "json")
def histogram(source: str, plot: str | None, overwrite: bool, as_json: bool, **options: Any) -> None:
    """Print how many pixels of each channel lie in each bin; from the store where it holds counts."""
    from bigimg.ops.statistics.tables import histogram_table

    if plot is not None:  # first, so that a bad target is refused before anything is counted
        from bigimg.viewing.figure_files import histogram_figure

        histogram_figure(source, plot, overwrite=overwrite, **options)
    found = histogram_table(source, **options)
    print_value(found, as_json)
    if not as_json and sys.stdout.isatty():
        click.echo(found.sparklines(shutil.get_terminal_size().columns))


@click.command(cls=Verb)
@conditions
@click.option("--levels", is_flag=True, help="Of every level of a pyramid.")
@shared("source", "where", "level", "memory", *SOURCE, "json")
def fraction(source: str, as_json: bool, **options: Any) -> None:
    """Print what share and area of each channel is true: of a mask, or of an image by conditions."""
    from bigimg.ops.statistics.tables import fraction_table

    print_value(fraction_table(source, **options), as_json)


@click.command(cls=Verb)
@conditions
@shared("source", "target", "level", "memory", "workers", *SOURCE, "overwrite", "json", "quiet")
def mask(
    source: str, target: str, level: int | None, memory: str | None, workers: int | None, overwrite: bool,
    as_json: bool, quiet: bool, **options: Any,
) -> None:  # fmt: skip
    """Write where SOURCE fulfils all conditions to the store TARGET; STORE/labels/NAME makes a label of it."""
    from bigimg.faces.convert import convert_to_store
    from bigimg.opening.open import open as open_image
    from bigimg.opening.sources import split
    from bigimg.ops.masks import mask as make_mask
    from bigimg.ops.statistics.tables import mask_report

    opening, thresholds = split(options)
    found = make_mask(open_image(source, level=level or 0, memory=memory, **opening), **thresholds)
    result = convert_to_store(
        found, target, kind="mask", memory=memory, workers=workers, overwrite=overwrite, progress=not quiet
    )
    found_in = mask_report(target, result.statistics, result.stored_bytes, result.plan.spec.axes)
    report(found_in, as_json, quiet)
