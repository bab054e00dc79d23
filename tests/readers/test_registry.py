"""The reader of a file is chosen by content, then by name; what is unknown is named and explained."""

from __future__ import annotations

import gzip
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bigimg.errors import BigimgError, InputError, InputNotFoundError, UnknownFormatError
from bigimg.readers import registry
from bigimg.readers.registry import BUILT_IN, Format, find_format, open_file

NIFTI1 = (348).to_bytes(4, "little") + bytes(340) + b"n+1\0"
PAIR = (348).to_bytes(4, "little") + bytes(340) + b"ni1\0"
MGH = b"\0\0\0\1" + bytes((0, 0, 0, 9)) * 4 + b"\0\0\0\4" + bytes(400)
NIFTI2 = (540).to_bytes(4, "little") + b"n+2\0\r\n\x1a\n" + bytes(528)


def str_or_length(value: str | bytes) -> str:
    """Name a test: gzip puts the time of day into its bytes, and the workers of a parallel run must agree."""
    return value if isinstance(value, str) else str(len(value))


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.tif", b"II*\0", "tiff"),
        ("a.btf", b"MM\0+", "tiff"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "png"),
        ("a.jpg", b"\xff\xd8\xff\xe0", "jpeg"),
        ("photo.png", b"\xff\xd8\xff\xe0", "jpeg"),  # the content wins over the name
        ("no_extension", b"II*\0", "tiff"),
        ("a.nii", NIFTI1, "nifti"),
        ("a.hdr", PAIR, "nifti"),
        ("a.nii", NIFTI2, "nifti"),
        ("a.nii.gz", gzip.compress(NIFTI1 + bytes(9999)), "nifti"),
        ("download", gzip.compress(NIFTI2), "nifti"),
        ("a.img", bytes(64), "nifti"),  # the pixels of a pair: only the name tells
        ("a.hdr", (348).to_bytes(4, "big") + bytes(344), "nifti"),  # ANALYZE
        ("a.mgh", MGH, "mgh"),
        ("a.mgz", gzip.compress(MGH), "mgh"),
        ("download", gzip.compress(MGH), "mgh"),
        ("a.mnc", b"CDF\x01" + bytes(60), "minc"),
        ("a.mnc", b"\x89HDF\r\n\x1a\n" + bytes(60), "minc"),
        ("download", b"\x89HDF\r\n\x1a\n" + bytes(90) + b"minc-2.0", "minc"),
        ("a+orig.HEAD", b"\ntype = string-attribute\nname = TYPESTRING\n", "afni"),
        ("a+orig.BRIK", bytes(64), "afni"),  # raw pixels: only the name tells
        ("a+orig.BRIK.gz", gzip.compress(bytes(64)), "afni"),
        ("a.PAR", b"# === DATA DESCRIPTION FILE ====\n", "parrec"),
        ("a.REC", bytes(64), "parrec"),
        ("a.v", b"MATRIX72v" + bytes(60), "ecat"),
        ("a.mha", b"ObjectType = Image\nNDims = 3\n", "metaimage"),
        ("a.mhd", b"NDims = 3\n", "metaimage"),
        ("download", b"NDims = 3\nDimSize = 1 2 3\n", "metaimage"),
        ("a.nrrd", b"NRRD0004\n", "nrrd"),
        ("a.npy", b"\x93NUMPY\x01\0", "npy"),
        ("download", b"ZISRAWFILE" + bytes(6), "czi"),
        ("a.bmp", b"BM" + bytes(60), "pictures"),
        ("a.gif", b"GIF89a", "pictures"),
        ("a.webp", b"RIFF\0\0\0\0WEBPVP8 ", "pictures"),
        ("a.pgm", b"P5 3 4 255\n", "pictures"),
        ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg2000"),
        ("a.j2k", b"\xff\x4f\xff\x51", "jpeg2000"),
        ("A.TGA", bytes((0, 0, 2, *range(20))), "pictures"),
        ("a", bytes(128) + b"DICM", "dicom"),
        ("a.dcm", b"\x08\0\x05\0", "dicom"),  # without a preamble
        ("both.dcm", b"II*\0" + bytes(124) + b"DICM", "dicom"),
        ("both.tif", b"II*\0" + bytes(124) + b"DICM", "tiff"),  # a slide that is TIFF and DICOM
    ],
    ids=str_or_length,
)
def test_content_then_name(tmp_path: Path, name: str, head: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(head)
    assert find_format(tmp_path / name).name == expected


@pytest.mark.parametrize(
    ("name", "head", "title"),
    [
        ("a.tif", b"<!DOCTYPE html>", "HTML"),
        ("a.tif", b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        ("a.npz", b"PK\x03\x04", "zip"),
    ],
)
def test_known_by_sight_but_not_read(tmp_path: Path, name: str, head: bytes, title: str) -> None:
    (tmp_path / name).write_bytes(head)
    with pytest.raises(UnknownFormatError, match=title) as caught:
        find_format(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_image_says_what_was_tried(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(UnknownFormatError, match="convert it") as caught:
        find_format(tmp_path / "notes.txt")
    for known in BUILT_IN:
        assert known.title in str(caught.value)


def test_a_name_that_lies_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"something else"))
    with pytest.raises(UnknownFormatError, match="its name says NIfTI"):
        find_format(tmp_path / "a.nii.gz")


def test_missing_empty_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match=r"none\.tif"):
        open_file(tmp_path / "none.tif")
    (tmp_path / "empty.tif").touch()
    with pytest.raises(UnknownFormatError, match="empty"):
        open_file(tmp_path / "empty.tif")
    with pytest.raises(UnknownFormatError, match="folder"):
        open_file(tmp_path)


def test_a_locked_file_is_not_an_unknown_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.tif").write_bytes(b"II*\0")
    monkeypatch.setattr("builtins.open", refuse)  # root may read everything, so the refusal is played
    with pytest.raises(InputError, match="Permission denied") as caught:
        find_format(tmp_path / "a.tif")
    assert not isinstance(caught.value, UnknownFormatError | InputNotFoundError)


def test_openers_name_functions_that_take_series(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for name in ("a.png", "a.bmp"):
        Image.fromarray(pixels).save(tmp_path / name)
        reader = open_file(tmp_path / name, series=0)
        assert np.array_equal(reader.read((slice(0, 3), slice(0, 4))), pixels)
        reader.close()
    names = [known.name for known in BUILT_IN]
    assert len(names) == len(set(names))
    assert all(known.opener.count(":") == 1 for known in BUILT_IN)


class Entry:
    """What importlib.metadata gives for an installed entry point."""

    def __init__(self, name: str, result: Any) -> None:
        self.name, self.value, self._result = name, f"{name}:FORMAT", result

    def load(self) -> Any:
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


def test_outside_formats_are_asked_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def matches(head: bytes, name: str) -> bool:
        asked.append(name)
        return head.startswith(b"SPECIAL")

    special = Format("special", "Special", "os.path:basename", (".spc",), matches, "special")
    entries = [
        Entry("broken", ImportError("no module named x")),
        Entry("wrong", 5),
        Entry("special", special),
    ]

    def entry_points(*, group: str) -> list[Entry]:
        assert group == "bigimg.readers"
        return entries

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    (tmp_path / "a.spc").write_bytes(b"SPECIAL")
    (tmp_path / "a.txt").write_bytes(b"text")
    assert find_format(tmp_path / "a.tif").name == "tiff"
    assert asked == []
    assert find_format(tmp_path / "a.spc") is special
    with pytest.raises(UnknownFormatError, match=r"'broken'.*no module named x.*'wrong'") as caught:
        find_format(tmp_path / "a.txt")
    assert "Special" in str(caught.value)


def test_choosing_a_format_imports_no_array_library(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    heavy = "numpy,PIL,pyvips,tifffile,zarr,dask,xarray,nibabel,importlib.metadata"
    script = (
        "import sys; from bigimg.readers.registry import find_format; find_format(sys.argv[1]);"
        f"print([name for name in '{heavy}'.split(',') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a.tif")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_all_real_files_have_a_format_or_a_clear_refusal(data: Path) -> None:
    expected = {
        "png": "png",
        "jpeg": "jpeg",
        "jp2": "jpeg2000",
        "tiff": "tiff",
        "ome-tiff": "tiff",
        "nifti": "nifti",
    }
    for folder, name in expected.items():
        for path in (data / folder).iterdir():
            if path.is_file() and path.suffix in (".png", ".jpg", ".jp2", ".j2k", ".tif", ".tiff", ".nii"):
                assert find_format(path).name == name, path
    for path in (data / "corrupt").iterdir():
        message = ""
        try:
            find_format(path)
        except BigimgError as error:
            message = str(error)
        assert not message or (os.fspath(path) in message and "\n" not in message)


def test_formats_are_a_plain_table() -> None:
    assert registry.GROUP == "bigimg.readers"
    for known in BUILT_IN:
        assert all(ending.startswith(".") and ending == ending.lower() for ending in known.extensions)
