"""Verbs about stores: ``plan``, ``convert``, ``stack``, ``demo``, ``verify``, ``edit`` and ``clean``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bigimg.cli.messages import print_value, report, say
from bigimg.cli.options import CONVERSION, OPENING, number, shared
from bigimg.errors import counted

if TYPE_CHECKING:
    from bigimg.conversion.run import Result


@click.command()
@shared("source", "target", *CONVERSION, "json")
def plan(source: str, target: str, as_json: bool, **options: Any) -> None:
    """Say what converting SOURCE to TARGET would do and cost. Writes nothing."""
    from bigimg.faces.convert import plan as make_plan

    print_value(make_plan(source, target, **options), as_json)


@click.command()
@shared("source", "target", *CONVERSION)
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.option("--resume/--no-resume", default=True, help="Go on from an interrupted run, or start over.")
@shared("overwrite")
@click.option("--sync/--no-sync", default=True, help="Have the store on the disk before it gets its name.")
@shared("json", "quiet")
def convert(
    source: str, target: str, dry_run: bool, resume: bool, overwrite: bool, sync: bool, as_json: bool,
    quiet: bool, **options: Any,
) -> None:  # fmt: skip
    """Convert SOURCE to the OME-Zarr pyramid TARGET in one pass."""
    from bigimg.faces.convert import convert_to_store
    from bigimg.faces.convert import plan as make_plan

    if dry_run:
        print_value(make_plan(source, target, **options), as_json)
        return
    result = convert_to_store(
        source, target, progress=not quiet, resume=resume, overwrite=overwrite, sync=sync, **options
    )
    report(result if as_json else _summary(result), as_json, quiet)


@click.command()
@click.argument("sources", nargs=-1, required=True)
@shared("target")
@click.option("--axis", "dim", type=click.Choice(list("tcz")), required=True, help="The new axis.")
@shared(*(name for name in CONVERSION if name != "axis"))
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@shared("overwrite", "json", "quiet")
def stack(
    sources: tuple[str, ...], target: str, dim: str, dry_run: bool, overwrite: bool, as_json: bool, quiet: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Put SOURCES side by side along a new axis, in their order, as the OME-Zarr pyramid TARGET."""
    from bigimg.faces.convert import convert_to_store, plan
    from bigimg.opening.open import open as open_image
    from bigimg.ops.geometry import stack as stack_images

    opening: Any = {name: options.pop(name) for name in OPENING if name in options}
    images = [open_image(source, memory=options["memory"], **opening) for source in sources]
    whole = stack_images(images, dim)
    if dry_run:
        print_value(plan(whole, target, **options), as_json)
        return
    result = convert_to_store(whole, target, progress=not quiet, overwrite=overwrite, **options)
    report(result if as_json else _summary(result), as_json, quiet)


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


@click.command()
@click.argument("store")
@click.argument("source", required=False)
@click.option("--quick", is_flag=True, help="Presence, lengths and metadata alone; no chunk is read.")
@click.option(
    "--accept", is_flag=True, help="If nothing is wrong, take over what others edited in the metadata."
)
@shared("memory", *OPENING, "json", "quiet")
def verify(store: str, source: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Find whatever is lost, cut, changed or contradicting in STORE; with SOURCE, compare its pixels."""
    from bigimg.faces.verify import verify as check

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


def _windows(_: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> Any:
    """Return ``100,4000`` as two numbers, and ``DAPI=100,4000`` as a dict."""
    found = [text.rpartition("=")[::2] for text in texts]
    try:
        pairs = {name: tuple(map(number, limits.split(","))) for name, limits in found}
    except ValueError:
        pairs = {}
    whole = all(len(pair) == 2 for pair in pairs.values())
    if not whole or len(pairs) < len(texts) or ("" in pairs and len(pairs) > 1):
        example = "write 100,4000, or DAPI=100,4000 once for each channel"
        raise click.BadParameter(f"{' '.join(texts)!r}: {example}", param=option)
    return pairs.get("", pairs) if pairs else None


@click.command()
@click.argument("store")
@shared("channels")
@click.option(
    "--colors", callback=lambda _, __, text: text.split(",") if text else None, help="As in 0000FF,00FF00.",
)  # fmt: skip
@shared("spacing")
@click.option(
    "--window", multiple=True, callback=_windows, metavar="[NAME=]LOW,HIGH",
    help="Values drawn black and white, of all channels or of one.",
)  # fmt: skip
@shared("json", "quiet")
def edit(store: str, as_json: bool, quiet: bool, **options: Any) -> None:
    """Change what STORE says of its channels and its spacing. No pixel is read or written."""
    from bigimg.faces.edit import edit as change

    report(change(store, **options), as_json, quiet)


@click.command()
@click.argument("folder", default=".")
@click.option("--remove", is_flag=True, help="Remove what is listed.")
@shared("json")
def clean(folder: str, remove: bool, as_json: bool) -> None:
    """List what interrupted runs left in FOLDER, with sizes; remove it when told to."""
    from bigimg.conversion.leftovers import clean as find

    print_value(find(folder, remove=remove), as_json)


def _summary(result: Result) -> str:
    """Return what the conversion did, and commands that show the store."""
    from bigimg.planning.memory import human_bytes
    from bigimg.system.memory import peak_bytes

    plan, resumed = result.plan, result.blocks_resumed
    rate = human_bytes(plan.spec.nbytes / max(result.seconds, 1e-3))
    return "\n".join(
        [
            f"{plan.target}: {counted(len(plan.levels), 'level')}, {human_bytes(result.stored_bytes)} in "
            f"{counted(plan.files, 'file')} ({human_bytes(plan.spec.nbytes)} decoded)",
            f"{result.seconds:.1f} s, {rate}/s, peak memory {human_bytes(peak_bytes())} "
            f"of {human_bytes(plan.budget_bytes)} allowed ({human_bytes(plan.peak_bytes)} planned)",
            *([f"label images: {', '.join(label.name for label in plan.labels)}"] if plan.labels else []),
            *([f"went on from an interrupted run: {counted(resumed, 'block')} kept"] if resumed else []),
            *(f"note: {note}" for note in plan.notes),
            "look at it:",
            f"  bigimg thumbnail {plan.target} look.png",
            f"  bigimg stats {plan.target}",
            f'  python -c "import bigimg; print(bigimg.open({plan.target!r}))"',
        ]
    )
