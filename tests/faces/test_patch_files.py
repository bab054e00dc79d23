"""Patches in files: what other libraries read back is what was cut, with its place; whole or absent."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import xarray
from PIL import Image

import bigimg
from bigimg.errors import TargetExistsError, UsageError
from bigimg.faces.patch_files import save_patches
from bigimg.types import Array
from tests.running import bigimg as command


def noise(*shape: int, dtype: Any = np.uint8) -> Array:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def load(path: Path) -> Array:
    if path.suffix == ".png":
        return np.asarray(Image.open(path))
    return tifffile.imread(path) if path.suffix == ".tif" else np.load(path)


@pytest.mark.parametrize("form", ["png", "tif", "npy"])
@pytest.mark.parametrize(
    ("shape", "dtype"), [((50, 60, 3), "u1"), ((50, 60), "u1"), ((50, 60), "u2"), ((50, 60), "?")]
)
def test_a_folder_of_files(form: str, shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    patches = bigimg.patches(noise(*shape, dtype=dtype), (20, 15), n=12, seed=3)
    done = save_patches(patches, tmp_path / "out", format=form, progress=False)
    stack, places = patches.stack(), patches.coords.compute()
    table = rows(tmp_path / "out" / "coordinates.csv")
    assert [row["file"] for row in table] == [f"{i:02}.{form}" for i in range(12)]
    assert done.patches == len(table) == len([*(tmp_path / "out").iterdir()]) - 1
    for i, row in enumerate(table):
        np.testing.assert_array_equal(load(tmp_path / "out" / row["file"]).astype(dtype), stack[i])
        assert (int(row["y_index"]), int(row["x_index"])) == (int(places.y_index[i]), int(places.x_index[i]))
        assert float(row["x_position"]) == float(places.x_position[i])


def test_one_array(tmp_path: Path) -> None:
    patches = bigimg.patches(noise(50, 60, 3), (20, 15), overlap=4)
    save_patches(patches, tmp_path / "a.npy", progress=False)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), patches.stack())
    assert len(rows(tmp_path / "a.npy.csv")) == len(patches)
    assert {path.name for path in tmp_path.iterdir()} == {"a.npy", "a.npy.csv"}


def test_a_zarr_group(tmp_path: Path) -> None:
    patches = bigimg.patches(noise(50, 60, 3), (20, 15), overlap=4)[3:]
    save_patches(patches, tmp_path / "a.zarr", progress=False)
    found = xarray.open_zarr(tmp_path / "a.zarr")
    np.testing.assert_array_equal(found.image.values, patches.stack("first"))
    assert found.patch.values.tolist() == list(range(3, 3 + len(patches)))
    assert found.image.bigimg.channels == ("R", "G", "B")
    xarray.testing.assert_equal(found.compute(), patches.to_dataset().compute())
    assert len(rows(tmp_path / "a.zarr.csv")) == len(patches)


def test_endings_of_other_formats_are_no_names_of_folders(tmp_path: Path) -> None:
    patches = bigimg.patches(noise(50, 60, 3), (20, 15))[:2]
    for name in ("p.parquet", "p.h5", "p.PNG", "p.tiff"):
        with pytest.raises(
            UsageError, match=rf"not written as \{Path(name).suffix}: .* \.npy or \.zarr, or that of a"
        ):
            save_patches(patches, tmp_path / name, progress=False)
    assert not list(tmp_path.iterdir())
    save_patches(patches, f"{tmp_path}/p.parquet/", progress=False)
    for name in ("run.2", "p", "v0.5"):
        save_patches(patches, tmp_path / name, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p", "p.parquet", "run.2", "v0.5"]


def test_volumes_and_floats_go_to_tiff(tmp_path: Path) -> None:
    volume = noise(20, 30, 40, dtype=np.float32)
    patches = bigimg.patches(volume, (8, 16, 16))
    done = save_patches(patches, tmp_path / "out", progress=False)
    assert done.format == "tif"
    np.testing.assert_array_equal(load(tmp_path / "out" / "00.tif"), volume[:8, :16, :16])
    with pytest.raises(UsageError, match="a PNG has two axes beside the channels: give format='tif'"):
        save_patches(patches, tmp_path / "no", format="png")
    with pytest.raises(UsageError, match="no PNG is written of 1 channels of float32"):
        save_patches(bigimg.patches(volume, (8, 8)), tmp_path / "no", format="png")
    with pytest.raises(UsageError, match="format='png' is of the files in a folder"):
        save_patches(patches, tmp_path / "no.npy", format="png")
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("name", ["out", "out.npy", "out.zarr"])
def test_nothing_is_replaced_and_nothing_is_left(name: str, tmp_path: Path) -> None:
    patches = bigimg.patches(noise(50, 60), 20)
    (tmp_path / name).mkdir()
    with pytest.raises(TargetExistsError):
        save_patches(patches, tmp_path / name, progress=False)
    (tmp_path / name).rmdir()
    broken = bigimg.patches(noise(50, 60), 20)
    broken.cutter.reader = Broken(broken.cutter.reader)
    with pytest.raises(bigimg.InputError, match="the disk is gone"):
        save_patches(broken, tmp_path / name, progress=False)
    assert not [*tmp_path.iterdir()]


class Broken:
    """A source that fails on the way."""

    def __init__(self, reader: Any) -> None:
        self.spec, self.access, self.source, self.reader = reader.spec, reader.access, reader.source, reader
        self.left = 3

    def read(self, region: Any) -> Array:
        self.left -= 1
        if self.left < 0:
            raise bigimg.InputError("the disk is gone")
        found: Array = self.reader.read(region)
        return found

    def close(self) -> None:
        pass


def test_the_command(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    Image.fromarray(noise(60, 80, 3)).save(source)
    mask = np.zeros((60, 80), np.uint8)
    mask[:, 40:] = 255
    np.save(tmp_path / "mask.npy", mask > 0)
    done = command(
        "patches", source, tmp_path / "out", "--size", "20,16", "--overlap", "y=4,x=0", "--where",
        tmp_path / "mask.npy", "--min-fraction", 1, "--json", "-q", scratch=tmp_path,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["patches"] == 4 * 2
    assert all(int(row["x_index"]) >= 40 for row in rows(tmp_path / "out" / "coordinates.csv"))
    again = command("patches", source, tmp_path / "out", "--size", 20, scratch=tmp_path)
    assert (again.code, again.line) == (4, again.line)
    assert "exists already" in again.line
    large = command("patches", source, tmp_path / "no", "--size", "200", scratch=tmp_path)
    assert large.code == 2
    assert "size 200 along y: the image has 60 pixels; give 1 to 60" in large.line
    seeded = [
        command(
            "patches",
            source,
            tmp_path / f"{i}.npy",
            "--size",
            9,
            "--n",
            5,
            "--seed",
            1,
            "-q",
            scratch=tmp_path,
        )
        for i in range(2)
    ]
    assert [ended.code for ended in seeded] == [0, 0]
    np.testing.assert_array_equal(np.load(tmp_path / "0.npy"), np.load(tmp_path / "1.npy"))
    assert json.loads(json.dumps(done.json)) == done.json


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the high-water mark is Linux's to tell")
def test_memory_of_many_patches(tmp_path: Path) -> None:
    """300 MB of patches of a picture of 192 MB, in a budget of 260 MB."""
    source = tmp_path / "a.npy"
    np.save(source, np.tile(noise(500, 500), (16, 24)))
    store = tmp_path / "a.ome.zarr"
    assert command("convert", source, store, "-q", "--memory", "400MB", scratch=tmp_path).code == 0
    done = command(
        "patches", store, tmp_path / "b.npy", "--size", 500, "--n", 1200, "--seed", 0, "-q", "--memory", "260MB",
        scratch=tmp_path,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert np.load(tmp_path / "b.npy", mmap_mode="r").shape == (1200, 500, 500)
    assert done.peak_bytes <= 260_000_000
    (tmp_path / "b.npy").unlink()
