"""Options that several verbs share, and how their texts become values."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from bigimg.geometry.axes import Physical
from bigimg.geometry.lengths import PIXELS, SPACING, Lengths, read_lengths, read_pixels

type Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def added(options: list[Decorator]) -> Decorator:
    """Return a decorator that adds ``options`` to a verb, in this order."""

    def add(function: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def shared(*names: str) -> Decorator:
    """Return a decorator that adds the parameters of :data:`OPTIONS` in ``names``."""
    return added([OPTIONS[name] for name in names])


def number(text: str) -> float:
    """Return an integer of any size exactly, anything else as a float."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def numbers(
    example: str, read: Callable[[str], float], *, names: bool = True, least: int = 1, most: int = 9
) -> Callable[..., Any]:
    """Return a callback of click that reads ``125``, ``125,140,90`` or ``R=125,G=140``.

    Parameters
    ----------
    example : str
        What the error message tells the person to write.
    read : callable
        Reads one number; raises ValueError for anything else.
    names : bool
        Whether numbers may be given by name.
    least, most : int
        How many numbers there may be without names.

    Returns
    -------
    callable
        It returns None without a text, a dict of numbers with names, a tuple of several, or one number.
    """

    def parsed(_: click.Context, option: click.Parameter, text: str | None) -> Any:
        if text is None:
            return None
        parts = text.split(",")
        try:
            if names and "=" in text:
                return {name.strip(): read(value) for name, value in (part.split("=") for part in parts)}
            values = tuple(map(read, parts))
        except ValueError:
            values = ()
        if not least <= len(values) <= most:
            raise click.BadParameter(f"{text!r}: write {example}", param=option)
        return values if len(values) > 1 else values[0]

    return parsed


def _insecure(_: click.Context, __: click.Parameter, insecure: bool) -> bool:
    """Print one line in place of the library's Python warning."""
    if insecure:
        import warnings

        warnings.filterwarnings("ignore", ".*certificates are not checked", UserWarning)
        click.echo("bigimg: certificates of servers are not checked (--insecure)", err=True)
    return insecure


def _series(_: click.Context, __: click.Parameter, text: str | None) -> int | str | None:
    """Return a number as an int; the name of a TIFF series or a DICOM UID stays a text."""
    return int(text) if text is not None and re.fullmatch(r"-?\d+", text) else text


def _axis(_: click.Context, option: click.Parameter, text: str | None) -> dict[str, int] | None:
    """Return ``H=0,B=2`` as indices by axis."""
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name.strip() and re.fullmatch(r"\s*\d+\s*", index) for name, _, index in pairs):
        raise click.BadParameter(f"{text!r}: write NAME=INDEX, as in H=0", param=option)
    return {name.strip(): int(index) for name, _, index in pairs}


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


def _levels(_: click.Context, option: click.Parameter, text: str | None) -> int | str | None:
    """Return a number; the word ``source`` means something to other verbs, and the library says what."""
    if text is None or text == "source":
        return text
    if not re.fullmatch(r"[+-]?\d+", text):
        raise click.BadParameter(f"{text!r} is not a valid integer.", param=option)
    return int(text)


def pixels(_: click.Context, option: click.Parameter, text: str | None) -> Any:
    """Return numbers of pixels, so that a text that means nothing is refused before a file is opened."""
    return text and read_pixels(text, str(option.name))


def lengths(_: click.Context, option: click.Parameter, text: str | None) -> Lengths | None:
    """Return lengths with their units, likewise."""
    return None if text is None else read_lengths(text, str(option.name))


def cut_at(at: float | None, mm: bool) -> dict[str, Any]:
    """Return ``--at`` as the library takes it: an index, or with ``--mm`` a position."""
    if mm or at is None:
        return {"position": at if at is None else Physical(at)}
    return {"index": int(at) if at.is_integer() else at}  # the library refuses 1.5


class Verb(click.Command):
    """A verb whose help has the options of its source under a heading of their own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of the verb, then those of its source."""
        for of_source, heading in ((False, "Options"), (True, "Options of the source")):
            options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
            records = [each.get_help_record(ctx) for each in options if (each.name in OPENING) == of_source]
            with formatter.section(heading):
                formatter.write_dl(list(filter(None, records)))


