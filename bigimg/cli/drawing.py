"""Verbs that draw several pictures into one: ``montage``."""

from __future__ import annotations

from typing import Any

import click

from bigimg.cli.options import shared


@click.command()
@click.argument("sources", nargs=-1, required=True)
@click.argument("target", type=click.Path(dir_okay=False))
@click.option("--plane", "plane", help="axial, coronal, sagittal, z, y, x; c for the channels, t for times.")
@click.option("--n", "n", type=int, help="How many planes, evenly spaced; 9 by default.")
@click.option("--columns", type=int, help="Panels in a row.")
@click.option("--channel", help="One channel, by number or name.")
@shared("memory", "series", "overwrite", "quiet")
def montage(sources: tuple[str, ...], target: str, quiet: bool, **asked: Any) -> None:
    """Draw planes of one image, or several images, side by side into TARGET."""
    from bigimg.viewing.figure_files import montage_figure

    montage_figure(sources, target, **asked)
    if not quiet:
        click.echo(target, err=True)
