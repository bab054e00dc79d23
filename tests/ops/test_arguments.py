"""Arguments that are of no use, refused in words; and what arrays that are not computed yet are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bigimg
from bigimg.errors import UsageError

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)
RGB = np.zeros((3, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: bigimg.rescale(GREY, "foo"), "dtype='foo': numpy has no such type"),
        (lambda: bigimg.gray(RGB, dtype="foo"), "dtype='foo'"),
        (lambda: bigimg.map(GREY, np.sqrt, dtype="foo"), "dtype='foo'"),
        (lambda: bigimg.map_patches(np.sqrt, GREY, 2, dtype="foo"), "dtype='foo'"),
        (lambda: bigimg.rescale(GREY, window="ab"), "window='ab': give two numbers, the smaller first"),
        (
            lambda: bigimg.rescale(GREY, window=(9, 3)),
            r"window=\(9, 3\): give two numbers, the smaller first",
        ),
        (lambda: bigimg.rescale(GREY, percentiles=5), "percentiles=5: give two numbers"),
        (lambda: bigimg.apply_mask(GREY, GREY > 3, fill="red"), "fill='red': give one number"),
        (
            lambda: bigimg.apply_mask(RGB, RGB[..., 0] > 3, fill=(1, 2, 3)),
            r"fill=\(1, 2, 3\): give one number",
        ),
        (lambda: bigimg.apply_mask(GREY, GREY > 3, fill=None), "fill=None: give one number"),
        (lambda: bigimg.percentile(GREY, "a"), "percentile='a': give numbers from 0 to 100"),
        (lambda: bigimg.histogram(GREY, bins="a"), "bins='a': give how many, or edges"),
        (lambda: bigimg.histogram(GREY, bins=2.5), "bins=2.5: give how many, or edges"),
        (lambda: bigimg.histogram(GREY, range=5), "range=5: give two numbers"),
    ],
)
def test_refused_in_words(call: Callable[[], Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        call()


@pytest.mark.parametrize(
    ("array", "name"),
    [
        (bigimg.mask(RGB, below=[1, 2, 3]), "mask"),
        (bigimg.mask(RGB, below=1), "mask"),
        (bigimg.apply_mask(GREY, GREY > 3), "masked"),
        (bigimg.rescale(GREY), "rescale"),
        (bigimg.map(GREY, np.sqrt), "map"),
    ],
)
def test_lazy_arrays_are_named_after_what_they_are(array: Any, name: str) -> None:
    assert f"dask.array<{name}, shape=" in repr(array)
