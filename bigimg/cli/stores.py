"""Verbs about stores: they make, check and change them, pack them into one file, and clear up."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from bigimg.cli.messages import TYPED, error_in_words_of, print_value, say
from bigimg.cli.messages import report as say_or_print
from bigimg.cli.options import CLUSTER, CONVERSION, OPENING, Verb, shared
from bigimg.errors import counted

if TYPE_CHECKING:
    from bigimg.conversion.plates import PlateResult
    from bigimg.conversion.run import Result


@click.command(cls=Verb)
@shared("source", "target", *CONVERSION, "json")
def plan(source: str, target: str, as_json: bool, **options: Any) -> None:
    """Say what converting SOURCE to TARGET would do and cost. Writes nothing."""
    from bigimg.faces.convert import plan as make_plan

    print_value(make_plan(source, target, **options), as_json)


@click.command(cls=Verb)
@click.argument("paths", nargs=-1, required=True, metavar="SOURCE TARGET")
@click.option(
    "--into",
    metavar="DIR",
    help="Convert each of many SOURCES to a store in this folder; a folder is looked through.",
)
@click.option("--report", metavar="CSV", help="With --into: a table of what became of each source.")
@shared(*CONVERSION, *CLUSTER)
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.option("--resume/--no-resume", default=True, help="Go on from an interrupted run, or start over.")
@shared("overwrite")
@click.option("--sync/--no-sync", default=True, help="Have the store on the disk before it gets its name.")
@shared("json", "quiet")
def convert(
    paths: tuple[str, ...], into: str | None, report: str | None, dry_run: bool, as_json: bool, quiet: bool,
    scheduler: str | None, processes: bool, **options: Any,
) -> None:  # fmt: skip
    """Convert SOURCE to the OME-Zarr pyramid TARGET in one pass; with --into DIR each of many SOURCES to one in DIR."""
    with _cluster(scheduler, processes, options):
        _convert_any(paths, into, report, dry_run=dry_run, as_json=as_json, quiet=quiet, **options)


def _cluster(
    scheduler: str | None, processes: bool, options: Mapping[str, Any]
) -> AbstractContextManager[None]:
    """Return the cluster that the options of a verb ask for, to be active while it runs."""
    if scheduler is None and not processes:
        return nullcontext()
    if scheduler is not None and processes:
        raise click.UsageError("--scheduler names a cluster, and --processes makes one: give one of them")
    from bigimg.conversion.cluster import joined

    return joined(scheduler, options["workers"] or 0 if processes else None, options["memory"])


def _convert_any(
    paths: tuple[str, ...], into: str | None, report: str | None, *, dry_run: bool, as_json: bool, quiet: bool,
    **options: Any,
) -> None:  # fmt: skip
    if into is not None:
        _convert_all(paths, into, report, dry_run=dry_run, as_json=as_json, quiet=quiet, **options)
    elif report is not None:
        raise click.UsageError("--report is of many sources: give --into DIR too")
    elif len(paths) != 2:
        what = "Missing argument 'TARGET'." if len(paths) == 1 else f"Got {len(paths)} paths."
        raise click.UsageError(f"{what} Give SOURCE TARGET, or SOURCES... --into DIR.")
    else:
        _convert(*paths, dry_run=dry_run, as_json=as_json, quiet=quiet, **options)


def _convert(
    source: str, target: str, *, dry_run: bool, as_json: bool, quiet: bool, resume: bool, overwrite: bool,
    sync: bool, **options: Any,
) -> None:  # fmt: skip
    from bigimg.faces.convert import convert_source
    from bigimg.faces.convert import plan as make_plan

    if dry_run:
        print_value(make_plan(source, target, **options), as_json)
        return
    result = convert_source(
        source, target, progress=not quiet, resume=resume, overwrite=overwrite, sync=sync, **options
    )
    say_or_print(result if as_json else _summary(result), as_json, quiet)


def _convert_all(
    sources: tuple[str, ...], into: str, report: str | None, *, dry_run: bool, as_json: bool, quiet: bool,
    resume: bool, overwrite: bool, sync: bool, **options: Any,
) -> None:  # fmt: skip
    from bigimg.faces.many.convert_all import convert_each, plan_all

    if dry_run:
        print_value(plan_all(sources, into, **options), as_json)
        return
    context = click.get_current_context()
    found = convert_each(
        sources,
        into,
        report=report,
        worded=partial(error_in_words_of, context.command, typed=context.meta.get(TYPED, ())),
        progress=not quiet,
        resume=resume,
        overwrite=overwrite,
        sync=sync,
        **options,
    )
    say_or_print(found, as_json, quiet and found.ok)
    if not found.ok:
        context.exit(3)


@click.command(cls=Verb)
@click.argument("sources", nargs=-1, required=True)
@shared("target")
@click.option("--axis", "dim", type=click.Choice(list("tcz")), required=True, help="The new axis.")
@shared(*(name for name in CONVERSION if name not in ("axis", "plate")), *CLUSTER)
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@shared("overwrite", "json", "quiet")
def stack(
    sources: tuple[str, ...], target: str, dim: str, dry_run: bool, overwrite: bool, as_json: bool, quiet: bool,
    scheduler: str | None, processes: bool, **options: Any,
) -> None:  # fmt: skip
    """Put SOURCES side by side along a new axis, in their order, as the OME-Zarr pyramid TARGET."""
    from bigimg.faces.convert import convert_to_store, plan
    from bigimg.opening.open import open as open_image
    from bigimg.opening.sources import split
    from bigimg.ops.geometry import stack as stack_images

    opening, options = split(options)
    images = [open_image(source, memory=options["memory"], **opening) for source in sources]
    whole = stack_images(images, dim)
    if dry_run:
        print_value(plan(whole, target, **options), as_json)
        return
    with _cluster(scheduler, processes, options):
        result = convert_to_store(whole, target, progress=not quiet, overwrite=overwrite, **options)
    say_or_print(result if as_json else _summary(result), as_json, quiet)


@click.command()
@click.argument("target", default="bigimg-demo.ome.zarr")
@click.option("--size", default="32768x32768", show_default=True, help="Height x width in pixels, RGB.")
@click.option(
    "--memory", default="512MB", show_default=True, metavar="SIZE", help="Budget of resident memory."
)
@shared("workers", "json", "quiet")
def demo(target: str, size: str, memory: str, as_json: bool, quiet: bool, workers: int | None) -> None:
    """Make a gigapixel slide out of nothing, convert it inside the budget, and show what came out."""
    # Loaded before the plan measures memory: a budget that the picture does not fit is refused before a write.
    import dask.array  # noqa: F401
    import xarray  # noqa: F401

    from bigimg.conversion.progress import describe  # noqa: F401
    from bigimg.conversion.target import checked_target
    from bigimg.faces.convert import convert_to_store
    from bigimg.ops.statistics.tables import statistics_table
    from bigimg.readers.demo import SlideReader, parse_size
    from bigimg.viewing.pictures import plane_picture

    checked_target(target)
    picture = checked_target(target.rstrip("/") + ".png")
    reader = SlideReader(*parse_size(size))
    result = convert_to_store(reader, target, memory=memory, workers=workers, progress=not quiet)
    if not (quiet or as_json):
        say(_summary(result))
    plane_picture(target, picture, most=1024, memory=memory)
    if as_json:
        print_value(result, as_json)
    elif not quiet:
        click.echo(f"thumbnail: {picture}", err=True)
        click.echo(str(statistics_table(target)))


@click.command(cls=Verb)
@click.argument("store")
@click.argument("source", required=False)
@click.option("--quick", is_flag=True, help="Presence, lengths and metadata alone; no chunk is read.")
@click.option(
    "--accept", is_flag=True, help="If nothing is wrong, take over what others edited in the metadata."
)
@shared("memory", "workers", *CLUSTER, *OPENING, "json", "quiet")
def verify(
    store: str,
    source: str | None,
    as_json: bool,
    quiet: bool,
    scheduler: str | None,
    processes: bool,
    **options: Any,
) -> None:
    """Find whatever is lost, cut, changed or contradicting in STORE; with SOURCE, compare its pixels."""
    from bigimg.faces.verify import verify as check

    with _cluster(scheduler, processes, options):
        found = check(store, source, progress=not quiet, **options)
    if as_json:
        print_value(found, as_json)
    else:
        for finding in found.findings:
            click.echo(f"{store.rstrip('/')}/{finding}")
        for edit in found.edits:
            click.echo(f"edited: {store.rstrip('/')}/{edit}")
        if not quiet:
            # The notes say how many doubts there are, and --json lists all of them.
            doubts = [f"doubt: {each}" for each in found.doubts[:20]]
            for line in [*doubts, *(f"note: {each}" for each in found.notes)]:
                say(line)
    if not quiet or not found.ok:
        say(found.verdict)
    if not found.ok:
        click.get_current_context().exit(5)


@click.command()
@click.argument("store")
@shared("channels", "colors", "spacing", "window")
@shared("json", "quiet")
def edit(store: str, as_json: bool, quiet: bool, **options: Any) -> None:
    """Change what STORE says of its channels and its spacing. No pixel is read or written."""
    from bigimg.conversion.edit import edit as change

    say_or_print(change(store, **options), as_json, quiet)


@click.command()
@click.argument("store")
@click.option("--to", type=click.Choice(["0.5", "0.6"]), required=True, help="Version of OME-Zarr.")
@shared("json", "quiet")
def upgrade(store: str, to: Any, as_json: bool, quiet: bool) -> None:
    """Make STORE one of a newer OME-Zarr by its metadata. No pixel is read or written."""
    from bigimg.conversion.upgrade import upgrade as change

    say_or_print(change(store, to=to), as_json, quiet)


@click.command()
@click.argument("store")
@shared("target", "memory", "overwrite", "json", "quiet")
def pack(store: str, target: str, as_json: bool, quiet: bool, **options: Any) -> None:
    """Pack the folder STORE into the one file TARGET, named .ozx; it opens as the folder does."""
    from bigimg.faces.packing import pack as make

    say_or_print(make(store, target, progress=not quiet, **options), as_json, quiet)


@click.command()
@click.argument("packed")
@shared("target", "memory", "overwrite", "json", "quiet")
def unpack(packed: str, target: str, as_json: bool, quiet: bool, **options: Any) -> None:
    """Unpack PACKED, a store in one file, into the folder TARGET; every checksum is compared."""
    from bigimg.faces.packing import unpack as make

    say_or_print(make(packed, target, progress=not quiet, **options), as_json, quiet)


@click.command()
@click.argument("folder", default=".")
@click.option("--remove", is_flag=True, help="Remove what is listed.")
@shared("json")
def clean(folder: str, remove: bool, as_json: bool) -> None:
    """List what interrupted runs left in FOLDER, with sizes; remove it when told to."""
    from bigimg.conversion.leftovers import clean as find

    print_value(find(folder, remove=remove), as_json)


def _summary(result: Result | PlateResult) -> str:
    """Return what the conversion did, and commands that show the store."""
    from bigimg.conversion.plates import PlateResult
    from bigimg.omezarr.packed import is_packed
    from bigimg.planning.memory import human_bytes
    from bigimg.system.memory import peak_bytes

    if isinstance(result, PlateResult):
        return _plate_summary(result)
    plan, resumed = result.plan, result.blocks_resumed
    rate = human_bytes(plan.spec.nbytes / max(result.seconds, 1e-3))
    files = "one file" if is_packed(plan.target) else counted(plan.files, "file")
    return "\n".join(
        [
            f"{plan.target}: {counted(len(plan.levels), 'level')}, {human_bytes(result.stored_bytes)} in "
            f"{files} ({human_bytes(plan.spec.nbytes)} decoded)",
            f"{result.seconds:.1f} s, {rate}/s, peak memory {human_bytes(peak_bytes())} "
            f"of {human_bytes(plan.budget_bytes)} allowed ({human_bytes(plan.peak_bytes)} planned)",
            *([f"label images: {', '.join(label.name for label in plan.labels)}"] if plan.labels else []),
            *([f"went on from an interrupted run: {counted(resumed, 'block')} kept"] if resumed else []),
            *(f"note: {note}" for note in plan.notes),
            "look at it:",
            f"  bigimg thumbnail {shlex.quote(plan.target)} look.png",
            f"  bigimg stats {shlex.quote(plan.target)}",
            f"  python -c {shlex.quote(f'import bigimg; print(bigimg.open({plan.target!r}))')}",
        ]
    )


def _plate_summary(result: PlateResult) -> str:
    from bigimg.planning.memory import human_bytes
    from bigimg.system.memory import peak_bytes

    plan, resumed = result.plan, result.fields_resumed
    count = f"{counted(len(plan.layout.wells), 'well')}, {counted(len(plan.fields), 'field')}"
    return "\n".join(
        [
            f"{plan.target}: a plate of {count}, {human_bytes(result.stored_bytes)} written "
            f"({human_bytes(plan.decoded_bytes)} decoded, all levels)",
            f"{result.seconds:.1f} s, peak memory {human_bytes(peak_bytes())} of "
            f"{human_bytes(plan.largest.budget_bytes)} allowed ({human_bytes(plan.peak_bytes)} planned)",
            *([f"went on from an interrupted run: {counted(resumed, 'field')} kept"] if resumed else []),
            *(f"note: {note}" for note in plan.notes),
            "look at it:",
            f"  bigimg info {shlex.quote(plan.target)}",
            f"  bigimg montage {shlex.quote(plan.target)} look.png",
            f"  python -c {shlex.quote(f'import bigimg; print(bigimg.open_plate({plan.target!r}))')}",
        ]
    )
