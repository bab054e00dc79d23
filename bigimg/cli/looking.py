"""Verbs that show what there is: ``info``, ``formats``, ``slice`` and ``thumbnail``."""

from __future__ import annotations

from typing import Any

import click

from bigimg.cli.options import print_value, shared


@click.command()
@click.argument("source")
@shared("series", "insecure", "max_download", "json")
def info(source: str, as_json: bool, **asked: Any) -> None:
    """Say what SOURCE is, how it is read, and what is doubtful. Reads no pixel."""
    from bigimg.opening.open import info as describe

    print_value(describe(source, **asked), as_json)


@click.command()
@shared("json")
def formats(as_json: bool) -> None:
    """Say what this install reads and writes, by which library, and what each extra adds."""
    from bigimg.faces.formats import formats as list_formats

    print_value(list_formats(), as_json)


@click.command("slice")
@click.argument("source")
@click.argument("target", type=click.Path(dir_okay=False))
@click.option(
    "--plane",
    "plane",
    default="z",
    show_default=True,
    help="axial, coronal, sagittal, or the axis cut: z, y, x.",
)
@click.option(
    "--at", "at", type=float, help="Index of the cut, or with --mm its position; the middle by default."
)
@click.option("--mm", is_flag=True, help="--at is a physical position, in the unit of the axis.")
@click.option("--figure", is_flag=True, help="Draw axes, scale and letters around it.")
@shared("level", "memory", "series", "overwrite", "quiet")
def slice_(
    source: str, target: str, plane: str, at: float | None, mm: bool, figure: bool, quiet: bool, **asked: Any
) -> None:
    """Write one plane of SOURCE as the picture TARGET, in true aspect and 8 bits."""
    from bigimg.viewing.figure_files import slice_figure
    from bigimg.viewing.pictures import slice_picture

    (slice_figure if figure else slice_picture)(source, target, plane=plane, at=at, physical=mm, **asked)
    if not quiet:
        click.echo(target, err=True)


@click.command()
@click.argument("source")
@click.argument("target", type=click.Path(dir_okay=False))
@click.option("--max", "most", type=int, default=512, show_default=True, help="Pixels of the longer side.")
@click.option("--figure", is_flag=True, help="Draw axes and scale around it.")
@shared("memory", "series", "overwrite", "quiet")
def thumbnail(source: str, target: str, most: int, figure: bool, quiet: bool, **asked: Any) -> None:
    """Write a small picture of SOURCE to TARGET, from the level that fits."""
    from bigimg.viewing.figure_files import thumbnail_figure
    from bigimg.viewing.pictures import thumbnail_picture

    (thumbnail_figure if figure else thumbnail_picture)(source, target, most=most, **asked)
    if not quiet:
        click.echo(target, err=True)
