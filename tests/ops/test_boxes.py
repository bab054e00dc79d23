"""Planes, boxes and regions: places against numpy and nibabel, and what is read of a store is counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bigimg
from bigimg.errors import UsageError
from bigimg.omezarr.shard import ShardFile
from bigimg.system import files

VOLUME = np.random.default_rng(0).integers(0, 4000, (100, 130, 190)).astype(np.uint16)
CHUNK = 16


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("boxes") / "a.ome.zarr"
    img = bigimg.from_array(VOLUME, dims="zyx", spacing=(3, 2, 0.5), unit="um")
    bigimg.write(img, path, memory="4GB", chunks=CHUNK, progress=False)
    return path


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """Every chunk that is decoded, in order."""
    seen: list[tuple[Any, Any]] = []
    real: Callable[..., bytes] = ShardFile.encoded

    def counted(self: ShardFile, position: Any) -> bytes:
        seen.append((self.start, position))
        return real(self, position)

    monkeypatch.setattr(ShardFile, "encoded", counted)
    return seen


def crossed(*parts: range) -> int:
    """Return how many chunks pixels in ``parts`` lie in."""
    return int(np.prod([len({i // CHUNK for i in part}) for part in parts]))


@pytest.mark.parametrize(("name", "axis"), [("axial", 0), ("coronal", 1), ("sagittal", 2)])
def test_a_plane_reads_its_chunks_once(
    name: str, axis: int, store: Path, decoded: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[int] = []
    real = files.read_at
    monkeypatch.setattr(files, "read_at", lambda fd, n, at: (fetched.append(n), real(fd, n, at))[1])
    with dask.config.set(scheduler="threads", num_workers=2):
        cut = bigimg.plane(store, name, index=40)
        assert not decoded
        np.testing.assert_array_equal(cut.values, VOLUME.take(40, axis))
    wanted = crossed(*(range(n) if i != axis else range(40, 41) for i, n in enumerate(VOLUME.shape)))
    assert len(decoded) == len(set(decoded)) == wanted
    folder = store / "0" / "c"
    stored = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    whole = crossed(*map(range, VOLUME.shape))
    # Compressed chunks; and of each shard its index and four bytes a chunk, which its checksum is made of.
    assert sum(fetched) < 1.2 * stored * wanted / whole


def test_plain_slices_read_only_the_chunks_they_cross(store: Path, decoded: list[Any]) -> None:
    """Lesson A: ``img[:50, :70]``, before any function of ours."""
    img = bigimg.open(store)
    assert not decoded
    found = img[3:5, CHUNK - 1 : CHUNK + 1, :3]
    np.testing.assert_array_equal(found, VOLUME[3:5, CHUNK - 1 : CHUNK + 1, :3])
    assert len(decoded) == 2
    decoded.clear()
    assert img.isel(z=7, y=5, x=9).values == VOLUME[7, 5, 9]
    np.testing.assert_array_equal(img[::2, 3, ::3], VOLUME[::2, 3, ::3])
    assert len(decoded) == 1 + crossed(range(0, VOLUME.shape[0], 2), range(3, 4), range(VOLUME.shape[2]))


def test_planes_of_levels(store: Path) -> None:
    tree = bigimg.open_pyramid(store)
    level = bigimg.open(store, level=1)
    for source in (store, tree):
        np.testing.assert_array_equal(bigimg.plane(source, "z", level=1, index=3).values, level.values[3])
    np.testing.assert_array_equal(
        tree.bigimg.plane("z", level=-1).values, bigimg.plane(store, "z", level=-1).values
    )
    with pytest.raises(UsageError, match="level 9"):
        bigimg.plane(store, "z", level=9)


@given(st.data(), st.booleans())
def test_boxes_in_pixels(data: st.DataObject, chunked: bool) -> None:
    img = bigimg.from_array(VOLUME[:20, :30, :40], dims="zyx")
    img = img.chunk(z=7, y=9, x=13) + np.uint16(0) if chunked else img.chunk(z=6)
    box, cut = {}, []
    for name, n in img.sizes.items():
        start = data.draw(st.integers(0, n - 1))
        stop = data.draw(st.integers(start + 1, n))
        box[name] = data.draw(st.sampled_from([(start, stop), (start, None), (None, stop)]))
        cut.append(slice(*box[name]))
    found = bigimg.crop(img, box)
    np.testing.assert_array_equal(found.values, VOLUME[:20, :30, :40][tuple(cut)])
    assert found.chunks == img.data[tuple(cut)].chunks  # as dask cuts them: no chunk is read twice


def test_a_box_keeps_its_affine(store: Path, decoded: list[Any]) -> None:
    affine = np.array([[0, -2.0, 0, 30], [1.5, 0, 0.2, -7], [0, 0, 3, 11], [0, 0, 0, 1]])
    theirs = nibabel.Nifti1Image(VOLUME.T, affine)
    img = bigimg.with_geometry(bigimg.from_array(VOLUME, dims="zyx"), world=affine)
    ours = bigimg.crop(img, {"x": (5, 60), "y": (7, 30), "z": (1, 99)})
    cut = theirs.slicer[5:60, 7:30, 1:99]
    np.testing.assert_allclose(ours.bigimg.affine, cut.affine)
    np.testing.assert_array_equal(ours.values.T, np.asarray(cut.dataobj))
    small = bigimg.crop(store, {"z": (16, 40), "y": (0, 10), "x": (31, 33)})
    np.testing.assert_array_equal(small.values, VOLUME[16:40, :10, 31:33])
    assert len(decoded) == crossed(range(16, 40), range(10), range(31, 33))


def test_boxes_in_units(store: Path) -> None:
    img = bigimg.open(store)
    for low, high in ((6.0, 12.0), (5.9, 12.1), (6.1, 8.9), (-1.5, 300.0 - 1.5)):
        if low == 6.1:
            with pytest.raises(UsageError, match="no pixel's middle lies there"):
                bigimg.crop(store, {"z": (low, high)}, physical=True)
            continue
        found = bigimg.crop(store, {"z": (low, high)}, physical=True)
        np.testing.assert_array_equal(found.z, img.sel(z=slice(low, high)).z)
    back = img.isel(z=slice(None, None, -1))
    np.testing.assert_array_equal(bigimg.crop(back, {"z": (6, 12)}, physical=True).z, [12, 9, 6])
    assert bigimg.crop(store, {"x": (None, 3)}, physical=True).sizes["x"] == 7


def test_the_same_place_in_every_level(store: Path, decoded: list[Any]) -> None:
    for level in range(3):
        img = bigimg.open(store, level=level)
        factors = [round(a / b) for a, b in zip(img.bigimg.spacing.values(), (3, 2, 0.5), strict=True)]
        first = [at // f for at, f in zip((40, 50, 61), factors, strict=True)]
        expected = img.values[tuple(slice(i, i + n) for i, n in zip(first, (2, 9, 12), strict=True))]
        decoded.clear()
        found = bigimg.region(store, (40, 50, 61), (2, 9, 12), level=level)
        np.testing.assert_array_equal(found.values, expected)
        assert len(decoded) <= 8
        place = bigimg.region(store, {"z": 120.0, "y": 100.0, "x": 30.5}, {"z": 2, "y": 9, "x": 12}, level=level,
                              physical=True)  # fmt: skip
        np.testing.assert_array_equal(place.values, expected)
        np.testing.assert_array_equal(
            bigimg.open_pyramid(store).bigimg.region((40, 50, 61), (2, 9, 12), level=level).values, expected
        )
    assert bigimg.region(store, {"x": 5}, {"x": 2}).shape == (100, 130, 2)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda i: bigimg.crop(i, {"q": (1, 2)}), "along 'q': the axes are z y x"),
        (
            lambda i: bigimg.crop(i, {"z": (1, 101)}),
            "crop 1 to 101 along z: give whole numbers in order, from 0 to 100",
        ),
        (lambda i: bigimg.crop(i, {"z": (5, 5)}), "crop 5 to 5 along z"),
        (lambda i: bigimg.crop(i, {"z": (-5, 5)}), "from 0 to 100"),
        (lambda i: bigimg.crop(i, {"z": (0, 999)}, physical=True), "from -1.5 to 298.5 micrometer"),
        (lambda i: bigimg.region(i, (1, 2), (3, 4)), r"at \(1, 2\) has 2 numbers for the axes z y x"),
        (lambda i: bigimg.region(i, {"q": 1}, {"z": 3}), "at names 'q': the axes are z y x"),
        (lambda i: bigimg.region(i, {"y": 1}, {"z": 3}), "give both for each axis"),
        (
            lambda i: bigimg.region(i, {"y": 130}, {"y": 3}),
            "at 130 along y: give a whole number from 0 to 129",
        ),
        (
            lambda i: bigimg.region(i, {"y": 120}, {"y": 11}),
            "size 11 along y from pixel 120 of 130: give 1 to 10",
        ),
        (
            lambda i: bigimg.region(i, {"y": 999.0}, {"y": 1}, physical=True),
            "reaches from -1 to 259 micrometer",
        ),
    ],
)
def test_refused(call: Callable[[Any], Any], says: str, store: Path) -> None:
    with pytest.raises(UsageError, match=says):
        call(store)
