"""Planes against numpy's indexing and nibabel's closest canonical orientation."""

from __future__ import annotations

from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bigimg
from bigimg.errors import UsageError
from bigimg.opening.data_array import to_labelled
from bigimg.readers.arrays.array import ArrayReader

PIXELS = np.random.default_rng(0).integers(0, 99, (5, 6, 7)).astype(np.uint8)


def image(**known: Any) -> Any:
    return to_labelled(ArrayReader(PIXELS, dims="zyx", **known), block_bytes=60)


@pytest.mark.parametrize(
    ("name", "axis"), [("z", 0), ("axial", 0), ("y", 1), ("coronal", 1), ("sagittal", 2), ("x", 2)]
)
def test_by_name_and_index(name: str, axis: int) -> None:
    for index in (0, 3, -1):
        cut = bigimg.plane(image(), name, index=index)
        assert cut.chunks is not None
        np.testing.assert_array_equal(cut.values, PIXELS.take(index, axis))
    np.testing.assert_array_equal(
        bigimg.plane(image(), name).values, PIXELS.take(PIXELS.shape[axis] // 2, axis)
    )


@given(st.integers(0, 4), st.floats(-0.499, 0.499), st.floats(0.01, 50), st.floats(-99, 99), st.booleans())
def test_by_position(index: int, off: float, step: float, start: float, back: bool) -> None:
    step = -step if back else step
    img = image(spacing={"z": step}, origin={"z": start})
    cut = bigimg.plane(img, "z", position=start + (index + off) * step)
    np.testing.assert_array_equal(cut.values, PIXELS[index])
    assert float(cut.z) == pytest.approx(start + index * step)


@given(st.permutations([0, 1, 2]), st.tuples(*[st.sampled_from([-1, 1])] * 3))
def test_body_planes_follow_the_world(order: list[int], signs: tuple[int, ...]) -> None:
    world = np.eye(4)
    world[:3, :3] = np.eye(3)[order] * signs
    img = image(world=world)
    codes = nibabel.aff2axcodes(world)
    for name, letters in (("sagittal", "LR"), ("coronal", "PA"), ("axial", "IS")):
        across = next(axis for axis, code in zip("xyz", codes, strict=True) if code in letters)
        assert across not in bigimg.plane(img, name).dims


def test_other_axes_stay() -> None:
    pixels = np.zeros((2, 3, 4, 5, 6), np.uint8)
    cut = bigimg.plane(bigimg.from_array(pixels), "axial", index=1)
    assert cut.dims == ("t", "c", "y", "x")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"axis": "q"}, "'q': the image has no q; its axes are z y x; name one, or axial"),
        ({"axis": "c"}, "'c': the image has no c; its axes are z y x"),
        ({"axis": "z", "index": 5}, "index 5 along z of 5 pixels; give 0 to 4"),
        ({"axis": "z", "index": 1, "position": 1.0}, "two positions"),
        ({"axis": "z", "position": 4.6}, "reaches from -0.5 to 4.5"),
    ],
)
def test_refused(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        bigimg.plane(image(), asked.pop("axis"), **asked)


def test_a_flat_image_has_no_axial_plane() -> None:
    with pytest.raises(UsageError, match=r"axial \(across z\): the image has no z; its axes are y x"):
        bigimg.plane(PIXELS[0], "axial")


def test_a_box_of_slices_and_what_is_no_box() -> None:
    img = bigimg.from_array(np.arange(60).reshape(3, 4, 5))
    np.testing.assert_array_equal(
        bigimg.crop(img, {"y": slice(1, 3), "x": slice(None, 2)}).values, img.values[:, 1:3, :2]
    )
    for box in (slice(0, 4, 2), 3, (1, 2, 3), "12"):
        with pytest.raises(UsageError, match=r"crop along y: .* is no start and stop; give two"):
            bigimg.crop(img, {"y": box})  # type: ignore[dict-item]


@pytest.mark.parametrize(("name", "axis"), [("z", 0), ("y", 1), ("x", 2)])
def test_planes_across_any_axis_are_counted_and_masked(name: str, axis: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 400, (6, 9, 8)).astype(np.uint16)
    want = pixels.take(2, axis)
    for plane in (
        bigimg.plane(bigimg.from_array(pixels, dims="zyx"), name, index=2),
        bigimg.from_array(pixels, dims="zyx").isel({name: 2}),
    ):
        mask = bigimg.mask(plane, below=200)
        np.testing.assert_array_equal(mask.values, want < 200)
        assert float(bigimg.fraction(mask)) == (want < 200).mean()
        np.testing.assert_allclose(float(bigimg.stats(plane)["mean"]), want.mean())
        np.testing.assert_allclose(float(bigimg.stats(plane, where=mask)["mean"]), want[want < 200].mean())
        np.testing.assert_allclose(
            np.ravel(bigimg.percentile(plane, [10, 90])), np.percentile(want, [10, 90])
        )
        assert int(bigimg.histogram(plane).sum()) == want.size
        np.testing.assert_array_equal(bigimg.apply_mask(plane, mask).values, np.where(want < 200, want, 0))
