"""Where patches lie: against numpy's own generator, and against loops that anyone can read."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimg.ops.patches.positions import Grid, Line, Random, Subset, key_of, philox


def loop(size: int, patch: int, stride: int, edge: str) -> list[int]:
    """Return the first pixels along one axis, one after another."""
    if edge == "drop":
        return [s for s in range(0, size, stride) if s + patch <= size]
    starts = [0]
    while starts[-1] + patch < size and (edge == "shift" or starts[-1] + stride < size):
        starts.append(starts[-1] + stride)
    return [min(s, size - patch) for s in starts] if edge == "shift" else starts


@st.composite
def lines(draw: st.DrawFn) -> Line:
    size = draw(st.integers(1, 40))
    edge = draw(st.sampled_from(["shift", "pad", "drop"]))
    patch = draw(st.integers(1, size + (5 if edge == "pad" else 0)))
    return Line(size, patch, draw(st.integers(1, 12)), edge)


@given(lines())
def test_a_line_is_the_loop(line: Line) -> None:
    expected = loop(line.size, line.patch, line.stride, line.edge)
    assert line.count == len(expected)
    assert line.starts(np.arange(line.count)).tolist() == expected


@given(lines(), st.data())
def test_touching_are_all_that_have_a_pixel_in_the_part(line: Line, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, line.size - 1))
    stop = data.draw(st.integers(start + 1, line.size))
    starts = line.starts(np.arange(line.count)).tolist()
    expected = [i for i, s in enumerate(starts) if s < stop and s + line.patch > start]
    assert list(line.touching(slice(start, stop))) == expected


@given(st.lists(lines(), min_size=1, max_size=3), st.integers(1, 30), st.integers(1, 30))
def test_a_grid_counts_in_c_order_and_a_walk_visits_each_once(
    axes: list[Line], side: int, other: int
) -> None:
    grid = Grid(tuple(axes))
    expected = list(itertools.product(*(loop(a.size, a.patch, a.stride, a.edge) for a in axes)))
    assert grid.count == len(expected)
    assert [tuple(row) for row in grid.starts(np.arange(grid.count)).tolist()] == expected
    walked = np.concatenate([*grid.walk([side, other][: len(axes) - 1])])
    assert sorted(walked.tolist()) == list(range(grid.count))


def test_a_billion_patches_are_numbers_only() -> None:
    grid = Grid((Line(60_000, 64, 1, "shift"), Line(60_000, 64, 1, "shift")))
    assert grid.count == 59_937**2
    assert grid.starts(np.array([grid.count - 1])).tolist() == [[59_936, 59_936]]
    assert len(next(grid.walk([4096]))) <= 4096


@given(st.integers(0, 2**63), st.integers(0, 2**62))
def test_philox_is_that_of_numpy(seed: int, first: int) -> None:
    key = key_of(seed)
    counters = np.zeros((3, 4), np.uint64)
    counters[:, 0] = np.arange(first + 1, first + 4).astype(np.uint64)  # numpy counts before it draws
    expected = np.random.Philox(key=np.array(key, np.uint64), counter=[first, 0, 0, 0]).random_raw(12)
    np.testing.assert_array_equal(philox(counters, key).reshape(-1), expected)


@given(st.integers(0, 1000), st.lists(st.integers(0, 10**12), min_size=1, max_size=20))
def test_a_random_place_depends_on_seed_and_number_alone(seed: int, numbers: list[int]) -> None:
    shape, patch = (1000, 70), (30, 70)
    draw = Random(shape, patch, 10**13, key_of(seed))
    together = draw.starts(np.array(numbers))
    alone = np.concatenate([draw.starts(np.array([number])) for number in numbers])
    np.testing.assert_array_equal(together, alone)
    assert (together >= 0).all()
    assert (together + patch <= shape).all()


def test_random_places_are_even() -> None:
    starts = Random((13, 107), (6, 8), 80_000, key_of(3)).starts(np.arange(80_000))
    for axis, places in ((0, 8), (1, 100)):
        counts = np.bincount(starts[:, axis], minlength=places)
        assert len(counts) == places
        expected = 80_000 / places
        # The chi-square of a fair draw has this mean and spread; six spreads off is no chance.
        chi = ((counts - expected) ** 2 / expected).sum()
        assert abs(chi - (places - 1)) < 6 * np.sqrt(2 * (places - 1))
    assert abs(np.corrcoef(starts.T)[0, 1]) < 0.02


@pytest.mark.parametrize("cut", [slice(2, 30, 3), slice(None, None, -1), slice(5, 2), slice(40, None, -7)])
def test_a_part_of_a_part(cut: slice) -> None:
    grid = Grid((Line(100, 4, 2, "shift"),))
    expected = list(range(grid.count))[3:45:2][cut]
    some = Subset(grid, range(grid.count)[3:45:2])
    inner = Subset(grid, some.within(range(some.count)[cut]))
    assert inner.numbers(np.arange(inner.count)).tolist() == expected
