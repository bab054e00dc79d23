"""Opening against the libraries that own the formats: pixels, geometry, levels, refusals, info."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dask.array as da
import nibabel
import numpy as np
import pytest
import tifffile
import xarray
import zarr
from PIL import Image

import bigimg
from bigimg.errors import BudgetError, InputNotFoundError, UnknownFormatError, UsageError
from bigimg.opening.open import levels_of_source, open_source
from bigimg.planning import memory as memory_module
from bigimg.types import Array

STORE = "derived/mouse_brain_slab_v05.ome.zarr"


def numbers(*shape: int, dtype: Any = np.uint8) -> Array:
    return np.random.default_rng(1).integers(0, 200, shape).astype(dtype)


def test_a_picture(tmp_path: Path) -> None:
    pixels = numbers(30, 40, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    img = bigimg.open(tmp_path / "a.png")
    assert img.dims == ("c", "y", "x")
    np.testing.assert_array_equal(img.bigimg.to_numpy(), pixels)
    np.testing.assert_array_equal(bigimg.imread(tmp_path / "a.png"), pixels)


def test_nifti_is_as_nibabel_has_it(data: Path) -> None:
    path = data / "nifti" / "anatomical.nii.gz"
    theirs = nibabel.load(path)
    img = bigimg.open(path)
    np.testing.assert_array_equal(img.transpose("x", "y", "z").values, np.asanyarray(theirs.dataobj))
    np.testing.assert_allclose(img.bigimg.affine, theirs.affine, rtol=0, atol=1e-12)


def test_scaling_is_applied_or_kept(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(numbers(5, 6, 7, dtype=np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, -100)
    nibabel.save(image, tmp_path / "a.nii")
    theirs = nibabel.load(tmp_path / "a.nii")
    img = bigimg.open(tmp_path / "a.nii")
    assert img.dtype == np.float32
    np.testing.assert_array_equal(img.transpose("x", "y", "z").values, theirs.get_fdata())
    np.testing.assert_array_equal(bigimg.imread(tmp_path / "a.nii").transpose(), theirs.get_fdata())
    raw = bigimg.open(tmp_path / "a.nii", raw=True)
    np.testing.assert_array_equal(raw.transpose("x", "y", "z").values, theirs.dataobj.get_unscaled())
    assert raw.attrs["scaling"] == [0.5, -100.0]


def test_levels_of_a_store(data: Path) -> None:
    group = zarr.open_group(data / STORE, mode="r")
    tree = bigimg.open_pyramid(data / STORE)
    assert list(tree.children) == [f"scale{i}" for i in range(5)]
    for i in range(5):
        theirs = group[f"s{i}"][...]
        np.testing.assert_array_equal(bigimg.open(data / STORE, level=i).values, theirs)
        np.testing.assert_array_equal(tree[f"scale{i}/image"].values, theirs)
    assert bigimg.open(data / STORE, level=-1).shape == group["s4"].shape
    assert bigimg.open(tree, level=-1).shape == group["s4"].shape
    assert bigimg.open_pyramid(tree) is tree
    assert tree.bigimg.level(2).shape == group["s2"].shape


def test_a_reader_of_a_level_stays_at_it(data: Path) -> None:
    reader = levels_of_source(data / STORE)[3]
    assert bigimg.open(reader).shape == reader.spec.shape


def test_the_same_centre_at_every_level(data: Path) -> None:
    tree = bigimg.open_pyramid(data / STORE)
    for level in ("scale0", "scale1"):
        x = tree[level].dataset["x"].values
        assert abs((x[0] + x[-1]) / 2 - 135) < 1


def test_a_plain_file_has_one_level(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", numbers(4, 5))
    assert list(bigimg.open_pyramid(tmp_path / "a.npy").children) == ["scale0"]
    with pytest.raises(UsageError, match=r"a\.npy: level 1 of an image without levels.*convert"):
        bigimg.open(tmp_path / "a.npy", level=1)


def test_no_such_level(data: Path) -> None:
    with pytest.raises(UsageError, match="level 5 of 5; levels are 0 to 4"):
        bigimg.open(data / STORE, level=5)
    with pytest.raises(UsageError, match="level 5 of 5; levels are 0 to 4"):
        bigimg.open(bigimg.open_pyramid(data / STORE), level=5)
    with pytest.raises(UsageError, match="without levels"):
        bigimg.open(np.zeros((4, 4)), level=1)
    with pytest.raises(UsageError, match=r"no variable.*with scale0"):
        bigimg.open(xarray.DataTree())


def test_nothing_there(tmp_path: Path) -> None:
    for function in (bigimg.open, bigimg.info, bigimg.imread, bigimg.open_pyramid):
        with pytest.raises(InputNotFoundError, match=r"no\.tif"):
            function(tmp_path / "no.tif")
    with pytest.raises(UnknownFormatError, match="is a folder"):
        bigimg.open(tmp_path)


@pytest.mark.parametrize("what", [7, None, {"a": 1}])
def test_no_image_at_all(what: Any) -> None:
    with pytest.raises(UsageError, match="is no image: give a path"):
        open_source(what)


def test_series(tmp_path: Path) -> None:
    first, second = numbers(8, 9), numbers(5, 6)
    with tifffile.TiffWriter(tmp_path / "two.tif") as file:
        file.write(first)
        file.write(second)
    np.testing.assert_array_equal(bigimg.open(tmp_path / "two.tif").values, first)
    np.testing.assert_array_equal(bigimg.open(tmp_path / "two.tif", series=1).values, second)
    np.testing.assert_array_equal(bigimg.imread(tmp_path / "two.tif", series=1), second)


def test_numpy_and_dask_and_labelled_alike() -> None:
    pixels = numbers(20, 30, 3)
    lazy = da.from_array(pixels, chunks=(7, 8, 3))
    for img in (bigimg.open(pixels), bigimg.open(lazy), bigimg.open(bigimg.from_array(pixels))):
        assert img.dims == ("c", "y", "x")
        assert list(img.c.values) == ["R", "G", "B"]
        np.testing.assert_array_equal(img.bigimg.to_numpy(), pixels)
    assert bigimg.open(lazy).chunksizes["y"] == (7, 7, 6)
    assert bigimg.open(pixels, chunks=9).chunksizes["y"] == (9, 9, 2)
    assert bigimg.info(pixels).format == "array"


def test_blocks_of_a_labelled_array_can_be_chosen() -> None:
    pixels = numbers(4, 20, 30)
    bare = xarray.DataArray(pixels.transpose(2, 1, 0), dims=("x", "y", "z"))
    for source in (bare, bigimg.from_array(pixels), bigimg.build_pyramid(bigimg.from_array(pixels))):
        img = bigimg.open(source, chunks=(2, 9, 16))
        assert img.chunks == ((2, 2), (9, 9, 2), (16, 14))
        np.testing.assert_array_equal(img.values, pixels)
    with pytest.raises(UsageError, match="chunks"):
        bigimg.open(bare, chunks=0)


@pytest.mark.parametrize(
    "option", [{"part": "real"}, {"allow_partial": True}, {"on_gap": "fill"}, {"tilt": "keep"}]
)
def test_options_of_files_mean_nothing_for_what_is_open(option: dict[str, Any]) -> None:
    img = bigimg.from_array(numbers(20, 30))
    for source in (img, img.values, img.to_dataset(name="image"), bigimg.build_pyramid(img)):
        with pytest.raises(UsageError, match=f"array: {next(iter(option))}="):
            bigimg.open(source, **option)


def test_a_bare_labelled_array_gets_coordinates_and_keeps_its_own() -> None:
    bare = xarray.DataArray(numbers(4, 5), dims=("x", "y"), coords={"x": [3.0, 4, 5, 6]}, attrs={"mine": 1})
    img = bigimg.open(bare)
    assert img.dims == ("y", "x")
    assert list(img.x.values) == [3, 4, 5, 6]
    assert list(img.y.values) == [0, 1, 2, 3, 4]
    assert img.attrs == {"mine": 1, "kind": "image"}
    assert bare.attrs == {"mine": 1}
    with pytest.raises(UsageError, match="rename it"):
        bigimg.open(bare.rename(x="row"))


def test_from_array_takes_what_the_person_knows() -> None:
    img = bigimg.from_array(numbers(6, 7, 2), dims="yxc", spacing=(0.5, 0.25), unit="um", channels=["a", "b"])
    assert img.bigimg.spacing == {"y": 0.5, "x": 0.25}
    assert img.bigimg.units == {"y": "micrometer", "x": "micrometer"}
    assert img.bigimg.channels == ("a", "b")
    assert bigimg.from_array(numbers(4, 4) > 100).attrs["kind"] == "mask"


def test_who_computes_may_write_without_touching_the_source() -> None:
    pixels = numbers(6, 7)
    got = bigimg.from_array(pixels).values
    got[:] = 255
    assert pixels.max() < 255


def test_blocks_follow_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bigimg.planning.room.resident_bytes", lambda: 100_000_000)
    monkeypatch.setattr("bigimg.opening.open.usable_cpus", lambda: 2)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4096, 4096), np.uint8), tile=(256, 256))
    sizes = {}
    for memory in ("150MB", "1GB"):
        img = bigimg.open(tmp_path / "a.tif", memory=memory)
        sizes[memory] = int(np.prod(img.data.chunksize))
        # A reduction holds a block a thread, with three float64 of each value beside it.
        assert 2 * sizes[memory] * 26 <= float(memory[:-2]) * (1e9 if memory.endswith("GB") else 1e6) - 1e8
        assert img.data.chunksize[0] % 256 == 0
    assert sizes["150MB"] < sizes["1GB"]


def test_refused_with_both_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bigimg.planning.room.resident_bytes", lambda: 100_000_000)
    np.save(tmp_path / "a.npy", np.zeros((3000, 1000)))
    with pytest.raises(
        BudgetError, match=r"a\.npy: needs 12\d MB.*100 MB in use.*allowed 110 MB.*'12\dMB'"
    ) as error:
        bigimg.imread(tmp_path / "a.npy", memory="110MB")
    assert error.value.allowed == 110_000_000
    assert error.value.needed > 124_000_000
    assert bigimg.imread(tmp_path / "a.npy", memory=error.value.needed).shape == (3000, 1000)
    with pytest.raises(BudgetError, match="allowed 50"):
        bigimg.open(tmp_path / "a.npy", memory="50MB")
    monkeypatch.setenv("BIGIMG_MEMORY", "50MB")
    with pytest.raises(BudgetError, match="allowed 50"):
        bigimg.open(tmp_path / "a.npy")


def test_the_default_budget_is_beside_what_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A viewer that holds more than the 4 GB of the default must still open a small image.
    monkeypatch.delenv("BIGIMG_MEMORY", raising=False)
    monkeypatch.setattr("bigimg.planning.room.resident_bytes", lambda: 5_000_000_000)
    monkeypatch.setattr(memory_module, "default_budget", lambda: 100_000_000)
    np.save(tmp_path / "a.npy", numbers(30, 10))
    assert bigimg.open(tmp_path / "a.npy").shape == (30, 10)
    assert bigimg.imread(tmp_path / "a.npy").shape == (30, 10)


def test_a_whole_source_must_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(numbers(2000, 2000, 3)).save(tmp_path / "a.bmp")
    assert bigimg.info(tmp_path / "a.bmp").access == "whole"
    monkeypatch.setattr("bigimg.planning.room.resident_bytes", lambda: 0)
    with pytest.raises(BudgetError, match=r"a\.bmp: needs .* allowed 10\.0 MB"):
        bigimg.open(tmp_path / "a.bmp", memory="10MB")


def test_info_says_what_is_known(tmp_path: Path, data: Path) -> None:
    image = nibabel.Nifti1Image(numbers(5, 6, 7, dtype=np.int16), np.diag([-2.0, 2, 3, 1]))
    image.header.set_slope_inter(0.5, -100)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "a.nii")
    info = bigimg.info(tmp_path / "a.nii")
    assert (info.dims, info.shape, info.dtype) == (("z", "y", "x"), (7, 6, 5), "int16")
    assert info.orientation == "".join(nibabel.aff2axcodes(image.affine))
    assert info.scaling == (0.5, -100.0)
    assert info.spacing == (3.0, 2.0, 2.0)
    assert info.units == ("millimeter",) * 3
    assert info.decoded_bytes == 2 * 5 * 6 * 7
    text = repr(info)
    for part in ("a.nii", "NIfTI", "z y x = 7 x 6 x 5, int16", "LAS", "0.5 x stored -100", "z 3 mm"):
        assert part in text
    store = bigimg.info(data / STORE)
    assert [level.shape for level in store.levels][:2] == [(128, 193, 271), (128, 96, 135)]
    assert store.format == "OME-Zarr 0.5"
    assert any("no manifest" in note for note in store.notes)
    for found in (info, store):
        assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["source"] == found.source


def test_every_image_here_opens_or_says_why(data: Path) -> None:
    opened = 0
    for path in sorted(data.glob("*/*")):
        if path.parent.name in {"corrupt", "vendor"}:
            continue
        try:
            info = bigimg.info(path)
        except bigimg.BigimgError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017  # most refusals are right here
            continue
        img = bigimg.open(path)
        assert img.shape == info.shape
        json.dumps(info.to_dict(), allow_nan=False)
        opened += 1
    assert opened > 100


def test_coordinates_count_in_the_budget(tmp_path: Path) -> None:
    """67 million rows make 1 GB of them, and 2.7 GB when they are looked at."""
    with open(tmp_path / "long.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (67_000_000, 2)}
        )
        file.truncate(file.tell() + 2 * 67_000_000)
    with pytest.raises(BudgetError, match=r"long\.npy: needs .*coordinates 2\.68 GB"):
        bigimg.open(tmp_path / "long.npy", memory="1GB")
    assert bigimg.info(tmp_path / "long.npy").shape == (67_000_000, 2)
