"""Verbs that make a store: ``plan``, ``convert`` and ``demo``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bigimg.cli.options import CONVERSION, print_value, say, shared
from bigimg.errors import counted

if TYPE_CHECKING:
    from bigimg.conversion.run import Result


@click.command()
@click.argument("source")
@click.argument("target")
@shared(*CONVERSION, "json")
def plan(source: str, target: str, as_json: bool, **asked: Any) -> None:
    """Say what converting SOURCE to TARGET would do and cost. Writes nothing."""
    from bigimg.faces.convert import plan as make

    print_value(make(source, target, **asked), as_json)


@click.command()
@click.argument("source")
@click.argument("target")
@shared(*CONVERSION)
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.option("--resume/--no-resume", default=True, help="Go on from an interrupted run, or start over.")
@shared("overwrite")
@click.option("--sync/--no-sync", default=True, help="Have the store on the disk before it gets its name.")
@shared("json", "quiet")
def convert(
    source: str,
    target: str,
    dry_run: bool,
    resume: bool,
    overwrite: bool,
    sync: bool,
    as_json: bool,
    quiet: bool,
    **asked: Any,
) -> None:
    """Convert SOURCE to the OME-Zarr pyramid TARGET in one pass."""
    from bigimg.faces.convert import convert_to_store
    from bigimg.faces.convert import plan as make

    if dry_run:
        print_value(make(source, target, **asked), as_json)
        return
    result = convert_to_store(
        source, target, progress=not quiet, resume=resume, overwrite=overwrite, sync=sync, **asked
    )
    if as_json:
        print_value(result, as_json)
    elif not quiet:
        say(_summary(result))


@click.command()
@click.argument("target", default="bigimg-demo.ome.zarr")
@click.option("--size", default="32768x32768", show_default=True, help="Height x width in pixels, RGB.")
@click.option(
    "--memory", default="512MB", show_default=True, metavar="SIZE", help="Budget of resident memory."
)
@shared("workers", "json", "quiet")
def demo(target: str, size: str, memory: str, as_json: bool, quiet: bool, workers: int | None) -> None:
    """Make a gigapixel slide out of nothing, convert it inside the budget, and show what came out."""
    from bigimg.conversion.progress import describe  # noqa: F401  (loaded before the plan measures memory)
    from bigimg.conversion.target import checked_target
    from bigimg.faces.convert import convert_to_store
    from bigimg.ops.statistics.tables import statistics_table
    from bigimg.readers.demo import SlideReader, parse_size
    from bigimg.viewing.pictures import thumbnail_picture

    checked_target(target)
    picture = checked_target(target.rstrip("/") + ".png")
    reader = SlideReader(*parse_size(size))
    result = convert_to_store(reader, target, memory=memory, workers=workers, progress=not quiet)
    if not (quiet or as_json):
        say(_summary(result))  # before the thumbnail, whose imports are no part of the peak
    thumbnail_picture(target, picture, most=1024, memory=memory)
    if as_json:
        print_value(result, as_json)
    elif not quiet:
        click.echo(f"thumbnail: {picture}", err=True)
        click.echo(str(statistics_table(target)))


def _resumed(result: Result) -> list[str]:
    """Return what was kept of an interrupted run, if anything."""
    kept = result.blocks_resumed
    return [f"went on from an interrupted run: {counted(kept, 'block')} kept"] if kept else []


def _summary(result: Result) -> str:
    """Return what was done, and how to look at it."""
    from bigimg.planning.memory import human_bytes
    from bigimg.system.memory import peak_bytes

    plan = result.plan
    rate = human_bytes(plan.spec.nbytes / max(result.seconds, 1e-3))
    return "\n".join(
        [
            f"{plan.target}: {counted(len(plan.levels), 'level')}, {human_bytes(result.stored_bytes)} in "
            f"{counted(plan.files, 'file')} "
            f"({human_bytes(plan.spec.nbytes)} decoded)",
            f"{result.seconds:.1f} s, {rate}/s, peak memory {human_bytes(peak_bytes())} "
            f"of {human_bytes(plan.budget_bytes)} allowed ({human_bytes(plan.peak_bytes)} planned)",
            *_resumed(result),
            *(f"note: {note}" for note in plan.notes),
            "look at it:",
            f"  bigimg thumbnail {plan.target} look.png",
            f"  bigimg stats {plan.target}",
            f'  python -c "import bigimg; print(bigimg.open({plan.target!r}))"',
        ]
    )
