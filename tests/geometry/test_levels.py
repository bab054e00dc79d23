"""Levels: shapes by ceil, the rule of halving, spacings and half-pixel shifts."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimg.geometry.axes import Axis
from bigimg.geometry.chunks import default_chunks
from bigimg.geometry.levels import level_of_sizes, plan_levels, same_place, stored_levels


def axes_of(**sizes: tuple[int, float]) -> tuple[Axis, ...]:
    return tuple(Axis(name, n, spacing, "micrometer") for name, (n, spacing) in sizes.items())


sizes = st.tuples(st.integers(1, 5000), st.floats(0.1, 10))


@given(st.fixed_dictionaries({"z": sizes, "y": sizes, "x": sizes}), st.sampled_from(("mean", "nearest")))
def test_every_level_follows_from_the_one_below(given_sizes, method):
    axes = axes_of(**given_sizes)
    levels = plan_levels(axes, default_chunks(axes), method=method)
    for below, level in pairwise(levels):
        smallest = min(s for s, n in zip(below.spacing, below.shape, strict=True) if n > 1)
        for i, axis in enumerate(axes):
            halved = below.shape[i] > 1 and below.spacing[i] < 2 * smallest * (1 - 1e-9)
            assert level.step[i] == (2 if halved else 1)
            assert level.shape[i] == math.ceil(below.shape[i] / level.step[i])
            assert level.spacing[i] == axis.spacing * level.factors[i]
            shift = (level.factors[i] - 1) / 2 if method == "mean" else 0
            assert level.origin[i] == pytest.approx(axis.origin + shift * axis.spacing)


@given(st.fixed_dictionaries({"y": sizes, "x": sizes}))
def test_the_last_level_fits_one_chunk_along_what_would_be_halved(given_sizes):
    axes = axes_of(**given_sizes)
    chunks = default_chunks(axes)
    last = plan_levels(axes, chunks, method="mean")[-1]
    smallest = min((s for s, n in zip(last.spacing, last.shape, strict=True) if n > 1), default=0)
    for n, s, c in zip(last.shape, last.spacing, chunks, strict=True):
        assert n <= c or s >= 2 * smallest * (1 - 1e-9)


def test_thick_slices_become_isotropic_first():
    levels = plan_levels(axes_of(z=(100, 4.0), y=(1000, 1.0), x=(1000, 1.0)), (64, 64, 64), method="mean")
    assert [level.factors for level in levels[:4]] == [(1, 1, 1), (1, 2, 2), (1, 4, 4), (2, 8, 8)]


def test_time_and_channels_are_never_halved():
    levels = plan_levels(
        axes_of(t=(600, 1.0), c=(9, 1.0), y=(600, 1.0), x=(600, 1.0)), (1, 1, 64, 64), method="mean"
    )
    assert {level.shape[:2] for level in levels} == {(600, 9)}


def test_count_makes_just_so_many():
    axes = axes_of(y=(100, 1.0), x=(100, 1.0))
    assert [level.shape for level in plan_levels(axes, (100, 100), method="mean", count=3)] == [
        (100, 100),
        (50, 50),
        (25, 25),
    ]
    assert len(plan_levels(axes, (100, 100), method="mean")) == 1


def test_a_single_pixel_has_one_level():
    assert len(plan_levels(axes_of(y=(1, 1.0), x=(1, 1.0)), (1, 1), method="mean", count=9)) == 1


@pytest.mark.parametrize(
    ("halve", "factors"),
    [
        (
            ["yx"],
            [(1, 1, 1), (1, 2, 2), (1, 4, 4), (1, 8, 8)],
        ),  # though x is three times as far apart, and z nearer
        (["zyx"], [(1, 1, 1), (2, 2, 2), (4, 4, 4), (8, 8, 8)]),
        (["z"], [(1, 1, 1), (2, 1, 1), (4, 1, 1), (8, 1, 1)]),
        (["x", "yx", "zx"], [(1, 1, 1), (1, 1, 2), (1, 2, 4), (2, 2, 8)]),
    ],
)
def test_axes_that_are_named_are_halved_whatever_their_spacing(halve, factors):
    axes = axes_of(z=(40, 0.2), y=(80, 1.0), x=(90, 3.0))
    levels = plan_levels(axes, (1, 1, 1), method="mean", count=4, halve=halve)
    assert [level.factors for level in levels] == factors
    for level in levels:
        assert level.shape == tuple(-(-n // f) for n, f in zip((40, 80, 90), level.factors, strict=True))


def test_axes_that_are_named_are_halved_until_they_fit_a_chunk_or_have_one_pixel():
    axes = axes_of(z=(900, 1.0), y=(100, 1.0), x=(60, 1.0))
    assert [level.shape for level in plan_levels(axes, (64, 64, 64), method="mean", halve=["yx"])] == [
        (900, 100, 60),
        (900, 50, 30),
    ]
    assert plan_levels(axes, (64, 64, 64), method="mean", count=99, halve=["yx"])[-1].shape == (900, 1, 1)


MICRO, MILLI = "micrometer", "millimeter"


@pytest.mark.parametrize(
    ("z", "y", "x", "placed", "step"),
    [
        ((1.0, None), (1.0, None), (1.0, None), False, (1, 2, 2)),  # pages of which nothing is said
        ((1.0, None), (0.5, None), (0.5, None), False, (1, 2, 2)),
        (
            (1.0, None),
            (0.5, MICRO),
            (0.5, MICRO),
            False,
            (1, 2, 2),
        ),  # their pixels have a size, and they no distance
        ((3.0, None), (0.5, MICRO), (0.5, MICRO), False, (1, 2, 2)),  # 3 of what?
        ((2.0, MICRO), (1.0, None), (1.0, None), False, (1, 2, 2)),  # and how large is a pixel?
        ((1.5, None), (1.0, None), (1.0, None), False, (2, 2, 2)),
        (
            (1.0, None),
            (1.0, None),
            (1.0, None),
            True,
            (2, 2, 2),
        ),  # a header without units, and with an affine
        ((1.0, MICRO), (1.0, MICRO), (1.0, MICRO), False, (2, 2, 2)),
        ((0.001, MILLI), (1.0, MICRO), (1.0, MICRO), False, (2, 2, 2)),
        ((0.5, MILLI), (1.0, MICRO), (1.0, MICRO), False, (1, 2, 2)),
        ((1.0, MICRO), (0.002, MILLI), (1.0, MICRO), False, (2, 1, 2)),
        ((1.0, MICRO), (1.0, None), (1.0, MICRO), False, (2, 2, 2)),  # pixels are square
    ],
)
def test_planes_of_unknown_distance_are_kept_and_units_count(z, y, x, placed, step):
    axes = [Axis(name, 50, spacing, unit) for name, (spacing, unit) in zip("zyx", (z, y, x), strict=True)]
    levels = plan_levels(axes, (8, 8, 8), method="mean", count=2, placed=placed)
    assert levels[1].step == step


@given(
    st.fixed_dictionaries({"z": sizes, "y": sizes, "x": sizes}),
    st.lists(st.sampled_from(("x", "yx", "zyx", "z")), max_size=3),
)
def test_levels_are_known_from_the_shapes_of_a_store(given_sizes, halve):
    axes = axes_of(**given_sizes)
    levels = plan_levels(axes, (1, 1, 1), method="mean", count=5, halve=halve)
    assert list(stored_levels(axes, [level.shape for level in levels], method="mean")) == list(levels)


def test_what_halving_does_not_make_is_no_level():
    axes = axes_of(y=(9, 1.0), x=(9, 1.0))
    for shapes in ([(9, 9), (4, 5)], [(9, 9), (9, 9)], [(9, 9), (3, 9)], [(9, 9), (5,)]):
        first, second = stored_levels(axes, shapes, method="mean")
        assert (first, second) == (plan_levels(axes, (9, 9), method="mean")[0], None)


@pytest.mark.parametrize(
    ("number", "wanted", "step", "same"),
    [
        (0.1 + 0.2, 0.3, 0.3, True),
        (123456.7890123, 123456.7890122, 0.5, True),
        (1e9 + 1e-7, 1e9, 1e-3, True),  # as far as float64 tells there
        (100_000.1, 100_000.0, 0.5, False),  # a fifth of a pixel, a millionth of the number
        (0.5000005, 0.5, -0.5, True),
        (0.501, 0.5, -0.5, False),
    ],
)
def test_places_are_the_same_within_a_millionth_of_a_pixel(
    number: float, wanted: float, step: float, same: bool
):
    assert same_place([1.0, number], [1.0, wanted], [1.0, step]) is same


def test_the_first_level_of_some_sizes():
    shapes = [(9, 80, 60), (9, 40, 30), (5, 40, 15)]
    assert level_of_sizes("zyx", shapes, {"y": 40, "x": 15}) == 2
    assert level_of_sizes("zyx", shapes, {"y": 40}) == 1
    assert level_of_sizes("zyx", shapes, {"y": 41}) is None
    assert level_of_sizes("zyx", shapes, {"t": 9}) is None
