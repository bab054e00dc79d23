"""Which parts of overlapping tiles are seen, and what no tile covers.

Both are computed once for a plane: the parts do not overlap, so that any region is copied from them in any order and
by any number of threads, and is always the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from bigimg.types import Array

type Box = tuple[int, int, int, int]
"""First row, last row but one, first column, last column but one."""

SAMPLED = 50
"""Tiles that are asked how far the next one is."""


def seen_parts(tiles: Array) -> Array:
    """Return the parts of ``tiles`` that no later tile covers.

    Parameters
    ----------
    tiles : ndarray of int, shape (n, 4)
        A :data:`Box` each, in the order in which they are painted: later ones over earlier ones.

    Returns
    -------
    ndarray of int64, shape (parts, 5)
        Number of the tile and a :data:`Box`, those of a tile one after the other.

    Examples
    --------
    >>> seen_parts(np.array([(0, 4, 0, 5), (0, 4, 3, 8)])).tolist()
    [[0, 0, 4, 0, 3], [1, 0, 4, 3, 8]]
    """
    found: list[tuple[int, ...]] = []
    numbers = _last_at_each_place(tiles)
    tiles = tiles[numbers]
    for i, (number, near) in enumerate(zip(numbers.tolist(), _neighbours(tiles, tiles), strict=True)):
        parts: list[Box] = [tuple(tiles[i].tolist())]
        for later in near[near > i]:
            if not parts:
                break
            cover = tiles[later].tolist()
            parts = [rest for part in parts for rest in _without(part, cover)]
        found += ((number, *part) for part in parts)
    return np.array(found, np.int64).reshape(-1, 5)


def gaps(tiles: Array, height: int, width: int) -> list[Box]:
    """Return boxes that make up what none of ``tiles`` covers of a plane; they do not overlap.

    Examples
    --------
    >>> gaps(np.array([(0, 4, 0, 5), (2, 8, 5, 9)]), 8, 9)
    [(0, 2, 5, 9), (4, 8, 0, 5)]
    """
    tiles = tiles[_last_at_each_place(tiles)]
    rows = np.unique([0, height, *tiles[:, 0], *tiles[:, 1]])
    bands = np.stack([rows[:-1], rows[1:], np.zeros_like(rows[1:]), np.full_like(rows[1:], width)], axis=1)
    begun: dict[tuple[int, int], int] = {}
    found: list[Box] = []
    for (top, _, _, _), near in zip(bands.tolist(), _neighbours(tiles, bands), strict=True):
        free = set(_free(tiles[near, 2:], width))
        found += ((begun.pop(each), top, *each) for each in sorted(begun.keys() - free))
        begun |= dict.fromkeys(free - begun.keys(), top)
    found += ((top, height, *each) for each, top in begun.items())
    return sorted(found)


def pitch(tiles: Array) -> tuple[int, int]:
    """Return how far apart neighbouring tiles lie along y and x; their size where there are none.

    >>> pitch(np.array([(0, 20, 0, 20), (0, 20, 18, 38), (1, 21, 36, 56)]))
    (20, 18)
    """
    start, size = tiles[:, ::2], tiles[:, 1::2] - tiles[:, ::2]
    steps: tuple[list[int], list[int]] = ([], [])
    for own, extent in zip(start[:SAMPLED], size, strict=False):
        far = start - own
        for axis, other in ((0, 1), (1, 0)):
            beside = (2 * np.abs(far[:, other]) < extent[other]) & (2 * far[:, axis] > extent[axis])
            steps[axis].append(int(far[beside, axis].min(initial=extent[axis])))
    return int(np.median(steps[0])), int(np.median(steps[1]))


def _last_at_each_place(tiles: Array) -> Array:
    """Return the numbers of the tiles that no later one covers exactly, in ascending order.

    Each tile is compared with all that meet it, so that n tiles at one place would take n² steps.
    """
    _, first = np.unique(tiles[::-1], axis=0, return_index=True)
    return np.sort(len(tiles) - 1 - first)


def _neighbours(tiles: Array, boxes: Array) -> Iterator[Array]:
    """Yield for each box the numbers of the tiles that meet it, in ascending order."""
    order = np.argsort(tiles[:, 0], kind="stable")
    tops = tiles[order, 0]
    tallest = int((tiles[:, 1] - tiles[:, 0]).max())
    first = np.searchsorted(tops, boxes[:, 0] - tallest, "right")
    last = np.searchsorted(tops, boxes[:, 1])
    for (top, _, left, right), a, b in zip(boxes.tolist(), first.tolist(), last.tolist(), strict=True):
        near = order[a:b]
        near = near[(tiles[near, 1] > top) & (tiles[near, 2] < right) & (tiles[near, 3] > left)]
        yield np.sort(near)


def _without(box: Box, cover: Box) -> Iterator[Box]:
    """Yield the parts of ``box`` beside ``cover``: above, below, left and right of it."""
    (top, bottom, left, right), (start, stop, first, last) = box, cover
    if start >= bottom or stop <= top or first >= right or last <= left:
        yield box
        return
    if top < start:
        yield top, start, left, right
    if stop < bottom:
        yield stop, bottom, left, right
    top, bottom = max(top, start), min(bottom, stop)
    if left < first:
        yield top, bottom, left, first
    if last < right:
        yield top, bottom, last, right


def _free(spans: Array, width: int) -> Iterator[tuple[int, int]]:
    """Yield what is between ``spans`` of columns."""
    spans = spans[np.argsort(spans[:, 0])]
    reach = np.maximum.accumulate([0, *spans[:, 1]])
    for end, start in zip(reach.tolist(), itertools.chain(spans[:, 0].tolist(), [width]), strict=True):
        if end < start:
            yield end, start
