"""The ``bigimg`` command: one library function behind each verb.

Data goes to stdout, everything else to stderr. Nothing heavy is imported before a verb needs it: ``--help``
loads click alone, and ``convert`` neither xarray nor dask (``tests/test_imports.py`` keeps the list).
"""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bigimg.conversion.run import Result

STOPPED = {signal.SIGINT: ("interrupted", 130), signal.SIGTERM: ("terminated", 143)}
"""Word and exit code for each signal that ends a run in order."""


class _Stopped(BaseException):
    """A signal arrived: unwind, so that what was begun is cleared away.

    Ctrl-C is no KeyboardInterrupt here, for click prints an empty line of its own when it sees one.
    """


def main() -> None:
    """Run the command and exit with the code of what happened."""
    for number in STOPPED:
        signal.signal(number, _stop)
    logging.getLogger().addHandler(logging.NullHandler())  # what libraries log of damage, our error says once
    try:
        code = cli.main(standalone_mode=False, prog_name="bigimg")
    except _Stopped as stopped:
        word, code = STOPPED[stopped.args[0]]
        rest = [*stopped.args[1:], *getattr(stopped, "__notes__", ()), "nothing is left behind"]
        _say(f"{word}; {rest[0]}", code)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except BrokenPipeError:  # the reader of our output, `head` for example, has had enough
        sys.stderr.close()
        code = 0
    except Exception as error:
        from bigimg.errors import BigimgError

        if not isinstance(error, BigimgError):
            raise
        code = _say(str(error), error.exit_code)
    sys.exit(code)


def _stop(number: int, frame: object) -> None:
    signal.signal(number, _stop_now)
    raise _Stopped(number)


def _stop_now(number: int, frame: object) -> None:
    """A person who asks twice does not wait for the clearing."""
    raise _Stopped(number, "before all was cleared away: the unfinished store may be left")


def _say(message: str, code: int) -> int:
    click.echo(f"bigimg: {' '.join(message.split())}", err=True)
    return code