OPTIONS: dict[str, Decorator] = {
    "source": click.argument("source"),
    "target": click.argument("target"),
    "file": click.argument("target", type=click.Path(dir_okay=False)),
    "memory": click.option("--memory", metavar="SIZE", help="Budget of resident memory, as in 512MB or 2GiB."),
    "workers": click.option("--workers", type=int, help="At most this many workers; one a CPU by default."),
    "scheduler": click.option(
        "--scheduler", metavar="ADDRESS", help="Run it on this dask cluster, as tcp://HOST:8786."
    ),
    "processes": click.option(
        "--processes", is_flag=True, help="Let the workers be processes of this machine, which share the budget."
    ),
    "level": click.option("--level", type=int, help="Level of a pyramid: 0 is full resolution, -1 the smallest."),
    "series": click.option(
        "--series", metavar="WHICH", callback=_series, help="Number or name, where the source holds several images."
    ),
    "on_gap": click.option(
        "--on-gap", type=click.Choice(["error", "fill", "split"]),
        help="Where slices of a DICOM series or files of a pattern are missing: refuse, put empty ones there, or (of "
        "DICOM alone) take each even part for a series.",
    ),
    "tilt": click.option(
        "--tilt", type=click.Choice(["error", "keep"]), help="Where DICOM slices are shifted: refuse, or keep it."
    ),
    "part": click.option(
        "--part", type=click.Choice(["real", "imaginary", "magnitude", "phase"]), help="Which part of complex values."
    ),
    "allow_partial": click.option(
        "--allow-partial", is_flag=True,
        help="Open what is there of a source that is cut, or lacks planes; the rest is missing.",
    ),
    "axis": click.option(
        "--axis", callback=_axis, metavar="NAME=INDEX", help="Index along an axis that is none of t c z y x, as H=0."
    ),
    "pattern": click.option(
        "--pattern", metavar="NAMES", help="What the names of files in a folder mean, as in 'img_{c}_{t:03}_z{z}.tif'."
    ),
    "plate": click.option(
        "--plate", is_flag=True, help="Make a plate of all images of a file, which are called after wells."
    ),
    "axes": click.option("--axes", help="Names of all axes of a TIFF or array that has none, slowest first, as tzyx."),
    "pages": click.option(
        "--pages", metavar="AXES", help="What pages are where the TIFF does not say it: c, or t=10,c=2; z by default."
    ),
    "overwrite": click.option(
        "--overwrite", is_flag=True, help="Replace what is there, once the new one is whole."
    ),
    "json": click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    "quiet": click.option("-q", "--quiet", is_flag=True, help="Print errors alone."),
    "at": click.option("--at", type=float, help="Index of the cut, or with --mm its position; the middle by default."),
    "mm": click.option("--mm", is_flag=True, help="--at is a physical position, in the unit of the axis."),
    "where": click.option("--where", metavar="MASK", help="Count only where this mask is true."),
    "chunks": click.option(
        "--chunks", callback=pixels, metavar="PIXELS", help=f"Of the unit of reading: {PIXELS}; -1 is all."
    ),
    "shards": click.option(
        "--shards", callback=pixels, metavar="PIXELS", help="Of the unit of writing; multiples of chunks."
    ),
    "codec": click.option("--codec", type=click.Choice(["lz4", "zstd", "none"]), default="lz4", show_default=True),
    "levels": click.option(
        "--levels", callback=_levels, metavar="N", help="Number of levels, full resolution included."
    ),
    "own_levels": click.option(
        "--levels", type=click.Choice(["source"]), help="Take the coarser levels of the file, if they are means."
    ),
    "halve": click.option(
        "--halve", metavar="AXES",
        help="Axes that every level halves, as in yx for Viv, vizarr and OMERO; by default as the spacings say.",
    ),
    "method": click.option(
        "--method", type=click.Choice(["mean", "mode", "nearest", "min", "max", "gaussian"]), help="Way of halving."
    ),
    "kind": click.option("--kind", type=click.Choice(["image", "labels", "mask"]), help="What the numbers mean."),
    "spacing": click.option(
        "--spacing", callback=lengths, metavar="LENGTHS", help=f"In place of what the file says: {SPACING}."
    ),
    "channels": click.option(
        "--channels", callback=lambda _, __, text: text.split(",") if text else None, help="Names, as in DAPI,GFP."
    ),
    "colors": click.option(
        "--colors", callback=lambda _, __, text: text.split(",") if text else None, metavar="RRGGBB,...",
        help="Colours of channels, as in 0000FF,00FF00.",
    ),
    "window": click.option(
        "--window", multiple=True, callback=_windows, metavar="[NAME=]LOW,HIGH",
        help="Values drawn black and white, of all channels or of one.",
    ),
    "insecure": click.option(
        "--insecure", is_flag=True, callback=_insecure, help="Take any certificate of a server."
    ),
    "max_download": click.option("--max-download", metavar="SIZE", help="The most to fetch or unzip; 10GB by default."),
    "fetch": click.option(
        "--fetch", type=click.Choice(["whole", "ranges"]),
        help="Fetch a file behind an address before it is read, or read it by ranges; ranges from 1GB where it can be.",
    ),
    "keep_metadata": click.option(
        "--keep-metadata", is_flag=True, help="Write also fields that may tell who was imaged."
    ),
    "ome_version": click.option(
        "--ome-version", type=click.Choice(["0.4", "0.5", "0.6"]), default="0.5", show_default=True,
        help="Of the store; 0.4 is for QuPath and older tools.",
    ),
    "levels_only": click.option(
        "--levels-only", is_flag=True, help="Store the reduced levels alone; the finest are read from SOURCE."
    ),
}  # fmt: skip
CLUSTER = ("scheduler", "processes")
"""Where a pass runs; of verbs that run one."""
SOURCE = (
    *("series", "part", "insecure", "max_download", "fetch", "on_gap", "tilt", "allow_partial", "axis"),
    *("pattern", "axes", "pages"),
)
"""Options of a source, of all verbs that have one."""
OPENING = (*SOURCE, "plate")
"""Those of :class:`bigimg.types.Opening`, in its order: of verbs that know plates."""
CONVERSION = (
    *("memory", "workers", "chunks", "shards", "codec", "levels", "halve", "method", "kind", "spacing"),
    *("channels", "colors", "window", "keep_metadata", "ome_version", "levels_only", *OPENING),
)
