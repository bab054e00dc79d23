"""The options of a conversion, checked before anything else is done."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, get_args

from bigimg.errors import UsageError, counted
from bigimg.geometry.axes import ORDER, short_unit
from bigimg.geometry.lengths import (
    NO_LENGTHS,
    PIXELS,
    Lengths,
    Pixels,
    Spacing,
    all_whole,
    read_lengths,
    read_pixels,
)
from bigimg.geometry.spec import ImageSpec, notes_beside
from bigimg.planning.channels import (
    NamedWindows,
    Windows,
    channel_colors,
    channel_names,
    channel_windows,
    described_channels,
)
from bigimg.planning.memory import budget_bytes
from bigimg.readers.allowed import CHANNEL_NAMES, named_as_in_file, public_and_private
from bigimg.types import CodecName, Json, Kind, Method, Shape, Version

METHODS: dict[Kind, Method] = {"image": "mean", "labels": "mode", "mask": "mode"}
"""How levels are made by default: ids are never averaged."""


def method_of(kind: Kind, method: Method | None) -> Method:
    """Return ``method``, or the default for this kind of image.

    Raises
    ------
    UsageError
        It would average ids.
    """
    if kind == "labels" and method in ("mean", "gaussian"):
        raise UsageError(f"method {method!r} of labels would make ids that are none; use mode or nearest")
    return method or METHODS[kind]


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one conversion."""

    memory: int
    """Budget in bytes."""
    workers: int | None = None
    """At most this many; None for one a CPU."""
    chunks: Pixels | None = None
    shards: Pixels | None = None
    codec: CodecName = "lz4"
    levels: int | None = None
    """Number of levels, level 0 included; None until every halved axis fits one chunk."""
    halve: tuple[str, ...] = ()
    """Names of the axes halved to make level 1, level 2 and so on, the last for all further levels; empty for those
    that the spacings say."""
    method: Method | None = None
    kind: Kind | None = None
    spacing: Lengths = NO_LENGTHS
    """In place of what the file says."""
    channels: tuple[str, ...] | None = None
    """Channel names, in place of what the file says."""
    colors: tuple[str, ...] | None = None
    """Colours of channels as six hexadecimal digits, likewise."""
    window: NamedWindows = ()
    """Values drawn black and white, of all channels or of some, likewise."""
    keep_metadata: bool = False
    """Write also those fields that may tell who was imaged, and the name of the source."""
    ome_version: Version = "0.5"
    levels_only: bool = False
    """Leave the finest levels out; they are read from the source."""


CHOICES = {
    "codec": get_args(CodecName.__value__),
    "method": get_args(Method.__value__),
    "kind": get_args(Kind.__value__),
    "ome_version": get_args(Version.__value__),
}
"""The values that an option may have."""


def options(
    *,
    memory: int | float | str | None = None,
    spacing: Spacing | None = None,
    channels: Sequence[str] | None = None,
    colors: Sequence[str] | None = None,
    window: Windows | None = None,
    halve: str | Sequence[str] | None = None,
    **others: Any,
) -> Options:
    """Return checked :class:`Options`; ``others`` are its other fields.

    Raises
    ------
    UsageError
        A value is none of those allowed; the message lists them.
    """
    found = Options(
        budget_bytes(memory),
        spacing=read_lengths(spacing).distances(),
        channels=None if channels is None else channel_names(channels),
        colors=None if colors is None else channel_colors(colors),
        window=() if window is None else channel_windows(window),
        halve=halved_axes(halve),
        **others,
    )
    for name, allowed in CHOICES.items():
        value = getattr(found, name)
        if value is not None and value not in allowed:
            raise UsageError(f"{name} {value!r} is not one of {', '.join(allowed)}")
    if isinstance(found.levels, str):
        what = "is for looking at a file; the levels of a store are exact means of level 0, which a conversion reads"
        raise UsageError(f"levels={found.levels!r} {what} in any case: leave it out, or give their number")
    for name in ("workers", "levels"):
        if (number := getattr(found, name)) is not None and number < 1:
            raise UsageError(f"{name} is {number}; it must be at least 1")
    return found


