"""Estimates of a plan: near what is written, from samples that are small."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bigimg
from bigimg.conversion.estimate import SAMPLE_BYTES, _samples, probe
from bigimg.geometry.region import count
from bigimg.opening.open import open_source
from bigimg.planning.options import options
from bigimg.planning.plan import make_plan
from bigimg.reader import Access, Reader
from bigimg.readers.arrays.array import ArrayReader
from bigimg.types import Array, Region, Shape

RNG = np.random.default_rng(4)


def written(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def slide() -> Array:
    tissue = RNG.normal(150, 25, (3, 1500, 2000)).clip(0, 255).astype(np.uint8)
    tissue[..., :900] = 242
    return tissue


def ball() -> Array:
    z, y, x = np.mgrid[-1:1:64j, -1:1:160j, -1:1:160j]
    return np.where(z * z + y * y + x * x < 0.6, RNG.normal(1000, 60, z.shape), 20).astype(np.uint16)


def lines() -> Array:
    drawing = np.full((1200, 2500), 255, np.uint8)
    drawing[::37, 300:] = 0
    drawing[200:, ::53] = 80
    return drawing


def cells() -> Array:
    return (np.arange(1500)[:, None] // 40 * 100 + np.arange(1500) // 40).astype(np.uint32)


@pytest.mark.parametrize("make", [slide, ball, lines, cells])
def test_a_store_is_as_large_as_was_said(make: object, tmp_path: Path):
    image = bigimg.from_array(make())  # type: ignore[operator]
    said = bigimg.plan(image, tmp_path / "a.ome.zarr", memory="1GB").estimate
    bigimg.write(image, tmp_path / "a.ome.zarr", memory="1GB")
    assert said is not None
    assert said.output_bytes == pytest.approx(written(tmp_path / "a.ome.zarr"), rel=0.15)


def test_levels_of_a_drawing_count_too(tmp_path: Path):
    # It is read in order; its means have more values than its lines.
    Image.fromarray(lines()).save(tmp_path / "a.png")
    said = bigimg.plan(tmp_path / "a.png", tmp_path / "a.ome.zarr", memory="1GB").estimate
    bigimg.convert(tmp_path / "a.png", tmp_path / "a.ome.zarr", memory="1GB")
    assert said is not None
    assert said.output_bytes == pytest.approx(written(tmp_path / "a.ome.zarr"), rel=0.15)


class Whole:
    """Planes that are decoded whole; it keeps what was asked for."""

    def __init__(self, shape: Shape, dtype: str, chunks: Shape) -> None:
        self._of = ArrayReader(np.broadcast_to(np.zeros((), dtype), shape))
        self.spec = replace(self._of.spec, chunks=chunks)
        self.access, self.source = Access("random", "planes"), "planes"
        self.decoded: list[int] = []
        self.given: list[int] = []

    def read(self, region: Region) -> Array:
        touched = [-(-s.stop // c) - s.start // c for s, c in zip(region, self.spec.chunks, strict=True)]
        self.decoded.append(math.prod(touched) * math.prod(self.spec.chunks) * self.spec.dtype.itemsize)
        self.given.append(count(region) * self.spec.dtype.itemsize)
        return self._of.read(region)

    def close(self) -> None:
        """Have nothing open."""


@pytest.mark.parametrize(
    ("shape", "dtype", "chunks", "most"),
    [
        ((300, 3000, 3000), "u1", (1, 3000, 3000), 2 * 9_000_000),
        ((200, 10_000, 10_000), "u2", (1, 10_000, 10_000), 2 * 200_000_000),
        ((100, 2000, 2000), "u2", (1, 16, 2000), SAMPLE_BYTES),
        ((500, 600, 700), "f4", (1, 1, 64), 64**3 * 4 * 2),
    ],
)
def test_samples_are_small(shape: Shape, dtype: str, chunks: Shape, most: int):
    reader = Whole(shape, dtype, chunks)
    assert isinstance(reader, Reader)
    plan = make_plan("planes", "a.ome.zarr", reader.spec, reader.access, options(memory="8GB"))
    assert probe(plan, reader) is not None
    assert max(reader.decoded) <= most
    assert max(reader.given) <= max(SAMPLE_BYTES, 64**3 * 4)


def test_samples_of_a_folder_are_a_few_planes(tmp_path: Path):
    plane = np.add.outer(np.arange(600) * 7, np.arange(800) * 3).astype(np.uint8)
    for i in range(70):
        Image.fromarray(plane + np.uint8(i)).save(tmp_path / f"p{i:03}.png", compress_level=1)
    with closing(open_source(tmp_path)) as reader:
        plan = make_plan("folder", "a.ome.zarr", reader.spec, reader.access, options(memory="1GB"))
        sizes = [count(region) for region in _samples(plan, reader)]
    assert len(sizes) > 10
    assert max(sizes) <= SAMPLE_BYTES
