"""Axes, specs and affines refuse what cannot be, and turn into one another exactly."""

from __future__ import annotations

import numpy as np
import pytest

from bigimg.errors import InputError, UsageError
from bigimg.geometry.affine import index_to_world, world_from_index_affine
from bigimg.geometry.axes import Axis, long_unit, short_unit
from bigimg.geometry.spec import RGB, ImageSpec


def test_axes_have_known_names_and_some_pixels():
    with pytest.raises(UsageError, match="'q' is not one of"):
        Axis("q", 3)
    with pytest.raises(UsageError, match="at least 1"):
        Axis("y", 0)


@pytest.mark.parametrize(
    ("dims", "match"), [("xy", "order"), ("yyx", "order"), ("zy", "lack"), ("ycx", "order")]
)
def test_specs_are_in_one_order(dims, match):
    with pytest.raises(UsageError, match=match):
        ImageSpec(tuple(Axis(d, 2) for d in dims), np.dtype("u1"), (1,) * len(dims))


def test_specs_refuse_complex_pixels_and_wrong_channel_counts():
    axes = (Axis("c", 2), Axis("y", 2), Axis("x", 2))
    with pytest.raises(InputError, match="complex64"):
        ImageSpec(axes, np.dtype("c8"), (1, 1, 1))
    with pytest.raises(UsageError, match="3 channel names for 2 channels"):
        ImageSpec(axes, np.dtype("u1"), (1, 1, 1), channels=RGB)


def test_specs_are_in_native_byte_order():
    spec = ImageSpec((Axis("y", 2), Axis("x", 3)), np.dtype(">u2"), (1, 1))
    assert spec.dtype.isnative
    assert (spec.nbytes, spec.size, spec.shape) == (12, 6, (2, 3))


def test_units_have_one_long_name():
    assert [long_unit(u) for u in ("um", "µm", "MM", "micrometer", "", None)] == [
        "micrometer", "micrometer", "millimeter", "micrometer", None, None,
    ]  # fmt: skip
    assert [short_unit(u) for u in ("micrometer", None, "parsec")] == ["µm", "px", "parsec"]


def test_world_gives_the_affine_back():
    rng = np.random.default_rng(0)
    affine = np.vstack([rng.normal(0, 2, (3, 4)), [0, 0, 0, 1]])
    axes = (Axis("z", 4, 2.5, "millimeter", 3.0), Axis("y", 4, 0.5, "millimeter", -1.0), Axis("x", 4, 0.25))
    np.testing.assert_allclose(
        index_to_world(axes, world_from_index_affine(affine, axes)), affine, atol=1e-12
    )
