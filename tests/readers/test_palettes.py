"""Pictures with a palette: colours as images, one channel where the palette is grey, indices as labels and masks."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

import bigimg
from bigimg.geometry.region import full
from bigimg.reader import as_kind
from bigimg.readers.registry import open_file
from bigimg.types import Array

CLASSES = np.random.default_rng(1).integers(0, 16, (90, 70)).astype(np.uint8)
FILES: list[tuple[str, dict[str, Any]]] = [
    ("a.png", {}), ("b.png", {"bits": 4}), ("c.png", {"transparency": 3}), ("a.gif", {}), ("a.bmp", {}), ("a.tif", {}),
    ("b.tif", {"compression": "tiff_lzw"}), ("a.pcx", {}), ("a.tga", {}),
]  # fmt: skip


def paletted(*, grey: bool) -> Image.Image:
    picture = Image.fromarray(CLASSES).convert("P")
    picture.putdata(CLASSES.ravel().tolist())
    colors = [(255 - 3 * i) % 256 if grey else i * step % 256 for i in range(256) for step in (37, 91, 53)]
    picture.putpalette(colors)
    return picture


def everything(reader: Any) -> Array:
    return reader.read(full(reader.spec.shape))  # type: ignore[no-any-return]


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize(("name", "options"), FILES)
def test_labels_are_the_indices(tmp_path: Path, name: str, options: dict[str, Any], *, grey: bool) -> None:
    path = tmp_path / name
    paletted(grey=grey).save(path, **options)
    with Image.open(path) as image:
        assert image.mode == "P"
        expected = np.asarray(image)
    assert np.array_equal(expected, CLASSES)
    for kind in ("labels", "mask"):
        reader = pickle.loads(pickle.dumps(as_kind(open_file(path), kind)))
        assert reader.spec.dims == ("y", "x")
        assert np.array_equal(everything(reader), expected)


@pytest.mark.parametrize(("name", "options"), FILES)
def test_an_image_is_its_colours_and_one_channel_where_they_are_grey(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    for grey in (False, True):
        paletted(grey=grey).save(tmp_path / name, **options)
        pixels = everything(open_file(tmp_path / name))
        mode = "RGBA" if "transparency" in options else "L" if grey else "RGB"
        with Image.open(tmp_path / name) as image:
            expected = np.asarray(image.convert(mode))
        assert np.array_equal(np.moveaxis(pixels, 0, 2) if pixels.ndim == 3 else pixels, expected)


def test_a_store_of_labels_keeps_and_verifies_indices(tmp_path: Path) -> None:
    picture, stored = tmp_path / "voc.png", tmp_path / "voc.ome.zarr"
    paletted(grey=True).save(picture)
    bigimg.convert(picture, stored, kind="labels")
    assert np.array_equal(bigimg.open(stored).values, CLASSES)
    assert bigimg.verify(stored, source=picture).ok
    assert bigimg.plan(picture, tmp_path / "plan.ome.zarr", kind="labels").spec.shape == CLASSES.shape
    bigimg.convert(picture, tmp_path / "image.ome.zarr")
    assert bigimg.verify(tmp_path / "image.ome.zarr", source=picture).ok
    bigimg.convert(picture, tmp_path / "image.ome.zarr" / "labels" / "classes")
    assert np.array_equal(bigimg.open(tmp_path / "image.ome.zarr" / "labels" / "classes").values, CLASSES)


def test_bytes_and_folders_of_pictures_with_palettes(tmp_path: Path) -> None:
    stream = io.BytesIO()
    paletted(grey=False).save(stream, "PNG")
    bigimg.convert(stream.getvalue(), tmp_path / "bytes.ome.zarr", kind="labels")
    assert np.array_equal(bigimg.open(tmp_path / "bytes.ome.zarr").values, CLASSES)
    (tmp_path / "planes").mkdir()
    for number in range(3):
        (tmp_path / "planes" / f"{number}.png").write_bytes(stream.getvalue())
    bigimg.convert(tmp_path / "planes", tmp_path / "planes.ome.zarr", kind="labels")
    assert np.array_equal(bigimg.open(tmp_path / "planes.ome.zarr").values, np.stack([CLASSES] * 3))
    bigimg.convert(tmp_path / "planes", tmp_path / "image.ome.zarr")
    assert bigimg.open(tmp_path / "image.ome.zarr").dims == ("c", "z", "y", "x")


def test_real_files(data: Path) -> None:
    """Interlaced, of 2 and 4 bits, and a JP2, whose codestream alone has the indices."""
    for name in ("s40i3p04.png", "basn3p02.png"):
        with Image.open(data / "png" / name) as image:
            assert np.array_equal(
                everything(as_kind(open_file(data / "png" / name), "labels")), np.asarray(image)
            )
    path = data / "jp2" / "issue412.jp2"
    code = path.read_bytes()
    expected = imagecodecs.jpeg2k_decode(code[code.find(b"\xff\x4f\xff\x51") :])
    reader = pickle.loads(pickle.dumps(as_kind(open_file(path), "labels")))
    assert np.array_equal(everything(reader), expected)
