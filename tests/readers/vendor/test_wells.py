"""Plates in one file of Zeiss or Nikon: scenes and positions that are called after wells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bigimg
from bigimg.types import Array
from tests.readers.vendor.czi_files import ZSTD, Tile, metadata, write_czi
from tests.readers.vendor.nikon import POSITIONS, Z, loop, write_nd2

WELLS = ("B3", "B3", "C11", "C11")


def pixels(count: int) -> Array:
    return np.random.default_rng(3).integers(0, 4000, (count, 20, 24), np.uint16)


@pytest.mark.parametrize("scene", [
    '<Scene Index="{i}" Name="P{n}"><Shape Id="S:{i}" Name="{well}"/></Scene>',
    '<Scene Index="{i}" Name="P{n}"><ArrayName>{well}</ArrayName></Scene>',
    '<Scene Index="{i}" Name="{well}"/>',
])  # fmt: skip
def test_scenes_of_a_czi(scene: str, tmp_path: Path) -> None:
    planes = pixels(8)
    tiles = [
        Tile(planes[2 * s + c], 100 * s, 50, {"S": s, "C": c}, codec=ZSTD) for s in range(4) for c in range(2)
    ]
    scenes = "".join(scene.format(i=i, n=i % 2 + 1, well=well) for i, well in enumerate(WELLS))
    dims = f"<SizeC>2</SizeC><Dimensions><S><Scenes>{scenes}</Scenes></S></Dimensions>"
    write_czi(tmp_path / "a.czi", tiles, metadata(dims, scaling={"X": 5e-7, "Y": 5e-7}))
    plate = bigimg.convert(
        tmp_path / "a.czi", tmp_path / "p.ome.zarr", plate=True, memory="2GB", progress=False
    )
    assert plate.wells == ("B/3", "C/11")
    for s, well in enumerate(WELLS):
        np.testing.assert_array_equal(plate[well, s % 2], planes[2 * s : 2 * s + 2])
    if "P{n}" in scene:
        assert plate.info.field_labels == ("P1", "P2")


def test_positions_of_an_nd2(tmp_path: Path) -> None:
    planes = pixels(8)
    names = ["B03, Point 1", "B03, Point 2", "C11, Point 1", "C11, Point 2"]
    loops = [loop(POSITIONS, 4, names), loop(Z, 2)]
    write_nd2(tmp_path / "a.nd2", planes[..., None], loops, names=["DAPI"])
    plate = bigimg.convert(
        tmp_path / "a.nd2", tmp_path / "p.ome.zarr", plate=True, memory="2GB", progress=False
    )
    assert plate.wells == ("B/03", "C/11")
    for p, name in enumerate(names):
        np.testing.assert_array_equal(plate[name[:3], p % 2], planes[2 * p : 2 * p + 2])
    assert plate.info.field_labels == ("Point 1", "Point 2")
