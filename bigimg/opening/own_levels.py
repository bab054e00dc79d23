"""The coarser levels that a file has itself, taken as levels of its image when they are means: ``levels="source"``.

A reader tells what opens them (:func:`bigimg.reader.coarser_of`). Each is compared with the level below: its shape says
how many pixels a window has, and 16 places whether it holds the means of windows. Everything else that is said of a
level follows from level 0, as of the levels of a store.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from bigimg.errors import InputError, UsageError, without_remedy
from bigimg.geometry.holes import coarser_holes, few_enough, hole_value, holes_in
from bigimg.geometry.levels import axes_at, level_at
from bigimg.geometry.region import count, grid, scale_up
from bigimg.geometry.spec import ImageSpec
from bigimg.planning.room import LATER, Room, room
from bigimg.reader import Access, Reader, coarser_of
from bigimg.types import Array, FromSource, Region, Shape

PLACES = 16
"""Places of a level that are compared with the level below."""
LOOKED_AT = 64
"""Places of a level among which those of the highest contrast are taken: most of a slide may be background."""
LOOK_BYTES = 16_000_000
"""Decoded bytes of a level that are looked at for it, if 16 places need no more: of chunks of 1024 x 1024 fewer."""
LONGER = 8
"""How many times more places are looked at where fewer than 16 have contrast, as on a slide with a speck of tissue."""
FLAT = 4
"""Standard deviation of a place without contrast, of 255: less may be what a codec made."""
SIDE, DEPTH = 64, 4
"""Pixels of a place along y and x, and along z where that is halved too."""
MOST_SIDE = 1024
"""Pixels of the level below along y and x that a place covers at most."""
GOLDEN = (math.sqrt(5) - 1) / 2
"""Multiples of it, without their whole parts, lie evenly between 0 and 1, however many there are."""
REMEDY = "leave levels='source' out, or make levels of level 0: bigimg convert"
COMPARING_BYTES = 32
"""Bytes of a value of the level below while a place is compared: it as float64, a shifted copy, means of both."""


@dataclass(frozen=True, eq=False)
class OwnLevel:
    """A level that the file has itself, as a :class:`bigimg.reader.Reader`."""

    readers: tuple[Reader, ...]
    """Of all levels."""
    specs: tuple[ImageSpec, ...]
    """Of all levels, as they follow from level 0."""
    level: int = 0

    @property
    def spec(self) -> ImageSpec:
        """What the level is."""
        return self.specs[self.level]

    @property
    def access(self) -> Access:
        """How its pixels can be had."""
        return self.readers[self.level].access

    @property
    def source(self) -> str:
        """The file."""
        return self.readers[0].source

    @property
    def paths(self) -> tuple[str, ...]:
        """The files of all levels."""
        return tuple(dict.fromkeys(name for each in self.readers for name in getattr(each, "paths", ())))

    def read(self, region: Region) -> Array:
        """Return the values of ``region``; see :meth:`bigimg.reader.Reader.read`."""
        found = self.readers[self.level].read(region)
        if self.level and (holes := holes_in(self.spec.missing, region)) is not None:
            found = np.where(
                holes, np.array(hole_value(self.spec.dtype, self.spec.padding), found.dtype), found
            )
        return found

    def close(self) -> None:
        """Let go of the file."""
        for reader in self.readers:
            reader.close()


def offered(reader: Reader) -> int:
    """Return how many coarser levels the file of ``reader`` has that ``levels="source"`` compares; 0 if it refuses."""
    usable = reader.access.kind == "random" and reader.spec.kind == "image"
    return len(coarser_of(reader)) if usable else 0


def taken(reader: Reader, levels: FromSource | None, memory: int | float | str | None = None) -> Reader:
    """Return ``reader``, or with ``levels="source"`` level 0 of the levels that its file has.

    Raises
    ------
    UsageError, InputError, BudgetError
        As :func:`with_own_levels`; or ``levels`` is something else.
    """
    if levels is None or isinstance(reader, OwnLevel):
        return reader
    if levels != "source":
        raise UsageError(
            f"levels={levels!r}: give 'source', for the levels that a file has, or leave it out; their number is an "
            "option of convert"
        )
    return with_own_levels(reader, room(memory))


def with_own_levels(reader: Reader, here: Room) -> OwnLevel:
    """Return level 0 of the image of ``reader``, with the coarser levels that its file has.

    Pixels of some places of each level are read, if they have room ``here``.

    Raises
    ------
    UsageError
        The file has no coarser levels, they are no means of an image, or it can only be read from front to back.
    InputError
        A level is not what its shape says: means of the level below, it lacks pixels of that, or cannot be opened.
    BudgetError
        What is read of two levels to compare them does not fit.
    """
    from bigimg.omezarr.store import StoreReader

    openers, spec = coarser_of(reader), reader.spec
    if isinstance(reader, StoreReader):
        raise UsageError(
            f"{reader.source}: a store has levels, and they are taken: leave levels='source' out"
        )
    if not openers:
        raise UsageError(
            f"{reader.source}: levels='source' was asked for, and its file has one level alone; {REMEDY}"
        )
    if spec.kind != "image":
        raise UsageError(
            f"{reader.source}: levels='source' takes levels that are means, and of {spec.kind} there are none; {REMEDY}"
        )
    if reader.access.kind != "random":
        what = f"compares some places of the levels, and this is read in one go ({reader.access.why})"
        raise UsageError(f"{reader.source}: levels='source' {what}; {REMEDY}")
    readers, specs, factors = [reader], [spec], (1,) * len(spec.shape)
    with ExitStack() as opened:
        opened.callback(reader.close)
        for number, open_it in enumerate(openers, 1):
            level = _opened(reader, number, open_it)
            opened.callback(level.close)
            readers.append(level)
            step = _step(specs[-1], level.spec)
            if step is None:
                raise _refused(reader, number, _differs(specs[-1], level.spec))
            factors = tuple(f * s for f, s in zip(factors, step, strict=True))
            specs.append(_spec(spec, specs[-1], level.spec, step, factors, reader.source))
            if _lacks(specs[-1], level.spec):
                raise _refused(reader, number, f"it lacks pixels that level {number - 1} has")
            _check_room(here, readers[-2:], specs[-2:], step)
            if (doubt := _doubt(readers[-2:], specs[-2:], step)) is not None:
                raise _refused(reader, number, doubt)
            readers[-2].close()  # what it keeps decoded is of places that nobody asked for
        readers[-1].close()
        opened.pop_all()
    these = "level 1 is that" if len(openers) == 1 else f"levels 1 to {len(openers)} are those"
    note = f"{these} of the file: means, as far as {PLACES} places of each tell"
    return OwnLevel(tuple(readers), tuple(replace(each, of_source=(*each.of_source, note)) for each in specs))


def _opened(reader: Reader, number: int, open_it: Callable[[], Reader]) -> Reader:
    try:
        return open_it()
    except InputError as error:
        why = without_remedy(error).removeprefix(f"{reader.source}: ")
        raise InputError(
            f"{reader.source}: level {number} of the file cannot be taken: {why}; {REMEDY}"
        ) from error


def _refused(reader: Reader, number: int, why: str) -> InputError:
    what = f"levels='source' takes levels that are means, and level {number} of the file is none"
    return InputError(f"{reader.source}: {what}: {why}; {REMEDY}")


def _step(below: ImageSpec, spec: ImageSpec) -> Shape | None:
    """Return how many pixels of the level below a window has; None where no whole numbers fit."""
    if (spec.dims, spec.dtype) != (below.dims, below.dtype):
        return None
    found = []
    for axis, n, m in zip(below.axes, below.shape, spec.shape, strict=True):
        # Some programs drop the last pixels that fill no window, others make one more of them.
        near = (round(n / m), n // m, -(-n // m))
        f = next((f for f in near if f >= 1 and m in (n // f, -(-n // f))), 0)
        found.append(f if axis.type == "space" or f == 1 else 0)
    return tuple(found) if min(found) and max(found) > 1 else None


def _differs(below: ImageSpec, spec: ImageSpec) -> str:
    shapes = (f"{' x '.join(map(str, each.shape))} {each.dtype}" for each in (spec, below))
    return "it has {}, which is no whole part of {}".format(*shapes)


def _spec(
    base: ImageSpec, below: ImageSpec, own: ImageSpec, step: Shape, factors: Shape, source: str
) -> ImageSpec:
    """Return what a level is: as level 0, with fewer and larger pixels."""
    axes = axes_at(base.axes, level_at(base.axes, 0, factors, step, own.shape, "mean"))
    holes = coarser_holes(below.missing, below.shape, step, met=True)
    inside = (
        tuple(slice(s.start, min(s.stop, n)) for s, n in zip(hole, own.shape, strict=True)) for hole in holes
    )
    missing = few_enough((hole for hole in inside if all(s.start < s.stop for s in hole)), source, REMEDY)
    return replace(base, axes=axes, chunks=own.chunks, missing=missing)


def _lacks(level: ImageSpec, own: ImageSpec) -> bool:
    """Return whether a level has holes of its ``own`` besides those that follow from the level below."""
    together = coarser_holes((*level.missing, *own.missing), own.shape, (1,) * len(own.shape))
    return sum(map(count, together)) > sum(map(count, level.missing))


def _check_room(here: Room, readers: Sequence[Reader], specs: Sequence[ImageSpec], step: Shape) -> None:
    """Raise a BudgetError unless what :func:`_doubt` holds fits; nothing was read yet."""
    below, level = specs
    place = max(map(count, _places(below, level, step, PLACES)))
    accesses = [reader.access for reader in readers]
    parts = {
        "reading": sum(each.fixed_bytes for each in accesses) + max(each.read_bytes for each in accesses),
        "places": place
        * (_looked_at(level) * LONGER * level.dtype.itemsize + math.prod(step) * COMPARING_BYTES),
    }
    here.take(f"{readers[0].source}: comparing its levels", parts | LATER, "leave levels='source' out")


def _doubt(readers: Sequence[Reader], specs: Sequence[ImageSpec], step: Shape) -> str | None:
    """Return why the second of two levels holds no means of the first; None if it does."""
    from bigimg.pyramid.are_means import Comparison  # who does not ask for it need not import it

    below, level = specs
    lossy = any(getattr(reader, "lossy", False) for reader in readers)
    comparison = Comparison(level.dims, step, level.dtype, lossy=lossy)
    for place, pixels in _contrasted(readers[1], below, level, step):
        if holes_in(level.missing, place) is not None:  # a hole of the level below is one here
            continue
        fine = readers[0].read(scale_up(place, step, below.shape))
        if not _has_padding(fine, below):
            comparison.add(pixels, fine)
    return comparison.doubt


def _has_padding(pixels: Array, spec: ImageSpec) -> bool:
    if spec.padding is None:
        return False
    low, high = spec.padding
    return bool(((pixels >= low) & (pixels <= high)).any())  # of NaN the comparison itself takes care


def _contrasted(
    reader: Reader, below: ImageSpec, level: ImageSpec, step: Shape
) -> list[tuple[Region, Array]]:
    """Return the places of a level with the highest contrast of those that are looked at, and their pixels."""
    least = _looked_at(level)
    flat = FLAT if level.dtype == np.uint8 else 0
    seen: list[tuple[float, Region, Array]] = []
    for place in _places(below, level, step, LONGER * least):
        pixels = reader.read(place)
        with np.errstate(all="ignore"):
            contrast = float(np.std(pixels, dtype=np.float64))
        seen.append((contrast if math.isfinite(contrast) else -1.0, place, pixels))
        if len(seen) >= least and sum(each[0] > flat for each in seen) >= PLACES:
            break
    seen.sort(key=lambda each: -each[0])
    return [each[1:] for each in seen[:PLACES]]


def _looked_at(level: ImageSpec) -> int:
    """Return how many places are looked at, if enough of them have contrast."""
    return max(PLACES, min(LOOKED_AT, LOOK_BYTES // (math.prod(level.chunks) * level.dtype.itemsize)))


def _places(below: ImageSpec, level: ImageSpec, step: Shape, most: int) -> Iterator[Region]:
    """Yield at most ``most`` places of whole windows; the first of them lie all over the level too."""
    # What the last pixel covers where it is no whole window is left out.
    whole = tuple(max(1, min(m, n // f)) for n, m, f in zip(below.shape, level.shape, step, strict=True))
    size = []
    for axis, n, f, chunk in zip(level.axes, whole, step, level.chunks, strict=True):
        side = max(1, min(SIDE, MOST_SIDE // f))
        wanted = {"t": 1, "c": chunk, "z": DEPTH if f > 1 else 1, "y": side, "x": side}
        size.append(min(n, wanted[axis.name]))
    pieces = grid(whole, tuple(size))
    count = math.prod(pieces)
    spread = dict.fromkeys(int((i + 0.5) * GOLDEN % 1 * count) for i in range(most))
    for number in spread if count > most else range(count):
        at = np.unravel_index(number, pieces)
        yield tuple(
            slice(int(i) * n, min((int(i) + 1) * n, end)) for i, n, end in zip(at, size, whole, strict=True)
        )
