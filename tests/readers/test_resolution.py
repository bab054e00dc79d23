"""Sizes of pixels that went through metres or inches are the numbers that the file says."""

from __future__ import annotations

import math

import pytest

from bigimg.readers.resolution import as_written, of_dots


@pytest.mark.parametrize("size", [0.499, 0.2501, 0.1085, 0.65, 3.45, 1e-9, 250.0])
@pytest.mark.parametrize("factor", [1e6, 1e9, 25.4, 0.0254])
def test_a_number_there_and_back(size: float, factor: float) -> None:
    for gone in (
        size / factor * factor,
        size * factor / factor,
        math.nextafter(size, 0),
        math.nextafter(size, 1e9),
    ):
        assert as_written(gone) == size


def test_a_number_of_many_digits_stays() -> None:
    for size in (1 / 3, math.pi, 0.49900000000001):
        assert as_written(size) == size
    assert of_dots(25400 / 0.499, 25400 / 0.2501).spacing == {
        "x": (0.499, "micrometer"),
        "y": (0.2501, "micrometer"),
    }
