"""Files in buckets, for every verb: the same pixels as from disk, and the address in all that is said."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom.examples import get_path

import bigimg
from bigimg.errors import InputError, InputNotFoundError
from tests.places.buckets import SECRET, point, running_moto

pytest.importorskip("obstore")
PICTURE = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
VOLUME = np.random.default_rng(1).integers(0, 999, (12, 20, 30), np.int16)


@pytest.fixture(scope="module")
def moto() -> Iterator[tuple[str, Any]]:
    yield from running_moto()


@pytest.fixture
def bucket(moto: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what puts files into a bucket; addresses of s3:// lead to it."""
    endpoint, client = moto
    point(monkeypatch, endpoint)
    monkeypatch.setenv("BIGIMG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    client.create_bucket(Bucket="images")

    def put(key: str, content: bytes | Path) -> str:
        body = content.read_bytes() if isinstance(content, Path) else content
        client.put_object(Bucket="images", Key=key, Body=body)
        return f"s3://images/{key}"

    return put


def written(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    if name.endswith(".tif"):
        tifffile.imwrite(path, PICTURE, tile=(32, 32), compression="deflate", photometric="rgb")
    elif ".nii" in name or name.endswith(".hdr"):
        kind = nibabel.Nifti1Pair if name.endswith(".hdr") else nibabel.Nifti1Image
        nibabel.save(kind(VOLUME.T, np.diag([1, 2, 3, 1])), path)
    elif name.endswith(".npy"):
        np.save(path, VOLUME)
    else:
        Image.fromarray(PICTURE).save(path)
    return path


@pytest.mark.parametrize("name", ["a.tif", "a.nii", "a.nii.gz", "a.png", "a.npy"])
def test_every_file_is_read(bucket: Any, tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name)
    address = bucket(f"in/{name}", path)
    np.testing.assert_array_equal(bigimg.imread(address), bigimg.imread(path))
    img = bigimg.open(address)
    assert img.attrs["source"] == address
    np.testing.assert_array_equal(img.values, bigimg.open(path).values)


def test_every_verb(bucket: Any, tmp_path: Path) -> None:
    path = written(tmp_path, "a.tif")
    address = bucket("in/a.tif", path)
    told = bigimg.info(address)
    assert (told.source, told.shape) == (address, bigimg.info(path).shape)
    assert address in str(bigimg.plan(address, tmp_path / "a.ome.zarr"))
    tree = bigimg.convert(address, tmp_path / "a.ome.zarr", progress=False)
    np.testing.assert_array_equal(np.moveaxis(tree["scale0"]["image"].values, 0, -1), PICTURE)
    assert bigimg.verify(tmp_path / "a.ome.zarr", source=address).ok
    assert float(bigimg.stats(address)["mean"][0]) == pytest.approx(PICTURE[..., 0].mean(), rel=1e-12)
    assert bigimg.thumbnail(address, 30).shape == bigimg.thumbnail(path, 30).shape
    bigimg.export(address, tmp_path / "a.png", progress=False)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), PICTURE)
    for file in (tmp_path / "a.ome.zarr").rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes()


def test_a_folder_of_dicom(bucket: Any, tmp_path: Path) -> None:
    path = Path(get_path("ct"))
    (tmp_path / "ct").mkdir()
    (tmp_path / "ct" / "1.dcm").write_bytes(path.read_bytes())
    bucket("ct/1.dcm", path)
    for address in ("s3://images/ct/", "s3://images/ct"):
        np.testing.assert_array_equal(bigimg.imread(address), bigimg.imread(tmp_path / "ct"))
    assert bigimg.info("s3://images/ct/").source == "s3://images/ct/"


def test_a_member_of_a_zip_file(bucket: Any, tmp_path: Path) -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.write(written(tmp_path, "a.png"), "sub/a.png")
    address = bucket("a.zip", packed.getvalue())
    np.testing.assert_array_equal(bigimg.imread(f"{address}::sub/a.png"), PICTURE)


def test_a_header_and_its_pixels(bucket: Any, tmp_path: Path) -> None:
    path = written(tmp_path, "a.hdr")
    bucket("pair/a.hdr", path)
    bucket("pair/a.img", path.with_suffix(".img"))
    bucket("pair/b.img", b"another image")
    np.testing.assert_array_equal(bigimg.imread("s3://images/pair/a.hdr"), VOLUME)
    (tmp_path / "v.mhd").write_text(
        "NDims = 3\nDimSize = 30 20 12\nElementType = MET_SHORT\nElementDataFile = pixels.bin\n"
    )
    bucket("pair/pixels.bin", VOLUME.tobytes())
    np.testing.assert_array_equal(bigimg.imread(bucket("pair/v.mhd", tmp_path / "v.mhd")), VOLUME)
    bucket("pair/pixels.bin", (VOLUME + 1).tobytes())
    np.testing.assert_array_equal(bigimg.imread("s3://images/pair/v.mhd"), VOLUME + 1)


def test_what_is_not_there(bucket: Any) -> None:
    with pytest.raises(InputNotFoundError, match=r"^s3://images/none\.tif: there is no such object"):
        bigimg.info("s3://images/none.tif")
    with pytest.raises(InputNotFoundError, match=r"^s3://nothing/none\.tif: there is no bucket nothing"):
        bigimg.info("s3://nothing/none.tif")
    with pytest.raises(InputNotFoundError, match=r"^s3://images/none/: there is no such folder"):
        bigimg.info("s3://images/none/")
    bucket("text.tif", b"no image")
    with pytest.raises(InputError, match=r"^s3://images/text\.tif"):
        bigimg.info("s3://images/text.tif")