def halved_axes(halve: str | Sequence[str] | None, dims: Sequence[str] = ORDER) -> tuple[str, ...]:
    """Return the names of axes that are halved, for each level or once for all.

    >>> halved_axes("yx"), halved_axes(None)
    (('yx',), ())

    Raises
    ------
    UsageError
        An axis is not one of ``dims``, none of space, or named twice, or there are no names.
    """
    levels: tuple[str, ...] = ()
    if halve is not None:
        levels = (
            (halve,) if isinstance(halve, str) else tuple(halve) if isinstance(halve, Iterable) else (halve,)
        )
    if odd := [names for names in levels if not isinstance(names, str)]:
        raise UsageError(f"halve={odd[0]!r}: no text; give letters of z y x, as in yx, or several such texts")
    for names in levels:
        wrong = [name for name in names if name not in "zyx"]
        if wrong:
            what = "only axes of space are halved" if wrong[0] in ORDER else "there is no such axis"
            raise UsageError(f"halve={names!r}: {wrong[0]!r}: {what}; give letters of z y x, as in yx")
        if absent := [name for name in names if name not in dims]:
            raise UsageError(f"halve={names!r}: no axis {absent[0]!r} in an image with axes {' '.join(dims)}")
        if not names or len(set(names)) != len(names):
            raise UsageError(f"halve={names!r}: give letters of z y x, each once, as in yx")
    return levels


def lengths(given: Pixels | None, spec: ImageSpec, what: str, otherwise: int = 1) -> Shape | None:
    """Return chunk or shard lengths as one number an axis, ``otherwise`` along axes that a mapping lacks.

    Numbers without names are for all axes, or for those of space; the others have 1 then.

    Raises
    ------
    UsageError
        An axis is unknown, or the number of lengths is not that of the axes.
    """
    if given is None:
        return None
    asked: Any = read_pixels(given, what)
    names = " ".join(spec.dims)
    if not all_whole(asked):
        raise UsageError(
            f"{what}={given!r}: give one whole number, or one for each of the axes {names}; write {PIXELS}"
        )
    if isinstance(asked, Mapping):
        for name in asked:
            spec.axis(name)
        return tuple(int(asked.get(name, otherwise)) for name in spec.dims)
    space = [axis.name for axis in spec.axes if axis.type == "space"]
    numbers = tuple(map(int, [asked] * len(space) if isinstance(asked, Integral) else asked))
    if len(numbers) == len(space):
        by_name = dict(zip(space, numbers, strict=True))
        return tuple(by_name.get(name, 1) for name in spec.dims)
    if len(numbers) != len(spec.axes):
        raise UsageError(
            f"{what} {numbers} do not fit axes {names}: give one number for each, or for {' '.join(space)}; write "
            f"{PIXELS}"
        )
    return numbers


def described(spec: ImageSpec, options: Options) -> ImageSpec:
    """Return ``spec`` with what the options say of spacing, kind and metadata, names and colours of channels.

    Raises
    ------
    UsageError
        There is no such axis, or the number of names or colours is wrong.
    """
    spec = _guarded(spec, keep=options.keep_metadata)
    axes = list(spec.axes)
    halved_axes(options.halve, spec.dims)
    given = options.spacing.by_axis(spec.dims)
    for name, (number, unit) in given.items():
        i = spec.axis(name)
        axes[i] = replace(axes[i], spacing=number, unit=unit or axes[i].unit)
    spec = replace(spec, axes=tuple(axes), kind=options.kind or spec.kind)
    spec = replace(spec, channels=described_channels(spec, options.channels, options.colors))
    notes = notes_beside(spec.notes, given.keys())
    return replace(spec, notes=(*notes, *_mixed(spec, given)))


def _guarded(spec: ImageSpec, *, keep: bool) -> ImageSpec:
    """Return ``spec`` with those of its fields that may be written, or with all; a note counts the others."""
    public, private = public_and_private(spec.meta)
    private |= spec.private
    if not private:
        return spec
    if not keep:
        return replace(spec, meta=public, private=private, notes=(*spec.notes, left_out(private)))
    note = f"kept: {counted(len(private), 'field')} that may tell who was imaged"
    channels = named_as_in_file(spec.channels, private)
    return replace(spec, meta={**public, **private}, private={}, channels=channels, notes=(*spec.notes, note))


def left_out(private: Mapping[str, Json]) -> str:
    """Return the note on ``private`` fields that is written into the store; the plan adds how to avoid it."""
    verb = "is" if len(private) == 1 else "are"
    names = ", and channels are numbered instead of named" if CHANNEL_NAMES in private else ""
    return f"{counted(len(private), 'field')} that may tell who was imaged {verb} not written{names}"


def _mixed(spec: ImageSpec, spacing: Collection[str]) -> list[str]:
    """Return a note when a unit is set along some axes of space and the others have none."""
    bare = [axis.name for axis in spec.axes if axis.type == "space" and axis.unit is None]
    given = [
        f"{axis.name} in {short_unit(axis.unit)}"
        for axis in spec.axes
        if axis.type == "space" and axis.unit is not None and axis.name in spacing
    ]
    if not bare or not given:
        return []
    return [
        f"spacing is given along {', '.join(given)}; along {', '.join(bare)} it is in pixels: give it there too"
    ]
