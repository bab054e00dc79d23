"""The verb that takes an image out of a store: ``export``."""

from __future__ import annotations

from typing import Any

import click

from bigimg.cli.options import print_value, say, shared


@click.command()
@click.argument("source")
@click.argument("target", type=click.Path(dir_okay=False))
@click.option("--plane", "plane", help="Write one plane: axial, coronal, sagittal, or the axis cut: z, y, x.")
@click.option(
    "--at", "at", type=float, help="Index of the cut, or with --mm its position; the middle by default."
)
@click.option("--mm", is_flag=True, help="--at is a physical position, in the unit of the axis.")
@click.option("--t", "t", type=int, help="Write one time.")
@click.option("--channel", "channel", help="Write one channel, by number or name.")
@click.option(
    "--raw", is_flag=True, help="Stored values where the format has no place for slope and intercept."
)
@click.option(
    "--compression", type=click.Choice(["deflate", "zstd", "none"]), help="Of TIFF; deflate by default."
)
@click.option("--quality", type=int, help="Of JPEG, 1 to 100; 90 by default.")
@click.option("--nifti", "version", type=int, help="Of NIfTI: 1 or 2; 1 unless an axis needs 2.")
@shared("level", "memory", "series", "insecure", "max_download", "json", "quiet")
def export(
    source: str,
    target: str,
    at: float | None,
    mm: bool,
    level: int | None,
    as_json: bool,
    quiet: bool,
    **asked: Any,
) -> None:
    """Write SOURCE, or a plane of it, to TARGET; its ending names the format. Nothing is replaced."""
    from bigimg.exporters.run import export as take_out

    where: dict[str, Any] = {"position" if mm else "index": at}
    done = take_out(source, target, level=level or 0, progress=not quiet, **where, **asked)
    if as_json:
        print_value(done, as_json)
    elif not quiet:
        say(done)
