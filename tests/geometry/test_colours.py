"""Channels without a colour have the same one in the store, in napari and in our pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bigimg
from bigimg.geometry.colours import SPARE
from bigimg.viewing.napari.layers import layers_of


@pytest.mark.parametrize(
    ("names", "colors"),
    [
        (("DAPI", "GFP"), ("00FF00", "FF00FF")),
        (("R", "G", "B"), ("FF0000", "00FF00", "0000FF")),
        (None, ("FF0000", "00FF00", "0000FF")),
        (tuple("abcde"), SPARE[:5]),
        (None, SPARE[:4]),
    ],
)
def test_one_colour_everywhere(
    names: tuple[str, ...] | None, colors: tuple[str, ...], tmp_path: Path
) -> None:
    count = len(colors)
    pixels = np.zeros((count, 8, 8 * count), np.uint16)
    for i in range(count):
        pixels[i, :, 8 * i : 8 * i + 8] = 60000
    store = tmp_path / "a"
    bigimg.write(
        bigimg.from_array(pixels, dims="cyx", channels=names), store, window=(0, 60000), progress=False
    )
    omero = json.loads((store / "zarr.json").read_text())["attributes"]["ome"]["omero"]
    assert tuple(each["color"] for each in omero["channels"]) == colors
    assert all(each["active"] for each in omero["channels"])
    layers = [options["colormap"] for _, options, _ in layers_of(store)]
    assert [each.lstrip("#").upper() for each in layers] == list(colors)
    from bigimg.viewing.pictures import plane_picture

    plane_picture(store, tmp_path / "a.png", most=8 * count)
    drawn = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))[4, 4::8]
    assert ["".join(f"{value:02X}" for value in pixel) for pixel in drawn] == list(colors)
