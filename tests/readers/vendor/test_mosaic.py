"""Overlapping tiles, painted by numpy in order, are what the parts that are seen make up."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bigimg.readers.vendor.mosaic import gaps, pitch, seen_parts

HEIGHT, WIDTH = 30, 40


def boxes(draw: st.DrawFn) -> list[tuple[int, ...]]:
    found = []
    for _ in range(draw(st.integers(1, 12))):
        rows = sorted(draw(st.lists(st.integers(0, HEIGHT), min_size=2, max_size=2, unique=True)))
        columns = sorted(draw(st.lists(st.integers(0, WIDTH), min_size=2, max_size=2, unique=True)))
        found.append((*rows, *columns))
    return found


@given(st.composite(boxes)())
def test_each_pixel_is_of_the_last_tile_there_or_of_a_gap(tiles: list[tuple[int, ...]]) -> None:
    painted = np.full((HEIGHT, WIDTH), -1)
    for number, (top, bottom, left, right) in enumerate(tiles):
        painted[top:bottom, left:right] = number
    found, times = np.full_like(painted, -1), np.zeros_like(painted)
    for number, top, bottom, left, right in seen_parts(np.array(tiles)).tolist():
        found[top:bottom, left:right] = number
        times[top:bottom, left:right] += 1
    for top, bottom, left, right in gaps(np.array(tiles), HEIGHT, WIDTH):
        times[top:bottom, left:right] += 1
        assert (painted[top:bottom, left:right] == -1).all()
    np.testing.assert_array_equal(found, painted)
    assert (times == 1).all()


def test_a_grid_of_many_tiles_is_cut_in_bounded_work() -> None:
    corner = np.stack(np.meshgrid(np.arange(60), np.arange(60), indexing="ij"), -1).reshape(-1, 2) * 90
    corner += np.random.default_rng(0).integers(0, 4, corner.shape)  # as a stage that is not exact
    tiles = np.stack([corner[:, 0], corner[:, 0] + 100, corner[:, 1], corner[:, 1] + 100], axis=1)
    parts = seen_parts(tiles)
    assert len(parts) < 4 * len(tiles)
    assert pitch(tiles) in {(89, 89), (89, 90), (90, 89), (90, 90), (90, 91), (91, 90), (91, 91)}


def test_a_tile_alone_is_seen_whole_and_its_size_is_its_pitch() -> None:
    tile = np.array([(-3, 7, 5, 25)])
    assert seen_parts(tile).tolist() == [[0, -3, 7, 5, 25]]
    assert pitch(tile) == (10, 20)
    assert gaps(tile + 3, 20, 28) == [(0, 10, 0, 8), (10, 20, 0, 28)]


def test_tiles_at_one_place_are_taken_for_one() -> None:
    """Each with all others would be 40 thousand million pairs; so would those of two places that overlap."""
    tiles = np.array([(0, 10, 0, 10), (0, 10, 5, 15)] * 100_000)
    assert seen_parts(tiles).tolist() == [[199_998, 0, 10, 0, 5], [199_999, 0, 10, 5, 15]]
    assert gaps(tiles, 10, 20) == [(0, 10, 15, 20)]