def _shared(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds the options in ``names``, spelt the same for every verb."""

    def add(function: Callable[..., None]) -> Callable[..., None]:
        for name in reversed(names):
            function = OPTIONS[name](function)
        return function

    return add


def _lengths(
    _: click.Context, option: click.Parameter, text: str | None
) -> dict[str, int] | tuple[int, ...] | int | None:
    """Return ``512``, ``64,64,64`` or ``y=512,x=512`` as pixels."""
    if text is None:
        return None
    try:
        if "=" in text:
            return {name.strip(): int(n) for name, n in (part.split("=") for part in text.split(","))}
        numbers = tuple(int(n) for n in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r}: write 512, or 64,64,64, or y=512,x=512", param=option) from None
    return numbers if len(numbers) > 1 else numbers[0]


def _insecure(_: click.Context, __: click.Parameter, asked: bool) -> bool:
    """Say once, as a line of ours, what the library would warn of in Python's way."""
    if asked:
        import warnings

        warnings.filterwarnings("ignore", ".*certificates are not checked", UserWarning)
        click.echo("bigimg: certificates of servers are not checked (--insecure)", err=True)
    return asked


OPTIONS: dict[str, Callable[[Callable[..., None]], Callable[..., None]]] = {
    "memory": click.option("--memory", metavar="SIZE", help="Budget of resident memory, as in 512MB or 2GiB."),
    "workers": click.option("--workers", type=int, help="At most this many workers; one a CPU by default."),
    "level": click.option("--level", type=int, help="Level of a pyramid: 0 is full resolution, -1 the smallest."),
    "series": click.option("--series", type=int, help="Which image of a file that holds several."),
    "json": click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    "quiet": click.option("-q", "--quiet", is_flag=True, help="Print errors alone."),
    "chunks": click.option("--chunks", callback=_lengths, help="Pixels of the unit of reading: 512, or y=512,x=512."),
    "shards": click.option("--shards", callback=_lengths, help="Pixels of the unit of writing; multiples of chunks."),
    "codec": click.option("--codec", type=click.Choice(["lz4", "zstd", "none"]), default="lz4", show_default=True),
    "levels": click.option("--levels", type=int, help="Number of levels, full resolution included."),
    "method": click.option(
        "--method", type=click.Choice(["mean", "mode", "nearest", "min", "max", "gaussian"]), help="Way of halving."
    ),
    "kind": click.option("--kind", type=click.Choice(["image", "labels", "mask"]), help="What the numbers mean."),
    "spacing": click.option("--spacing", metavar="z=2,y=0.5,x=0.5um", help="In place of what the file says."),
    "channels": click.option(
        "--channels", callback=lambda _, __, text: text.split(",") if text else None, help="Names, as in DAPI,GFP."
    ),
    "insecure": click.option(
        "--insecure", is_flag=True, callback=_insecure, help="Take any certificate of a server."
    ),
    "max_download": click.option("--max-download", metavar="SIZE", help="The most to fetch or unzip; 10GB by default."),
    "keep_metadata": click.option(
        "--keep-metadata", is_flag=True, help="Write also fields that may tell who was imaged."
    ),
}  # fmt: skip
CONVERSION = (
    "memory",
    "workers",
    "chunks",
    "shards",
    "codec",
    "levels",
    "method",
    "kind",
    "spacing",
    "channels",
    "keep_metadata",
    "series",
    "insecure",
    "max_download",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bigimg")
def cli() -> None:
    """Huge images in bounded memory: any image to an OME-Zarr pyramid, and a look at it."""


@cli.command()
@click.argument("source")
@_shared("series", "insecure", "max_download", "json")
def info(source: str, as_json: bool, **asked: Any) -> None:
    """Say what SOURCE is, how it is read, and what is doubtful. Reads no pixel."""
    from bigimg.opening import info as describe

    _print(describe(source, **asked), as_json)


@cli.command()
@click.argument("source")
@click.argument("target")
@_shared(*CONVERSION, "json")
def plan(source: str, target: str, as_json: bool, **asked: Any) -> None:
    """Say what converting SOURCE to TARGET would do and cost. Writes nothing."""
    from bigimg.converting import plan as make

    _print(make(source, target, **asked), as_json)


@cli.command()
@click.argument("source")
@click.argument("target")
@_shared(*CONVERSION)
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.option("--resume/--no-resume", default=True, help="Go on from an interrupted run, or start over.")
@click.option("--overwrite", is_flag=True, help="Replace a store that is there, once the new one is whole.")
@click.option("--sync/--no-sync", default=True, help="Have the store on the disk before it gets its name.")
@_shared("json", "quiet")
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
    from bigimg.converting import convert_to_store
    from bigimg.converting import plan as make

    if dry_run:
        _print(make(source, target, **asked), as_json)
        return
    result = convert_to_store(
        source, target, progress=not quiet, resume=resume, overwrite=overwrite, sync=sync, **asked
    )
    if as_json:
        _print(result, as_json)
    elif not quiet:
        click.echo(_summary(result), err=True)


@cli.command()
@click.argument("folder", default=".")
@click.option("--remove", is_flag=True, help="Remove what is listed.")
@_shared("json")
def clean(folder: str, remove: bool, as_json: bool) -> None:
    """List what interrupted runs left in FOLDER, with sizes; remove it when told to."""
    from bigimg.conversion.leftovers import clean as find

    _print(find(folder, remove=remove), as_json)


def _summary(result: Result) -> str:
    """Return what was done, and how to look at it."""
    from bigimg.conversion.run import peak_bytes
    from bigimg.planning.memory import human_bytes

    plan = result.plan
    rate = human_bytes(plan.spec.nbytes / max(result.seconds, 1e-3))
    return "\n".join(
        [
            f"{plan.target}: {len(plan.levels)} levels, {human_bytes(result.stored_bytes)} in {plan.files} files "
            f"({human_bytes(plan.spec.nbytes)} decoded)",
            f"{result.seconds:.1f} s, {rate}/s, peak memory {human_bytes(peak_bytes())} "
            f"of {human_bytes(plan.budget_bytes)} allowed ({human_bytes(plan.peak_bytes)} planned)",
            *(f"note: {note}" for note in plan.spec.notes),
            "look at it:",
            f"  bigimg thumbnail {plan.target} look.png",
            f"  bigimg stats {plan.target}",
            f'  python -c "import bigimg; print(bigimg.open({plan.target!r}))"',
        ]
    )


@cli.command()
@click.argument("source")
@_shared("memory", "series", "json")
def stats(source: str, as_json: bool, **asked: Any) -> None:
    """Print count, min, max, mean and std of each channel; from the store where it holds them."""
    from bigimg.ops.stats import statistics_table

    _print(statistics_table(source, **asked), as_json)


@cli.command("slice")
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
@_shared("level", "memory", "series")
def slice_(source: str, target: str, plane: str, at: float | None, mm: bool, **asked: Any) -> None:
    """Write one plane of SOURCE as the picture TARGET, in true aspect and 8 bits."""
    from bigimg.viewing.pictures import slice_picture

    slice_picture(source, target, plane=plane, at=at, physical=mm, **asked)


@cli.command()
@click.argument("source")
@click.argument("target", type=click.Path(dir_okay=False))
@click.option("--max", "most", type=int, default=512, show_default=True, help="Pixels of the longer side.")
@_shared("memory", "series")
def thumbnail(source: str, target: str, most: int, **asked: Any) -> None:
    """Write a small picture of SOURCE to TARGET, from the level that fits."""
    from bigimg.viewing.pictures import thumbnail_picture

    thumbnail_picture(source, target, most=most, **asked)


@cli.command()
@click.argument("store")
@click.argument("source", required=False)
@click.option("--quick", is_flag=True, help="Presence, lengths and metadata alone; no chunk is read.")
@_shared("memory", "series", "json", "quiet")
def verify(store: str, source: str | None, as_json: bool, quiet: bool, **asked: Any) -> None:
    """Find whatever is lost, cut, changed or contradicting in STORE; with SOURCE, compare its pixels."""
    from bigimg.verifying import verify as check

    report = check(store, source, progress=not quiet, **asked)
    if as_json:
        _print(report, as_json)
    else:
        for finding in report.findings:
            click.echo(f"{store.rstrip('/')}/{finding}")
    if not (quiet or as_json):
        for doubt in report.doubts[:20]:  # the notes say how many there are, and --json has them
            click.echo(f"doubt: {doubt}", err=True)
        for note in report.notes:
            click.echo(f"note: {note}", err=True)
    if not quiet or not report.ok:
        click.echo(report.verdict, err=True)
    if not report.ok:
        click.get_current_context().exit(5)


@cli.command()
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
@_shared("level", "memory", "series", "insecure", "max_download", "json", "quiet")
def export(
    source: str, target: str, at: float | None, mm: bool, as_json: bool, quiet: bool, **asked: Any
) -> None:
    """Write SOURCE, or a plane of it, to TARGET; its ending names the format. Nothing is replaced."""
    from bigimg.exporters.run import export as take_out

    where: dict[str, Any] = {"position" if mm else "index": at}
    done = take_out(source, target, progress=not quiet, **where, **asked)
    if as_json:
        _print(done, as_json)
    elif not quiet:
        click.echo(str(done), err=True)


@cli.command()
@_shared("json")
def formats(as_json: bool) -> None:
    """Say what this install reads and writes, by which library, and what each extra adds."""
    from bigimg.listing import formats as list_formats

    _print(list_formats(), as_json)


@cli.command()
@click.argument("target", default="bigimg-demo.ome.zarr")
@click.option("--size", default="32768x32768", show_default=True, help="Height x width in pixels, RGB.")
@click.option(
    "--memory", default="512MB", show_default=True, metavar="SIZE", help="Budget of resident memory."
)
@_shared("workers", "json", "quiet")
def demo(target: str, size: str, memory: str, as_json: bool, quiet: bool, workers: int | None) -> None:
    """Make a gigapixel slide out of nothing, convert it inside the budget, and show what came out."""
    from bigimg.conversion.progress import describe  # noqa: F401  (loaded before the plan measures memory)
    from bigimg.converting import convert_to_store
    from bigimg.demo import SlideReader, parse_size
    from bigimg.ops.stats import statistics_table
    from bigimg.viewing.pictures import thumbnail_picture

    reader = SlideReader(*parse_size(size))
    result = convert_to_store(reader, target, memory=memory, workers=workers, progress=not quiet)
    if not (quiet or as_json):
        click.echo(_summary(result), err=True)  # before the thumbnail, whose imports are no part of the peak
    picture = target.rstrip("/") + ".png"
    thumbnail_picture(target, picture, most=1024, memory=memory)
    if as_json:
        _print(result, as_json)
    elif not quiet:
        click.echo(f"thumbnail: {picture}", err=True)
        click.echo(str(statistics_table(target)))


def _print(value: Any, as_json: bool) -> None:
    """Print a value of ours: as JSON, or for a person."""
    if not as_json:
        click.echo(str(value))
        return
    from bigimg.omezarr.metadata import strict

    click.echo(json.dumps(strict(value.to_dict()), indent=2, ensure_ascii=False, allow_nan=False))


if __name__ == "__main__":
    main()
