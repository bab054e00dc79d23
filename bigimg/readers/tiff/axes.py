"""The axes t c z y x of a TIFF series, and the page and samples in which each of its pixels lies.

tifffile names an axis by a letter. The letters before those of a page are axes of pages; ``S`` is a sample of a
pixel. This module gives each letter its axis among t c z y x.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bigimg.errors import InputError
from bigimg.geometry.axes import ORDER
from bigimg.readers.tiff.segments import Scheme
from bigimg.types import Array, Region, Shape

UNKNOWN = "IQ"
"""tifffile's letters for pages whose meaning the file does not say."""

KNOWN = UNKNOWN + "TCZ"
"""Letters of axes over pages that become axes of the image."""

_AXES = {"T": "t", "C": "c", "S": "c", "Z": "z", "Y": "y", "X": "x"}

NAMES = {
    "A": "angle", "P": "phase", "R": "position", "H": "lifetime", "E": "lambda", "L": "exposure", "V": "event",
    "M": "mosaic", "J": "column", "K": "row",
}  # fmt: skip
"""tifffile's names of axes that are none of t c z y x."""


class Stack(NamedTuple):
    """The axes of a series and of one page of it, by tifffile's letters."""

    axes: str
    shape: Shape
    page_axes: str
    page_shape: Shape


