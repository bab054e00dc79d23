"""Lines against scipy.ndimage.map_coordinates; the chunks on the way are counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

import bigimg
from bigimg.errors import UsageError
from bigimg.omezarr.shard import ShardFile

VOLUME = np.random.default_rng(0).normal(size=(11, 40, 53))


@given(st.lists(st.floats(0, 1), min_size=6, max_size=6), st.integers(2, 200), st.booleans())
def test_linear_interpolation(ends: list[float], samples: int, chunked: bool) -> None:
    most = np.array(VOLUME.shape) - 1
    start, stop = np.array(ends[:3]) * most, np.array(ends[3:]) * most
    img = bigimg.from_array(VOLUME, dims="zyx")
    img = img.chunk(z=3, y=7, x=20) + 0 if chunked else img
    line = bigimg.profile(img, tuple(start), tuple(stop), samples=samples)
    places = np.linspace(start, stop, samples).T
    np.testing.assert_allclose(
        line.values, map_coordinates(VOLUME, places, order=1, mode="nearest"), rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose([line.z, line.y, line.x], places, atol=1e-9)


def test_units_channels_and_planes() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (30, 40, 3)).astype(np.uint8)
    img = bigimg.from_array(rgb, spacing=(2.0, 0.5), unit="um")
    line = bigimg.profile(img, (0, 0), (58.0, 19.5), physical=True)
    assert line.dims == ("c", "distance")
    assert float(line.distance[-1]) == pytest.approx(np.hypot(58, 19.5))
    assert line.distance.attrs["units"] == "micrometer"
    np.testing.assert_array_equal(line.values[:, [0, -1]], rgb[[0, 29], [0, 39]].T)
    across = bigimg.profile(bigimg.from_array(VOLUME, dims="zyx"), {"y": 3}, {"y": 9})
    assert across.dims == ("z", "x", "distance")
    np.testing.assert_array_equal(across.values, np.moveaxis(VOLUME[:, 3:10], 1, -1))


def test_ids_are_not_mixed() -> None:
    ids = np.random.default_rng(0).choice([0, 2**53 + 1], (20, 20))
    img = bigimg.from_array(ids)
    img.attrs["kind"] = "labels"
    line = bigimg.profile(img, (0, 0), (19, 12), samples=50)
    assert line.dtype == ids.dtype
    y, x = np.rint(np.linspace(0, 19, 50)).astype(int), np.rint(np.linspace(0, 12, 50)).astype(int)
    np.testing.assert_array_equal(line.values, ids[y, x])
    assert bigimg.profile(ids > 0, (0, 0), (3, 3)).dtype == bool


def test_an_infinite_neighbour_without_weight() -> None:
    pixels = np.zeros((4, 4))
    pixels[:, 1] = np.inf
    assert (bigimg.profile(pixels, (0, 0), (3, 0)).values == 0).all()


def test_only_the_chunks_on_the_way_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 999, (1024, 1024)).astype(np.uint16)
    bigimg.convert(pixels, tmp_path / "a.ome.zarr", memory="4GB", chunks=64, progress=False)
    img, decoded = bigimg.open(tmp_path / "a.ome.zarr"), []
    real = ShardFile.encoded

    def counted(self: ShardFile, position: Any) -> bytes:
        decoded.append((self.start, position))
        return real(self, position)

    monkeypatch.setattr(ShardFile, "encoded", counted)
    line = bigimg.profile(img, (3, 5), (1001, 640), samples=3000)
    assert not decoded
    places = np.linspace((3, 5), (1001, 640), 3000).T
    np.testing.assert_allclose(line.values, map_coordinates(pixels.astype(float), places, order=1), rtol=1e-9)
    low = np.floor(places).astype(int)
    crossed = {
        tuple((low[:, i] + np.array(d)) // 64) for i in range(3000) for d in ((0, 0), (1, 0), (0, 1), (1, 1))
    }
    assert len(set(decoded)) <= 1.2 * len(crossed)
    assert len(decoded) <= 2 * len(crossed)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (((0, 0), (0, 0, 0)), r"start \(0, 0\) has 2 numbers for the axes z y x"),
        (({"q": 1}, {"q": 2}), "start names 'q': the axes are z y x"),
        (({"y": 1}, {"x": 2}), "give the same axes for both"),
        (((0, 0, 0), (11, 0, 0)), "11 along z is outside; give -0.5 to 10.5 pixels"),
    ],
)
def test_refused(asked: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        bigimg.profile(bigimg.from_array(VOLUME, dims="zyx"), *asked)
    with pytest.raises(UsageError, match="at least 2"):
        bigimg.profile(VOLUME[0], (0, 0), (3, 3), samples=1)
    with pytest.raises(UsageError, match="99 along y is outside; give -1 to 79 micrometer"):
        bigimg.profile(bigimg.from_array(VOLUME[0], spacing=2, unit="um"), (0, 0), (99, 0), physical=True)
