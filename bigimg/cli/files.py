"""Verbs about files: ``info``, ``formats``, ``export``, ``downsample`` and ``patches``."""

from __future__ import annotations

from typing import Any

import click

from bigimg.cli.messages import print_value, report
from bigimg.cli.options import OPENING, SOURCE, Verb, cut_at, lengths, pixels, shared
from bigimg.geometry.lengths import SPACING


@click.command(cls=Verb)
@shared("source", *OPENING, "json")
def info(source: str, as_json: bool, **options: Any) -> None:
    """Say what SOURCE is, how it is read, and what is doubtful. Reads no pixel."""
    from bigimg.opening.info import info as describe

    print_value(describe(source, **options), as_json)


@click.command()
@shared("json")
def formats(as_json: bool) -> None:
    """Say what this install reads and writes, by which library, and what each extra adds."""
    from bigimg.faces.formats import formats as list_formats

    print_value(list_formats(), as_json)


@click.command(cls=Verb)
@click.option("--plane", help="Write one plane: axial, coronal, sagittal, or the axis cut: z, y, x.")
@shared("source", "file", "at", "mm")
@click.option("--t", type=int, help="Write one time.")
@click.option("--channel", help="Write one channel, by number or name.")
@click.option(
    "--raw", is_flag=True, help="Stored values where the format has no place for slope and intercept."
)
@click.option(
    "--compression", type=click.Choice(["deflate", "zstd", "none"]), help="Of TIFF; deflate by default."
)
@click.option("--quality", type=int, help="Of JPEG, 1 to 100; 90 by default.")
@click.option("--nifti", "version", type=int, help="Of NIfTI: 1 or 2; 1 unless an axis needs 2.")
@shared("keep_metadata", "level", "own_levels", "memory", *SOURCE, "json", "quiet")
def export(
    source: str, target: str, at: float | None, mm: bool, level: int | None, as_json: bool, quiet: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Write SOURCE, or a plane of it, to TARGET; its ending names the format. Nothing is replaced."""
    from bigimg.exporters.run import export as write_file

    options |= cut_at(at, mm)
    report(write_file(source, target, level=level or 0, progress=not quiet, **options), as_json, quiet)


@click.command(cls=Verb)
@click.option("--factor", callback=pixels, metavar="N", help="Pixels that become one: 4, or z=1,y=4,x=4.")
@click.option(
    "--to-spacing", callback=lengths, metavar="LENGTHS", help=f"The nearest whole factor to it: {SPACING}."
)
@click.option("--shape", callback=pixels, metavar="H,W", help="Any smaller shape, as in 174,187.")
@shared("source", "target", "method", "level", "memory", "workers", *SOURCE, "overwrite", "json", "quiet")
def downsample(source: str, target: str, as_json: bool, quiet: bool, **options: Any) -> None:
    """Write SOURCE with fewer pixels to TARGET: a store, or a file whose ending names the format."""
    from bigimg.faces.downsample import downsample_to

    report(downsample_to(source, target, progress=not quiet, **options), as_json, quiet)


@click.command(cls=Verb)
@click.option(
    "--size", callback=pixels, required=True, metavar="H,W",
    help="Pixels of a patch: 256, or 174,187, or y=174,x=187.",
)  # fmt: skip
@click.option(
    "--stride", callback=pixels, metavar="H,W",
    help="Pixels from one patch to the next; the size by default.",
)  # fmt: skip
@click.option(
    "--overlap", callback=pixels, metavar="H,W", help="Pixels that neighbours share, in place of --stride."
)
@click.option("--n", type=int, help="This many at random places, in place of a grid.")
@click.option("--seed", type=int, help="Of the random places; the same seed gives the same patches.")
@click.option(
    "--edge", type=click.Choice(["shift", "pad", "drop"]), default="shift", show_default=True,
    help="The last patch of a row: moved back, filled up with zeros, or left out.",
)  # fmt: skip
@click.option("--where", metavar="MASK", help="Keep patches that this mask covers.")
@click.option("--min-fraction", type=float, help="Share of a patch that the mask must cover; 0.5 by default.")
@click.option("--format", type=click.Choice(["png", "tif", "npy"]), help="Of the files in a folder.")
@shared("source", "target", "level", *SOURCE, "memory", "json", "quiet")
def patches(
    source: str, target: str, format: str | None, level: int | None, as_json: bool, quiet: bool, **options: Any
) -> None:  # fmt: skip
    """Cut SOURCE into patches: files in the folder TARGET, one .npy, or a .zarr, with a table of places."""
    from bigimg.faces.patch_files import save_patches
    from bigimg.ops.patches.patches import patches as cut

    found = cut(source, level=level or 0, **options)
    report(save_patches(found, target, format=format, progress=not quiet), as_json, quiet)