class Part(NamedTuple):
    """The pixels of a region that lie in one page."""

    page: int
    box: Region
    """Their samples, depth, rows and columns in the page."""
    target: Region
    """Their indices along t, c, z, y and x of the result."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the pixels of an image lie in a stack of pages, rows and columns as stored."""

    shape: Shape
    """Pixels along t, c, z, y and x; absent axes are 1."""
    steps: Mapping[str, int]
    """Axes over pages, and the pages from one pixel to the next; of c from one group of samples to the next."""
    page: tuple[str, str, str, str]
    """The axes along the samples, depth, rows and columns of a page; empty where it has one."""
    samples: int
    """Samples of a pixel of a page; index c of the image is sample ``c % samples`` of group ``c // samples``."""
    note: str | None = None
    """A sentence that says what was assumed."""
    first: int = 0
    """The page of the first pixel."""
    fixed: Region = (slice(0, 1),) * 4
    """The index along samples, depth, rows and columns of a page where these are none of t c z y x."""

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes that the image has: y, x and those of more than one pixel."""
        return tuple(name for name, size in zip(ORDER, self.shape, strict=True) if size > 1 or name in "yx")

    def cells(self, lost: Array, scheme: Scheme) -> tuple[Array, list[list[int]]]:
        """Return which parts of the image are lost, of shape (t, c, z, y, x), and their edges along each axis.

        Parameters
        ----------
        lost : ndarray of bool, shape (pages, segments)
        scheme : Scheme
            How a page is cut into segments.
        """
        sizes = dict(zip(ORDER, self.shape, strict=True))
        over = {n: sizes[n] // (self.samples if n == "c" else 1) for n in ORDER if n in self.steps}
        pages = np.array(self.first)
        for name, count in over.items():
            pages = np.add.outer(pages, np.arange(count) * self.steps[name])
        found = lost.reshape(len(lost), scheme.shape[0], *scheme.grid)[pages]
        lengths = (self.samples, *scheme.shape[1:4])
        steps = (self.samples if scheme.shape[0] == 1 else 1, *scheme.chunk)
        cuts = {n: [*range(0, m, s), m] for n, m, s in zip(self.page, lengths, steps, strict=True) if n}
        edges = []
        for name in ORDER:
            within = cuts.get(name, [0, 1])
            starts = (i * within[-1] + edge for i in range(over.get(name, 1)) for edge in within[:-1])
            edges.append([*starts, sizes[name]])
        names = [*over, *self.page]
        order = [i for name in (*ORDER, "") for i, own in enumerate(names) if own == name]
        return found.transpose(order).reshape([len(own) - 1 for own in edges]), edges

    def parts(self, region: Region) -> Iterator[Part]:
        """Yield the part of ``region`` (t, c, z, y, x) that lies in each page."""
        along = dict(zip(ORDER, region, strict=True))
        group = {name: self.samples if name == "c" else 1 for name in self.steps}
        ranges = (range(along[n].start // size, -(-along[n].stop // size)) for n, size in group.items())
        for numbers in itertools.product(*ranges):
            page, inside = self.first, dict(along)
            target = {name: slice(0, s.stop - s.start) for name, s in along.items()}
            for (name, size), number in zip(group.items(), numbers, strict=True):
                page += number * self.steps[name]
                wanted = along[name]
                low, high = max(number * size, wanted.start), min((number + 1) * size, wanted.stop)
                target[name] = slice(low - wanted.start, high - wanted.start)
                inside[name] = slice(low - number * size, high - number * size)
            yield Part(page, self._box(inside), tuple(target.values()))

    def _box(self, inside: Mapping[str, slice]) -> Region:
        return tuple(inside.get(name, index) for name, index in zip(self.page, self.fixed, strict=True))

    def in_page(self, values: Array) -> Array:
        """Return the view (samples, depth, rows, columns) of ``values`` (t, c, z, y, x), which lie in one page."""
        named = [name for name in self.page if name]
        kept = [name for name in ORDER if name in named]
        view = values[(*(slice(None) if name in named else 0 for name in ORDER), ...)]  # of one pixel too
        turned = view.transpose([kept.index(name) for name in named])
        return turned[tuple(slice(None) if name else None for name in self.page)]


def lay_out(stack: Stack, *, source: str, at: Shape = ()) -> Layout:
    """Return where the pixels of a series are.

    Parameters
    ----------
    stack : Stack
        Pages first, then what is within a page.
    source : str
        The file, for messages.
    at : tuple of int
        The index along each of :func:`foreign_axes`.

    Raises
    ------
    InputError
        The file does not say what its axes are, or a page has other axes than t, c, z, y, x and samples.

    Examples
    --------
    >>> lay_out(Stack("TZCYX", (2, 3, 2, 9, 8), "YX", (9, 8)), source="a.tif").steps
    {'t': 6, 'z': 2, 'c': 1}
    """
    outer, inner = _outer_and_inner(stack)
    steps = {letter: math.prod(n for _, n in outer[i + 1 :]) for i, (letter, _) in enumerate(outer)}
    chosen = {letter: i for (letter, _), i in zip(foreign_axes(stack), at, strict=True)}
    first = sum(chosen[letter] * step for letter, step in steps.items() if letter in chosen)
    outer = [(letter, n) for letter, n in outer if letter not in chosen]
    fixed = {own: slice(chosen[letter], chosen[letter] + 1) for own, letter, _ in inner if letter in chosen}
    inner = [(own, letter, n) for own, letter, n in inner if letter not in chosen]
    named, note = _name_unknown(outer, taken={letter for letter, _, _ in inner}, source=source)
    # A page has rows and columns, but which axes these are is what the series says: a row of (X, C) is one of YXC.
    page = {own: _AXES.get(letter, "") for own, letter, _ in inner}
    sizes = {_AXES[letter]: n for letter, n in named}
    samples = 1
    for own, letter, n in inner:
        name = _AXES.get(letter)
        if name is None or (name in sizes and (own, name) != ("S", "c")):
            what = f"a page has the axes {''.join(letter for _, letter, _ in inner)}, which are none of t c z y x"
            raise InputError(f"{source}: its axes are {stack.axes}: {what}, each once")
        if own == "S":
            samples = n
        sizes[name] = sizes.get(name, 1) * n
    if lacking := {"Y", "X"} - set(stack.axes):
        raise InputError(f"{source}: its axes are {stack.axes}, which lack {' and '.join(sorted(lacking))}")
    shape = tuple(sizes.get(name, 1) for name in ORDER)
    over_pages = {_AXES[letter]: steps[old] for (old, _), (letter, _) in zip(outer, named, strict=True)}
    of_page = (page.get("S", ""), page.get("Z", ""), page.get("Y", ""), page.get("X", ""))
    index = tuple(fixed.get(own, slice(0, 1)) for own in "SZYX")
    return Layout(shape, over_pages, of_page, samples, note, first, index)


def foreign_axes(stack: Stack) -> list[tuple[str, int]]:
    """Return the axes that are none of t c z y x, and the size of each.

    Examples
    --------
    >>> foreign_axes(Stack("RCZYX", (2, 2, 3, 9, 8), "YX", (9, 8)))
    [('R', 2)]
    """
    outer, inner = _outer_and_inner(stack)
    within = [(letter, n) for _, letter, n in inner]
    return [(letter, n) for letter, n in outer + within if letter not in KNOWN + "SYX"]


def _outer_and_inner(stack: Stack) -> tuple[list[tuple[str, int]], list[tuple[str, str, int]]]:
    """Return the axes over pages, and those within a page by the letters of the page and of the series.

    Axes of one pixel are left out.
    """
    inside = _longer_than_one(stack.page_axes, stack.page_shape)
    every = _longer_than_one(stack.axes, stack.shape)
    outer, tail = every[: len(every) - len(inside)], every[len(every) - len(inside) :]
    letters = [letter for letter, _ in tail]
    if [n for _, n in tail] != [n for _, n in inside]:
        pages = math.prod(stack.shape) // math.prod(stack.page_shape)
        outer = [("Q", pages)] if pages > 1 else []  # axes lie across pages, so only their number is sure
        letters = [own for own, _ in inside]
    if "C" not in {letter for letter, _ in outer}:
        outer = [("C" if letter == "S" else letter, n) for letter, n in outer]
    return outer, [(own, letter, n) for (own, n), letter in zip(inside, letters, strict=True)]


def _longer_than_one(axes: str, shape: Shape) -> list[tuple[str, int]]:
    return [(letter, n) for letter, n in zip(axes, shape, strict=True) if n > 1]


def _name_unknown(
    outer: list[tuple[str, int]], *, taken: set[str], source: str
) -> tuple[list[tuple[str, int]], str | None]:
    """Return the axes over pages with the one unknown called Z, and a sentence that says so."""
    unknown = [n for letter, n in outer if letter in UNKNOWN]
    letters = {letter for letter, _ in outer} | taken
    if len(unknown) > 1 or (unknown and "Z" in letters):
        listed = ", ".join(f"{letter} ({n})" for letter, n in outer)
        remedy = "say it by axes='tzyx', or write it again with named axes"
        raise InputError(f"{source}: the file does not say what its axes {listed} are; {remedy}")
    if not unknown:
        return outer, None
    named = [("Z" if letter in UNKNOWN else letter, n) for letter, n in outer]
    return named, f"the file does not say what its {unknown[0]} pages are: they are taken as planes along z"
