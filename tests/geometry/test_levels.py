"""Levels: shapes by ceil, the rule of halving, spacings and half-pixel shifts."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimg.geometry.axes import Axis
from bigimg.geometry.chunks import default_chunks
from bigimg.geometry.levels import plan_levels


def axes_of(**sizes: tuple[int, float]) -> tuple[Axis, ...]:
    return tuple(Axis(name, n, spacing) for name, (n, spacing) in sizes.items())


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
