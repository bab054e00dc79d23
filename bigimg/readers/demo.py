"""A picture of any size that is made while it is read, for ``bigimg demo`` and the benchmarks.

It looks like a stained section on a glass slide: tissue with cells on a white background, and the noise of a camera.
A pixel depends only on its position, so any worker can make any region in any order.
"""

from __future__ import annotations

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.axes import Axis
from bigimg.geometry.region import pieces, shape_of, shift
from bigimg.geometry.spec import RGB, ImageSpec
from bigimg.reader import Access
from bigimg.types import Array, Region

TILE = 512
TEXTURES = 8
GRAIN = 32
"""Pixels between the points at which the outline of the tissue is computed."""


def parse_size(text: str) -> tuple[int, int]:
    """Return height and width from a text such as ``32768x32768``.

    Raises
    ------
    UsageError
        The text is not understood.
    """
    height, cross, width = text.lower().replace(" ", "").partition("x")
    if not (cross and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise UsageError(f"size {text!r} is not understood: write height x width, as in 32768x32768")
    return int(height), int(width)


class SlideReader:
    """An RGB slide of ``height`` x ``width`` pixels without a file, 0.25 µm a pixel."""

    def __init__(self, height: int, width: int) -> None:
        axes = (Axis("c", 3), Axis("y", height, 0.25, "micrometer"), Axis("x", width, 0.25, "micrometer"))
        self.spec = ImageSpec(axes, np.dtype(np.uint8), (3, TILE, TILE), channels=RGB)
        self.source = f"demo slide of {height} x {width}"
        self.textures = [_texture(seed) for seed in range(TEXTURES)]
        fixed = sum(texture.nbytes for texture in self.textures)
        self.access = Access("random", "made while it is read", (), fixed, read_bytes=8 * 3 * TILE * TILE)

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region``."""
        out = np.empty(shape_of(region), np.uint8)
        start = tuple(s.start for s in region)
        for (_, i, j), part in pieces(region, (3, TILE, TILE)):
            inside = shift(part, (0, i * TILE, j * TILE))
            texture = self.textures[(i * 5 + j * 3 + i * j) % TEXTURES][inside]
            tissue = _tissue(part[1], part[2], self.spec.shape[1:])
            colored = texture * tissue
            colored >>= 6
            np.subtract(244, colored, out=out[shift(part, start)], casting="unsafe")
        return out

    def close(self) -> None:
        """Do nothing: no file is open."""


def _texture(seed: int) -> Array:
    """Return how much light a tile of tissue absorbs, 0 to 160, as int16 of shape (3, 512, 512)."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:TILE, :TILE].astype(np.float32) * np.float32(2 * np.pi / TILE)
    fibres = np.sin(5 * yy + 3 * xx) + np.sin(2 * yy - 7 * xx + np.sin(3 * yy))
    absorbed = np.stack([30 + 8 * fibres, 70 + 14 * fibres, 36 + 8 * fibres])
    for cy, cx in rng.integers(16, TILE - 16, (60, 2)):
        distances = (np.arange(TILE)[:, None] - cy) ** 2 + (np.arange(TILE)[None] - cx) ** 2
        near = distances < rng.integers(40, 160)
        absorbed[:, near] = np.array([[95], [110], [60]])
    absorbed += rng.normal(0, 2.2, (1, TILE, TILE)) + rng.normal(0, 1.2, (3, TILE, TILE))
    return np.asarray(np.clip(absorbed, 0, 160), np.int16)


def _tissue(rows: slice, columns: slice, shape: tuple[int, ...]) -> Array:
    """Return how dense the tissue is, 2 (glass) to 64, as int16 of shape (rows, columns)."""
    along = []
    for s, n in ((rows, shape[0]), (columns, shape[1])):
        points = np.arange(s.start // GRAIN, -(-s.stop // GRAIN)) * GRAIN + GRAIN / 2
        along.append(points / n * 2 - 1)
    y, x = along[0][:, None], along[1][None]
    outline = 0.78 + 0.08 * np.sin(5 * np.arctan2(y, x)) + 0.04 * np.sin(11 * np.arctan2(y, x) + 1)
    folds = 46 + 12 * np.sin(9 * x + 4 * np.sin(5 * y)) + 6 * np.sin(31 * y - 23 * x)
    coarse = np.where(np.hypot(y, x) < outline, folds, 2).astype(np.int16)
    dense = np.repeat(np.repeat(coarse, GRAIN, 0), GRAIN, 1)
    inside = tuple(slice(s.start % GRAIN, s.start % GRAIN + s.stop - s.start) for s in (rows, columns))
    return np.asarray(dense[inside])
