"""``bigimg downsample``: what it writes against numpy, what it prints, what it refuses; memory."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

import bigimg
from bigimg.faces.downsample import downsample_to
from tests.oracles import fast_mean
from tests.running import bigimg as run

PIXELS = np.random.default_rng(0).integers(0, 4000, (20, 150, 170)).astype(np.int16)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    image = nibabel.Nifti1Image(PIXELS.T, np.diag([-0.5, 2, 3, 1]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "a.nii")
    return tmp_path / "a.nii"


def test_to_a_store(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "b.ome.zarr"
    found = run(
        "downsample",
        source,
        target,
        "--factor",
        "z=1,y=3,x=4",
        "--json",
        "-q",
        "--memory",
        "512MB",
        scratch=tmp_path,
    )
    assert found.code == 0, found.err
    assert found.json["shape"] == [20, 50, 43]
    assert found.json["spacing"] == [3, 6, 2]
    assert found.json["units"] == ["millimeter"] * 3
    assert found.peak_bytes < 512e6
    img = bigimg.open(target)
    np.testing.assert_array_equal(img.values, fast_mean(PIXELS, (1, 3, 4)))
    moved = np.diag([-0.5, 2, 3, 1]) @ np.array([[4, 0, 0, 1.5], [0, 3, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(img.bigimg.affine, moved)
    assert bigimg.verify(target).ok
    assert run("downsample", source, target, "--factor", 2, scratch=tmp_path).code == 4
    again = run("downsample", source, target, "--factor", 2, "--overwrite", "-q", scratch=tmp_path)
    assert again.code == 0, again.err
    assert bigimg.open(target).shape == (10, 75, 85)


def test_to_files(source: Path, tmp_path: Path) -> None:
    done = run("downsample", source, tmp_path / "b.nii", "--to-spacing", "z=3,y=4,x=4", scratch=tmp_path)
    assert done.code == 0, done.err
    small = nibabel.load(tmp_path / "b.nii")
    np.testing.assert_array_equal(np.asarray(small.dataobj).T, fast_mean(PIXELS, (1, 2, 8)))
    np.testing.assert_allclose(small.header.get_zooms(), [4, 4, 3])
    rgb = np.random.default_rng(0).integers(0, 255, (90, 80, 3)).astype(np.uint8)
    Image.fromarray(rgb).save(tmp_path / "c.png")
    assert (
        run(
            "downsample", tmp_path / "c.png", tmp_path / "d.png", "--shape", "30,20", "-q", scratch=tmp_path
        ).code
        == 0
    )
    expected = fast_mean(rgb, (3, 4, 1))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "d.png")), expected)
    assert (
        run("downsample", tmp_path / "c.png", tmp_path / "d.tif", "--factor", 5, "-q", scratch=tmp_path).code
        == 0
    )
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "d.tif").squeeze().shape[-3:], (18, 16, 3))


def test_slope_and_intercept_stay(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(PIXELS.T, np.eye(4)), tmp_path / "a.nii")
    with open(tmp_path / "a.nii", "r+b") as file:  # nibabel takes a slope off the pixels when it saves
        file.seek(112)
        file.write(np.array([2.5, -1000], "<f4").tobytes())
    assert (
        nibabel.load(tmp_path / "a.nii").dataobj.slope,
        nibabel.load(tmp_path / "a.nii").dataobj.inter,
    ) == (2.5, -1000)
    downsample_to(tmp_path / "a.nii", tmp_path / "b.ome.zarr", factor=4, progress=False)
    stored = bigimg.open(tmp_path / "b.ome.zarr", raw=True)
    assert stored.dtype == np.int16
    assert stored.attrs["scaling"] == [2.5, -1000]
    np.testing.assert_array_equal(stored.values, fast_mean(PIXELS, (4, 4, 4)))


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "give --factor, --to-spacing or --shape"),
        (("--factor", 2, "--shape", "3,3"), 2, "one of them"),
        (("--factor", "x"), 2, "write 64, or 8,64,64 for z y x"),
        (("--shape", "x"), 2, "--shape x: give whole numbers of pixels"),
        (("--factor", 0), 2, "factor 0"),
        (("--factor", "q=2"), 2, "the axes are z y x"),
        (("--shape", "999,9"), 2, "give 1 to 150"),
        (("--shape", "9,9", "--method", "max"), 2, "to a shape it is mean or nearest"),
        (("--factor", 2, "--level", 1), 2, "level 1 of an image without levels"),
        (("--factor", 2, "--memory", "20MB"), 6, "use --memory 1"),
    ],
)
def test_refused(words: tuple[object, ...], code: int, says: str, source: Path, tmp_path: Path) -> None:
    found = run("downsample", source, tmp_path / "b.ome.zarr", *words, scratch=tmp_path)
    assert found.code == code
    assert says in found.err
    assert not (tmp_path / "b.ome.zarr").exists()


def test_a_large_image_in_a_small_budget(tmp_path: Path) -> None:
    np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint16, (24000, 16000)).flush()  # 768 MB, sparse
    for words in (("--factor", 3), ("--shape", "1741,1870")):
        target = tmp_path / f"{words[1]}.ome.zarr"
        found = run(
            "downsample", tmp_path / "a.npy", target, *words, "-q", "--memory", "400MB", scratch=tmp_path
        )
        assert found.code == 0, found.err
        assert 0 < found.peak_bytes <= 400e6
