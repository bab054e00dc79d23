"""Masks and labels over a picture: which colour, which channel, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.figure import Figure

import bigimg
from bigimg.errors import UsageError
from bigimg.types import Array
from tests.viewing.drawn import blank, numbers


def over(picture: Any, mask: Any, **asked: Any) -> Array:
    """Return the colours that are drawn over ``picture``."""
    found: Array = np.asarray(bigimg.show(picture, overlay=mask, ax=blank(), **asked).images[1].get_array())
    return found


@pytest.mark.parametrize("stored", ["b1", "u1"])
def test_a_mask_of_channels_shows_where_any_is_true(stored: str) -> None:
    """As a label a mask is 0 and 1; another library's opens as these numbers."""
    pixels = numbers(20, 30, 3)
    true = pixels > 150
    mask = bigimg.from_array(true.astype(stored), dims="yxc", channels="RGB")
    mask.attrs["kind"] = "mask"
    cover = over(pixels, mask)
    np.testing.assert_array_equal(cover[..., 3], np.where(true.any(-1), 102, 0))
    assert {tuple(each) for each in cover[true.any(-1)]} == {(0, 255, 255, 102)}
    each = over(pixels, mask, overlay_color=["red", "00ff00", "#0000FF"], overlay_alpha=1)
    np.testing.assert_array_equal(each[true[..., 2], 2], 255)  # the last lies above the others
    np.testing.assert_array_equal(each[true[..., 0] & ~true[..., 1:].any(-1)][:, :3].T[0], 255)
    one = over(pixels, mask, channel="G")
    np.testing.assert_array_equal(one[..., 3] > 0, true[..., 1])
    other = over(numbers(20, 30, 4), mask, channel=3)  # it has no such channel: all of them
    np.testing.assert_array_equal(other[..., 3] > 0, true.any(-1))
    panels = bigimg.montage(pixels, overlay=mask, figure=Figure())
    for ax, part in zip(panels.axes, np.moveaxis(true, -1, 0), strict=True):
        np.testing.assert_array_equal(np.asarray(ax.images[1].get_array())[..., 3] > 0, part)


def test_a_mask_of_channels_over_a_volume() -> None:
    volume, true = numbers(6, 8, 10), numbers(2, 6, 8, 10) > 150
    mask = bigimg.from_array(true, dims="czyx")
    figure = bigimg.ortho(volume, overlay=mask, figure=Figure(), crosshair=False)
    for ax, plane in zip(figure.axes, (true[:, :, 4], true[..., 5], true[:, 3]), strict=False):
        np.testing.assert_array_equal(np.asarray(ax.images[1].get_array())[..., 3] > 0, plane.any(0))


@pytest.mark.parametrize("color", ["red", "#ff8000", "FF8000", "tab:blue", "C1", "0.5", (0.2, 0.4, 1.0)])
def test_colours_as_matplotlib_names_them(color: Any) -> None:
    mask = np.ones((9, 9), bool)
    colors = color if isinstance(color, str) else [color]
    expected = matplotlib.colors.to_rgb("#FF8000" if color == "FF8000" else color)
    np.testing.assert_array_equal(
        over(numbers(9, 9), mask, overlay_color=colors)[0, 0, :3], np.rint(np.multiply(expected, 255))
    )


@pytest.mark.parametrize("color", ["redd", "none", "12345", "", ["red", "rde"], [7]])
def test_what_is_no_colour_is_told(color: str | Sequence[str]) -> None:
    with pytest.raises(
        UsageError, match=r"give a name of matplotlib's, as 'cyan', or six hexadecimal digits"
    ):
        over(numbers(9, 9), np.ones((9, 9), bool), overlay_color=color)


def test_what_cannot_be_drawn_over_is_told() -> None:
    with pytest.raises(UsageError, match="overlay_alpha=40: give a number from 0"):
        over(numbers(9, 9), np.ones((9, 9), bool), overlay_alpha=40)
    labels = bigimg.from_array(numbers(9, 9, 3), dims="yxc")
    labels.attrs["kind"] = "labels"
    with pytest.raises(
        UsageError, match=r"labels of 3 channels over one picture: give one, as labels.isel\(c=0\)"
    ):
        over(numbers(9, 9), labels)
    assert over(numbers(9, 9), labels.isel(c=0)).shape == (9, 9, 4)
