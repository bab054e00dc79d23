"""Pillow applies an EXIF orientation; our views of the same pixels must equal its pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from bigimg.readers.orientation import orientation


@pytest.mark.parametrize("tag", range(10))
@pytest.mark.parametrize("rows", [0, -2])
def test_as_pillow_shows_it(tag: int, rows: int) -> None:
    stored = np.arange(3 * 5, dtype=np.uint8).reshape(3, 5)
    picture = Image.fromarray(stored)
    picture.getexif()[274] = tag
    expected = np.asarray(ImageOps.exif_transpose(picture))
    axes = stored[..., None] if rows == 0 else stored[None]  # (y, x, c) or (c, y, x)
    assert np.array_equal(np.squeeze(orientation(tag).shown(axes, rows)), expected)


@pytest.mark.parametrize("tag", range(1, 9))
def test_a_region_of_the_picture_is_found_in_the_file(tag: int) -> None:
    stored = np.arange(3 * 5).reshape(3, 5)
    shown = orientation(tag).shown(stored)
    region = (slice(1, 2), slice(1, 3))
    part = stored[orientation(tag).stored(region, 3, 5)]
    assert np.array_equal(orientation(tag).shown(part), shown[region])
