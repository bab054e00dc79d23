"""Stores of ours in the viewers people have: napari with its own OME-Zarr plugin, on a screen.

napari warns of its own dependencies while it loads; what is checked here is what it shows of our stores.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigimg

pytestmark = [pytest.mark.viewer, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def viewer() -> Iterator[Any]:
    napari = pytest.importorskip("napari", reason="needs the viewer group: uv run --group viewer")
    pytest.importorskip("napari_ome_zarr", reason="needs the viewer group: uv run --group viewer")
    made = napari.Viewer(show=True)
    yield made
    made.close()


def gradient(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return pixels that differ along every axis."""
    ramps = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    return (sum(ramps) / len(shape) * np.iinfo(dtype).max).astype(dtype)


def is_drawn(viewer: Any) -> bool:
    """Return whether the canvas shows more than one colour."""
    shot = viewer.screenshot(canvas_only=True, flash=False)
    return bool(shot.shape[0] > 100 and shot[..., :3].std() > 1)


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_a_volume_keeps_levels_and_scale(version: str, viewer: Any, tmp_path: Path) -> None:
    volume = bigimg.from_array(
        gradient((40, 96, 130), np.uint16), dims="zyx", spacing=(2.0, 0.5, 0.5), unit="um"
    )
    bigimg.write(volume, tmp_path / "volume.ome.zarr", chunks=32, ome_version=version)
    (layer,) = viewer.open(str(tmp_path / "volume.ome.zarr"), plugin="napari-ome-zarr")
    assert layer.multiscale
    assert [tuple(level.shape) for level in layer.data][:2] == [(40, 96, 130), (40, 48, 65)]
    np.testing.assert_allclose(layer.scale, (2.0, 0.5, 0.5))
    np.testing.assert_array_equal(np.asarray(layer.data[0]), volume.to_numpy())
    assert is_drawn(viewer)


def test_a_picture_in_colour_shows_three_channels(viewer: Any, tmp_path: Path) -> None:
    picture = bigimg.from_array(gradient((300, 200, 3), np.uint8), dims="yxc", channels=("R", "G", "B"))
    bigimg.write(picture, tmp_path / "picture.ome.zarr", chunks=64)
    layers = viewer.open(str(tmp_path / "picture.ome.zarr"), plugin="napari-ome-zarr")
    assert [layer.name.split(": ")[-1] for layer in layers] == ["R", "G", "B"]
    colors = [tuple(layer.colormap.colors[-1][:3]) for layer in layers]
    np.testing.assert_allclose(colors, np.eye(3), atol=0.01)
    for channel, layer in enumerate(layers):
        np.testing.assert_array_equal(np.asarray(layer.data[0]), picture.to_numpy()[channel])
    assert is_drawn(viewer)
