"""Verbs that draw: ``slice``, ``thumbnail``, ``montage``, ``ortho`` and ``view``."""

from __future__ import annotations

from typing import Any

import click

from bigimg.cli.options import SOURCE, Verb, cut_at, numbers, shared

convention = click.option(
    "--convention", type=click.Choice(["neurological", "radiological"]),
    help="The right of a body at the right, or at the left; by default as in the image.",
)  # fmt: skip


@click.command("slice", cls=Verb)
@click.option(
    "--plane", default="z", show_default=True, help="axial, coronal, sagittal, or the axis cut: z, y, x."
)
@shared("source", "file", "at", "mm")
@convention
@click.option("--figure", is_flag=True, help="Draw axes, scale and letters around it.")
@shared("level", "own_levels", "memory", *SOURCE, "overwrite", "quiet")
def slice_(
    source: str, target: str, at: float | None, mm: bool, figure: bool, quiet: bool, **options: Any
) -> None:
    """Write one plane of SOURCE as the picture TARGET, in true aspect and 8 bits."""
    from bigimg.viewing.figure_files import plane_figure
    from bigimg.viewing.pictures import plane_picture

    (plane_figure if figure else plane_picture)(source, target, **cut_at(at, mm), **options)
    _name(target, quiet)


@click.command(cls=Verb)
@click.option("--max", "most", type=int, default=512, show_default=True, help="Pixels of the longer side.")
@convention
@click.option("--figure", is_flag=True, help="Draw axes and scale around it.")
@shared("source", "file", "own_levels", "memory", *SOURCE, "overwrite", "quiet")
def thumbnail(source: str, target: str, figure: bool, quiet: bool, **options: Any) -> None:
    """Write a small picture of SOURCE to TARGET, from the level that fits."""
    from bigimg.viewing.figure_files import plane_figure
    from bigimg.viewing.pictures import plane_picture

    (plane_figure if figure else plane_picture)(source, target, **options)
    _name(target, quiet)


@click.command(cls=Verb)
@click.argument("sources", nargs=-1, required=True)
@click.argument("target", type=click.Path(dir_okay=False))
@click.option("--plane", help="axial, coronal, sagittal, z, y, x; c for the channels, t for times.")
@click.option("--n", type=int, help="How many planes, evenly spaced; 9 by default.")
@click.option("--columns", type=int, help="Panels in a row.")
@click.option("--channel", help="One channel, by number or name.")
@convention
@shared("memory", *SOURCE, "overwrite", "quiet")
def montage(sources: tuple[str, ...], target: str, quiet: bool, **options: Any) -> None:
    """Draw planes of one image, several images, or the wells of a plate side by side into TARGET."""
    from bigimg.viewing.figure_files import montage_figure

    montage_figure(sources, target, **options)
    _name(target, quiet)


@click.command(cls=Verb)
@click.option(
    "--at", callback=numbers("12.5,-3,40 for x,y,z or z=12.5", float, least=3, most=3), metavar="X,Y,Z",
    help="The point: in millimetres of the world, else coordinates; or z=12.5; the middle by default.",
)  # fmt: skip
@click.option("--t", type=int, help="Which time; the first by default.")
@click.option("--channel", help="One channel, by number or name.")
@click.option("--overlay", metavar="MASK", help="Draw this mask or label image over it.")
@click.option("--crosshair/--no-crosshair", default=True, help="Draw lines through the point.")
@convention
@shared("source", "file", "level", "memory", *SOURCE, "overwrite", "quiet")
def ortho(source: str, target: str, quiet: bool, **options: Any) -> None:
    """Draw the three planes of the volume SOURCE through one point into TARGET, with the value there."""
    from bigimg.viewing.figure_files import ortho_figure

    ortho_figure(source, target, **options)
    _name(target, quiet)


@click.command(cls=Verb)
@shared("source", "own_levels", *SOURCE)
def view(source: str, **options: Any) -> None:
    """Show SOURCE in napari: its levels, channels, labels and units, read as it is looked at."""
    from bigimg.viewing.napari.window import view as show

    show(source, block=True, **options)


def _name(target: str, quiet: bool) -> None:
    """Print the path that was written, exactly as the person typed it."""
    if not quiet:
        click.echo(target, err=True)
