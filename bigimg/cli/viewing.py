"""The verb that opens a window: ``view``."""

from __future__ import annotations

import click

from bigimg.cli.options import shared


@click.command()
@click.argument("source")
@shared("series")
def view(source: str, series: int | None) -> None:
    """Show SOURCE in napari: its levels, channels, labels and units, read as it is looked at."""
    from bigimg.viewing.napari.window import view as show

    show(source, series=series, block=True)
