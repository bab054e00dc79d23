"""Whether a level holds means of the level below: what programs make, and what codecs leave of it."""

from __future__ import annotations

from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest

from bigimg.pyramid.are_means import Comparison
from bigimg.types import Array


def windows(fine: Array, f: int) -> Array:
    return fine.reshape(fine.shape[0] // f, f, fine.shape[1] // f, f, *fine.shape[2:]).astype(float)


def means(fine: Array, f: int) -> Array:
    return windows(fine, f).mean((1, 3))


def textured(shape: tuple[int, ...] = (256, 256)) -> Array:
    """Return a picture with edges, texture and noise, as tissue has."""
    rng, (y, x) = np.random.default_rng(5), np.mgrid[: shape[0], : shape[1]]
    waves = 120 + 60 * np.sin(x / 5) * np.cos(y / 7) + 40 * ((x // 23 + y // 31) % 2)
    found = waves[(..., *[None] * (len(shape) - 2))] + rng.normal(0, 8, shape)
    if len(shape) == 3:
        found = found * (1.0, 0.9, 0.95)
    return np.clip(found, 0, 255).astype(np.uint8)


MADE: dict[str, Callable[[Array, int], Array]] = {
    "rounded": lambda fine, f: np.rint(means(fine, f)),
    "cut off": lambda fine, f: np.floor(means(fine, f)),
    "halved twice": lambda fine, f: np.rint(means(np.rint(means(fine, f // 2)), 2)) if f > 2 else means(fine, f) // 1,
    "first": lambda fine, f: fine[::f, ::f],
    "middle": lambda fine, f: fine[f // 2 :: f, f // 2 :: f],
    "aside": lambda fine, f: np.rint(means(np.roll(fine, -1, 1), f)),
    "far aside": lambda fine, f: np.rint(means(np.roll(fine, f, 0), f)),
    "inverted": lambda fine, f: 255 - np.rint(means(fine, f)),
    "brighter": lambda fine, f: np.clip(np.rint(means(fine, f)) + 12, 0, 255),
    "another": lambda fine, f: np.rint(means(textured()[::-1, ::-1], f)),
}  # fmt: skip
GOOD = ("rounded", "cut off", "halved twice")


@pytest.mark.parametrize("f", [2, 4])
@pytest.mark.parametrize("made", MADE)
def test_of_what_programs_make_means_alone_are_taken(made: str, f: int) -> None:
    fine = textured()
    level = MADE[made](fine, f).astype(np.uint8)
    for dtype in (np.uint8, np.uint16, np.float32):
        comparison = Comparison("yx", (f, f), np.dtype(dtype), lossy=False)
        comparison.add(level.astype(dtype), fine.astype(dtype))
        taken = made in GOOD and (dtype != np.float32)
        assert (comparison.doubt is None) == taken, comparison.doubt


@pytest.mark.parametrize("f", [2, 4])
@pytest.mark.parametrize("quality", [95, 80, 50, 30])
@pytest.mark.parametrize("made", [name for name in MADE if name != "halved twice"])
def test_after_jpeg_too(made: str, quality: int, f: int) -> None:
    """Both levels are coded, each for itself, as in a slide."""
    fine = textured()

    def coded(pixels: Array) -> Array:
        return np.asarray(imagecodecs.jpeg_decode(imagecodecs.jpeg_encode(pixels, level=quality)))

    comparison = Comparison("yx", (f, f), fine.dtype, lossy=True)
    comparison.add(coded(MADE[made](fine, f).astype(np.uint8)), coded(fine))
    assert (comparison.doubt is None) == (made in GOOD), comparison.doubt


def test_colours_in_another_order() -> None:
    fine = textured((256, 256, 3))
    for order in ((0, 1, 2), (2, 1, 0)):
        level = np.moveaxis(np.rint(means(fine, 2)).astype(np.uint8)[..., order], -1, 0)
        comparison = Comparison("cyx", (1, 2, 2), fine.dtype, lossy=True)
        comparison.add(level, np.moveaxis(fine, -1, 0))
        assert (comparison.doubt is None) == (order == (0, 1, 2))
    assert comparison.doubt is not None
    assert "as of other colours" in comparison.doubt


def test_means_of_floats_are_exact() -> None:
    fine = np.random.default_rng(2).normal(0, 1e6, (4, 64, 64)).astype(np.float32)
    level = fine.reshape(2, 2, 32, 2, 32, 2).mean((1, 3, 5))
    for add, taken in ((0, True), (100, False)):
        comparison = Comparison("zyx", (2, 2, 2), fine.dtype, lossy=False)
        comparison.add(level + np.float32(add), fine)
        assert (comparison.doubt is None) == taken


def test_axes_halved_one_after_the_other_are_rounded_three_times() -> None:
    fine = np.random.default_rng(2).integers(0, 9, (8, 128, 128), np.uint8)
    level = fine.astype(int)
    for axis in range(3):
        first, second = (np.take(level, range(i, level.shape[axis], 2), axis) for i in (0, 1))
        level = (first + second + 1) // 2
    comparison = Comparison("zyx", (2, 2, 2), fine.dtype, lossy=False)
    comparison.add(level.astype(np.uint8), fine)
    assert np.abs(level - fine.reshape(4, 2, 64, 2, 64, 2).mean((1, 3, 5))).max() > 1
    assert comparison.doubt is None


def test_where_nothing_tells_them_apart_they_are_taken() -> None:
    fine = np.repeat(np.repeat(np.arange(64, dtype=np.uint8).reshape(8, 8), 2, 0), 2, 1)
    comparison = Comparison("yx", (2, 2), fine.dtype, lossy=False)
    comparison.add(fine[::2, ::2], fine)
    assert comparison.doubt is None


def test_places_without_measurements_say_nothing() -> None:
    comparison = Comparison("yx", (2, 2), np.dtype(np.float32), lossy=False)
    comparison.add(np.full((4, 4), np.nan, np.float32), np.zeros((8, 8), np.float32))
    assert comparison.doubt is not None
    assert "nothing can be compared" in comparison.doubt
