"""The verb that cuts an image into patches: ``patches``."""

from __future__ import annotations

from typing import Any

import click

from bigimg.cli.options import lengths, print_value, say, shared


@click.command()
@click.argument("source")
@click.argument("target", type=click.Path())
@click.option(
    "--size",
    callback=lengths,
    required=True,
    metavar="H,W",
    help="Pixels of a patch: 256, or 174,187, or y=174,x=187.",
)
@click.option(
    "--stride",
    callback=lengths,
    metavar="H,W",
    help="Pixels from one patch to the next; the size by default.",
)
@click.option(
    "--overlap", callback=lengths, metavar="H,W", help="Pixels that neighbours share, in place of --stride."
)
@click.option("--n", "n", type=int, help="This many at random places, in place of a grid.")
@click.option("--seed", type=int, help="Of the random places; the same seed gives the same patches.")
@click.option(
    "--edge",
    type=click.Choice(["shift", "pad", "drop"]),
    default="shift",
    show_default=True,
    help="The last patch of a row: moved back, filled up with zeros, or left out.",
)
@click.option("--where", metavar="MASK", help="Keep patches that this mask covers.")
@click.option("--min-fraction", type=float, help="Share of a patch that the mask must cover; 0.5 by default.")
@click.option(
    "--format", "format", type=click.Choice(["png", "tif", "npy"]), help="Of the files in a folder."
)
@shared("level", "series", "memory", "json", "quiet")
def patches(
    source: str,
    target: str,
    format: str | None,
    series: int | str | None,
    as_json: bool,
    quiet: bool,
    **asked: Any,
) -> None:
    """Cut SOURCE into patches: files in the folder TARGET, one .npy, or a .zarr, with a table of places."""
    from bigimg.faces.patch_files import save_patches
    from bigimg.opening.open import open_source
    from bigimg.ops.patches.patches import patches as cut

    asked["level"] = asked["level"] or 0
    done = save_patches(
        cut(open_source(source, series=series), **asked), target, format=format, progress=not quiet
    )
    if as_json:
        print_value(done, as_json)
    elif not quiet:
        say(done)
