"""The axes t c z y x of a TIFF series, and the page and samples in which each of its pixels lies.

tifffile names an axis by a letter. The letters before those of a page are axes of pages; ``S`` is a sample of a
pixel. This module gives each letter its axis among t c z y x.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
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
    samples: slice
    depth: slice
    target: Region
    """Their indices along t, c and z of the result."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the pixels of an image lie in a stack of pages, rows and columns as stored."""

    shape: Shape
    """Pixels along t, c, z, y and x; absent axes are 1."""
    steps: Shape
    """Pages from one pixel to the next along t, the channel axis C, and z; 0 where z lies within a page."""
    samples: int
    """Samples of a pixel of a page; index c of the image is sample ``c % samples`` of channel ``c // samples``."""
    note: str | None = None
    """A sentence that says what was assumed."""
    first: int = 0
    """The page of the first pixel."""

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
        times, channels, depth, *_ = self.shape
        pages = np.add.outer(
            self.first + np.arange(times) * self.steps[0], np.arange(channels // self.samples) * self.steps[1]
        )
        if self.steps[2]:
            pages = np.add.outer(pages, np.arange(depth) * self.steps[2])
        within = lost.reshape(len(lost), scheme.shape[0], *scheme.grid)
        sizes = (self.samples, *scheme.shape[1:4])
        steps = (self.samples if scheme.shape[0] == 1 else 1, *scheme.chunk)
        cut = [[*range(0, size, step), size] for size, step in zip(sizes, steps, strict=True)]
        found = within[pages]
        if self.steps[2]:  # t, channel, z, samples, 1, y, x
            found = found[:, :, :, :, 0].transpose(0, 1, 3, 2, 4, 5)
            z = list(range(depth + 1))
        else:
            z = cut[1]
        c = [group * self.samples + edge for group in range(channels // self.samples) for edge in cut[0][:-1]]
        cells = found.reshape(times, -1, *found.shape[3:])
        return cells, [list(range(times + 1)), [*c, channels], z, *cut[2:]]

    def parts(self, region: Region) -> Iterator[Part]:
        """Yield the part of ``region`` (t, c, z, y, x) that lies in each page."""
        t, c, z, _, _ = region
        per_page = self.steps[2] == 0
        for time in range(t.start, t.stop):
            for channel in range(c.start // self.samples, -(-c.stop // self.samples)):
                first = channel * self.samples
                low, high = max(first, c.start), min(first + self.samples, c.stop)
                page = self.first + time * self.steps[0] + channel * self.steps[1]
                at = (slice(time - t.start, time - t.start + 1), slice(low - c.start, high - c.start))
                samples = slice(low - first, high - first)
                for planes in [z] if per_page else [slice(i, i + 1) for i in range(z.start, z.stop)]:
                    target = (*at, slice(planes.start - z.start, planes.stop - z.start))
                    depth = z if per_page else slice(0, 1)
                    yield Part(page + planes.start * self.steps[2], samples, depth, target)


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
        The file does not say what its axes are, or a page has other axes than rows, columns, planes and samples.

    Examples
    --------
    >>> lay_out(Stack("TZCYX", (2, 3, 2, 9, 8), "YX", (9, 8)), source="a.tif").steps
    (6, 1, 2)
    """
    outer, inner = _outer_and_inner(stack)
    axes, order = stack.axes, [letter for letter in stack.axes if letter in "YX"]
    if any(letter in "YX" for letter, _ in outer) or order == ["X", "Y"]:
        raise InputError(f"{source}: its axes are {axes}, but the rows of a page must be y and its columns x")
    steps = {letter: math.prod(n for _, n in outer[i + 1 :]) for i, (letter, _) in enumerate(outer)}
    foreign = [letter for letter, _ in outer if letter not in KNOWN]
    first = sum(i * steps[letter] for letter, i in zip(foreign, at, strict=True))
    outer = [(letter, n) for letter, n in outer if letter not in foreign]
    outer, note = _name_unknown(outer, taken={letter for letter, _ in inner}, source=source)
    sizes = dict(outer)
    if note:
        steps["Z"] = next(steps[letter] for letter in UNKNOWN if letter in steps)
    within = dict(inner)
    samples, depth = within.get("S", 1), within.get("Z", 1)
    channels = sizes.get("C", 1) * samples
    whole = (sizes.get("T", 1), channels, sizes.get("Z", depth), within["Y"], within["X"])
    return Layout(whole, (steps.get("T", 0), steps.get("C", 0), steps.get("Z", 0)), samples, note, first)


def foreign_axes(stack: Stack) -> list[tuple[str, int]]:
    """Return the axes over pages that are none of t c z y x, and how many pages each has.

    Examples
    --------
    >>> foreign_axes(Stack("RCZYX", (2, 2, 3, 9, 8), "YX", (9, 8)))
    [('R', 2)]
    """
    outer, _ = _outer_and_inner(stack)
    return [(letter, n) for letter, n in outer if letter not in KNOWN + "YX"]


def _outer_and_inner(stack: Stack) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Return the axes over pages and those within a page, of more than one pixel."""
    inner = _longer_than_one(stack.page_axes, stack.page_shape)
    outer = _longer_than_one(stack.axes, stack.shape)
    outer, tail = outer[: len(outer) - len(inner)], outer[len(outer) - len(inner) :]
    if [n for _, n in tail] != [n for _, n in inner]:
        pages = math.prod(stack.shape) // math.prod(stack.page_shape)
        outer = [("Q", pages)] if pages > 1 else []  # axes lie across pages, so only their number is sure
    if "C" not in {letter for letter, _ in outer}:
        outer = [("C" if letter == "S" else letter, n) for letter, n in outer]
    return outer, inner


def _longer_than_one(axes: str, shape: Shape) -> list[tuple[str, int]]:
    return [(letter, n) for letter, n in zip(axes, shape, strict=True) if n > 1 or letter in "YX"]


def _name_unknown(
    outer: list[tuple[str, int]], *, taken: set[str], source: str
) -> tuple[list[tuple[str, int]], str | None]:
    """Return the axes over pages with the one unknown called Z, and a sentence that says so."""
    unknown = [n for letter, n in outer if letter in UNKNOWN]
    letters = {letter for letter, _ in outer} | taken
    if len(unknown) > 1 or (unknown and "Z" in letters):
        listed = ", ".join(f"{letter} ({n})" for letter, n in outer)
        remedy = "write it again with named axes, as in tifffile.imwrite(..., metadata={'axes': 'TZYX'})"
        raise InputError(f"{source}: the file does not say what its axes {listed} are; {remedy}")
    if not unknown:
        return outer, None
    named = [("Z" if letter in UNKNOWN else letter, n) for letter, n in outer]
    return named, f"the file does not say what its {unknown[0]} pages are: they are taken as planes along z"
