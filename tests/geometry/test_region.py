"""Regions against numpy's own indexing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimg.geometry import region as r

shapes = st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple)


@st.composite
def regions(draw: st.DrawFn):
    shape = draw(shapes)
    starts = [draw(st.integers(0, n - 1)) for n in shape]
    return shape, tuple(slice(s, draw(st.integers(s + 1, n))) for s, n in zip(starts, shape, strict=True))


@given(regions(), st.data())
def test_pieces_tile_a_region_once(shape_and_region, data):
    shape, region = shape_and_region
    step = tuple(data.draw(st.integers(1, 6)) for _ in shape)
    seen = np.zeros(shape, int)
    for index, part in r.pieces(region, step):
        seen[part] += 1
        assert all(s.start // n == i == (s.stop - 1) // n for s, n, i in zip(part, step, index, strict=True))
    expected = np.zeros(shape, int)
    expected[region] = 1
    np.testing.assert_array_equal(seen, expected)


@given(regions())
def test_shape_count_and_shift_agree_with_numpy(shape_and_region):
    shape, region = shape_and_region
    image = np.arange(np.prod(shape)).reshape(shape)
    assert image[region].shape == r.shape_of(region)
    assert image[region].size == r.count(region)
    start = tuple(s.start for s in region)
    np.testing.assert_array_equal(image[region][r.shift(region, start)], image[region])


@given(shapes, st.data())
def test_piece_is_the_grid_counted(shape, data):
    step = tuple(data.draw(st.integers(1, 6)) for _ in shape)
    tiles = dict(r.pieces(r.full(shape), step))
    assert {max(i[a] for i in tiles) + 1 for a in range(1)} == {r.grid(shape, step)[0]}
    assert all(r.piece(index, step, shape) == part for index, part in tiles.items())


@pytest.mark.parametrize("dims", ["yx", "zyx", "cyx", "tcyx", "tczyx"])
def test_on_all_axes_and_back(dims: str):
    sizes = {"t": 3, "c": 4, "z": 5, "y": 6, "x": 7}
    whole = np.arange(3 * 4 * 5 * 6 * 7).reshape(3, 4, 5, 6, 7)
    image = whole[tuple(slice(None) if name in dims else 0 for name in "tczyx")]
    region = tuple(slice(1, sizes[name] - 1) for name in dims)
    every = r.on_all_axes(region, dims)
    np.testing.assert_array_equal(whole[every][r.of_axes(dims)], image[region])
