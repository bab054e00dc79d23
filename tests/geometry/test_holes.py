"""Holes: their places on coarser levels, in parts of an image and in JSON, against masks of numpy."""

from __future__ import annotations

import numpy as np
import pytest

from bigimg.errors import InputError
from bigimg.geometry.axes import Axis
from bigimg.geometry.holes import (
    MOST_HOLES,
    as_json,
    at_coordinates,
    boxes_of,
    by_coordinate,
    coarser_holes,
    each_box,
    holes_in,
    of_json,
    with_holes,
)
from bigimg.geometry.spec import Channel, ImageSpec
from bigimg.types import Array, Region, Shape


def painted(holes: tuple[Region, ...], shape: Shape) -> Array:
    mask = np.zeros(shape, bool)
    for hole in holes:
        assert not mask[hole].any(), "boxes overlap"
        mask[hole] = True
    return mask


def boxes(rng: np.random.Generator, shape: Shape) -> tuple[tuple[Region, ...], Array]:
    """Return boxes that make any shape, such as an L, and where they are."""
    mask = np.zeros(shape, bool)
    for _ in range(3):
        mask[tuple(slice(*np.sort(rng.integers(0, n + 1, 2))) for n in shape)] = True
    return boxes_of(mask, [range(n + 1) for n in shape]), mask


@pytest.mark.parametrize("seed", range(20))
def test_a_pixel_is_missing_if_its_whole_window_is(seed: int):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 12, 3).tolist())
    step = tuple(rng.integers(1, 4, 3).tolist())
    holes, mask = boxes(rng, shape)
    assert np.array_equal(painted(holes, shape), mask)
    coarse = tuple(-(-n // f) for n, f in zip(shape, step, strict=True))
    expected, first = np.zeros(coarse, bool), np.zeros(coarse, bool)
    for index in np.ndindex(coarse):
        window = mask[tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, step, strict=True))]
        expected[index], first[index] = window.all(), window[0, 0, 0]
    assert np.array_equal(painted(coarser_holes(holes, shape, step), coarse), expected)
    assert np.array_equal(painted(coarser_holes(holes, shape, step, first=True), coarse), first)


@pytest.mark.parametrize("seed", range(20))
def test_holes_of_a_part_follow_from_its_coordinates(seed: int):
    rng = np.random.default_rng(seed)
    shape = (3, 6, 7, 8)
    holes, mask = boxes(rng, shape)
    axes = (Axis("c", 3), Axis("z", 6, 2.5, None, -4.0), Axis("y", 7, -0.1), Axis("x", 8, 0.3, None, 1e5))
    lines = {axis.name: axis.origin + np.arange(axis.size) * axis.spacing for axis in axes[1:]}
    lines["c"] = np.array(["A", "B", "C"])
    said = by_coordinate(holes, axes, [Channel(name) for name in "ABC"])
    part = (slice(1, 3), 4, slice(None, None, -2), slice(2, 7))
    coords = {name: lines[name][cut] for name, cut in zip("czyx", part, strict=True)}
    sizes = {name: len(coords[name]) for name in "cyx"}
    found = painted(at_coordinates(said, sizes, coords), tuple(sizes.values()))
    assert np.array_equal(found, mask[part])


def test_without_coordinates_along_c_channels_are_counted():
    said = by_coordinate([(slice(1, 2), slice(0, 4))], (Axis("c", 2), Axis("y", 4)))
    assert at_coordinates(said, {"c": 2, "y": 4}, {"y": np.arange(4.0)}) == ((slice(1, 2), slice(0, 4)),)


def test_holes_in_a_region():
    holes = ((slice(2, 5), slice(0, 3)), (slice(0, 1), slice(4, 9)))
    region = (slice(1, 4), slice(2, 6))
    expected = painted(holes, (9, 9))[region]
    found = holes_in(holes, region)
    assert found is not None
    assert np.array_equal(found, expected)
    assert holes_in(holes, (slice(6, 9), slice(0, 9))) is None
    assert of_json(as_json(holes)) == holes


@pytest.mark.parametrize(("dtype", "value"), [("u1", "0"), ("f4", "NaN"), ("?", "0")])
def test_the_note_says_which_planes_and_what_is_there(dtype: str, value: str):
    spec = ImageSpec((Axis("z", 10), Axis("y", 4), Axis("x", 5)), np.dtype(dtype), (1, 4, 5))
    whole = (slice(0, 4), slice(0, 5))
    found = with_holes(spec, [(slice(2, 3), *whole), (slice(5, 8), *whole)], source="a")
    assert found.notes == (
        f"40 % of the pixels are missing from the source, at z 2, 5 to 7: they are {value}, and left out of statistics "
        "and coarser levels",
    )
    assert with_holes(spec, [], source="a") == spec


def test_more_holes_than_are_kept_are_refused_before_all_are_made():
    spec = ImageSpec((Axis("y", 4000), Axis("x", 4000)), np.dtype("u1"), (1, 1))
    cells = np.indices(spec.shape).sum(axis=0) % 2 == 0  # eight million boxes
    edges = [range(n + 1) for n in spec.shape]
    taken = 0

    def counted():
        nonlocal taken
        for box in each_box(cells, edges):
            taken += 1
            yield box

    with pytest.raises(InputError, match=f"a: lacks pixels in more than {MOST_HOLES} places"):
        with_holes(spec, counted(), source="a")
    assert taken == MOST_HOLES + 1


def test_windows_that_only_meet_a_hole_are_holes_where_another_program_averaged() -> None:
    holes = [(slice(3, 5), slice(0, 4))]
    assert coarser_holes(holes, (9, 9), (2, 2)) == ()
    assert coarser_holes(holes, (9, 9), (2, 2), met=True) == ((slice(1, 3), slice(0, 2)),)
