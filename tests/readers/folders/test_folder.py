"""Planes in files as one volume: as their library reads them, in natural order, with few files open."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import bigimg
from bigimg.errors import InputError, InputNotFoundError, UnknownFormatError, UsageError
from bigimg.readers.folders import members
from bigimg.readers.folders import reader as module
from bigimg.readers.folders.folder import open_files, open_folder
from bigimg.readers.folders.reader import GridReader
from bigimg.readers.registry import open_file
from bigimg.types import Array


def numbers(*shape: int, dtype: str = "u1") -> Array:
    return np.random.default_rng(2).integers(0, 255, shape).astype(dtype)


def planes(folder: Path, volume: Array, name: str = "z{}.tif", **options: object) -> Path:
    for i, plane in enumerate(volume):
        tifffile.imwrite(folder / name.format(i), plane, **options)
    return folder


def whole(reader: object) -> Array:
    assert isinstance(reader, GridReader)
    pixels = reader.read(tuple(slice(0, size) for size in reader.spec.shape))
    reader.close()
    return pixels


@pytest.mark.parametrize(
    ("name", "count"), [("stack/brainreg_mouse_brain", 270), ("em/lung_sem", 12)], ids=["tiff", "png"]
)
def test_real_stacks(name: str, count: int, data: Path, index: dict[str, dict[str, str]]) -> None:
    pixels = whole(open_folder(data / name))
    assert len(pixels) == count
    expected = index[f"{name}/ ({count} files)"]["pixels_sha256"]
    assert hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest() == expected


def test_nested_tiles_are_no_stack(data: Path) -> None:
    with pytest.raises(
        InputError, match=r"temca2_tiles: holds 3 folders and 1 file, .* give one folder, or a pattern"
    ):
        open_folder(data / "em" / "temca2_tiles")
    assert open_folder(data / "em/temca2_tiles/1/60").spec.shape == (2, 1024, 1024)


def test_natural_order_and_a_pattern(tmp_path: Path) -> None:
    volume = numbers(12, 8, 9)
    planes(tmp_path, volume)
    Image.fromarray(volume[0]).save(tmp_path / "overview.png")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "Thumbs.db").write_text("x")
    with pytest.raises(InputError, match=r"several formats \(12 tiff, 1 png\); give a pattern .*\*\."):
        open_folder(tmp_path)
    np.testing.assert_array_equal(whole(open_folder(f"{tmp_path}/*.tif")), volume)
    (tmp_path / "overview.png").unlink()
    np.testing.assert_array_equal(whole(open_folder(tmp_path)), volume)
    (tmp_path / "z5.tif").unlink()
    reader = open_folder(tmp_path)
    assert any("lacks 5 (1 plane)" in note for note in reader.spec.notes)
    reader.close()


def test_a_list_is_put_in_order_and_says_so(tmp_path: Path) -> None:
    volume = numbers(11, 8, 9)
    planes(tmp_path, volume)
    names = [str(tmp_path / f"z{i}.tif") for i in range(11)]
    for given_names, said in ((names, False), (names[::-1], True), (sorted(names), True)):
        reader = open_files(given_names)
        assert any("natural order" in note for note in reader.spec.notes) is said
        np.testing.assert_array_equal(whole(reader), volume)
    assert open_files(names).source == f"{names[0]} … z10.tif"


FORMATS: dict[str, Callable[[Path, Array], object]] = {
    "strips.tif": lambda path, plane: tifffile.imwrite(path, plane),
    "tiles.tif": lambda path, plane: tifffile.imwrite(path, plane, tile=(16, 16), compression="zlib"),
    "whole.tif": lambda path, plane: tifffile.imwrite(path, plane, rowsperstrip=999, compression="zlib"),
    "plane.png": lambda path, plane: Image.fromarray(plane).save(path),
    "plane.bmp": lambda path, plane: Image.fromarray(plane).save(path),
    "plane.npy": lambda path, plane: np.save(path, plane),
    "plane.nii.gz": lambda path, plane: nibabel.save(nibabel.Nifti1Image(plane.T, np.eye(4)), path),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_makes_planes(name: str, tmp_path: Path) -> None:
    volume = numbers(4, 40, 33)
    for i, plane in enumerate(volume):
        FORMATS[name](tmp_path / f"{i}_{name}", plane)
    np.testing.assert_array_equal(whole(open_folder(tmp_path)), volume)


def test_colour_and_spacing_are_kept(tmp_path: Path) -> None:
    volume = numbers(3, 20, 30, 3)
    for i, plane in enumerate(volume):
        tifffile.imwrite(
            tmp_path / f"{i}.tif",
            plane,
            photometric="rgb",
            resolution=(5e4, 2e4),
            resolutionunit="CENTIMETER",
        )
    reader = open_folder(tmp_path)
    single = open_file(tmp_path / "0.tif")
    assert reader.spec.dims == ("c", "z", "y", "x")
    assert reader.spec.axes[2:] == single.spec.axes[1:]
    assert reader.spec.channels == single.spec.channels
    z = reader.spec.axes[1]
    assert (z.spacing, z.unit) == (1.0, None)
    assert any("1 is assumed along z" in note for note in reader.spec.notes)
    np.testing.assert_array_equal(whole(reader), np.moveaxis(volume, -1, 0))


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (numbers(8, 10), r"3\.tif: is y 8 x 10 uint8, but .*z0\.tif is y 8 x 9 uint8"),
        (numbers(8, 9, dtype="u2"), r"3\.tif: is y 8 x 9 uint16, but"),
        (numbers(8, 9, 3), r"3\.tif: is c 3 y 8 x 9 uint8, channels R G B, but"),
        (numbers(2, 8, 9), r"3\.tif: is z 2 y 8 x 9 uint8, but .*\(3 files y 8 x 9 uint8, 1 file z 2"),
    ],
)
def test_planes_must_be_alike(odd: Array, message: str, tmp_path: Path) -> None:
    planes(tmp_path, numbers(3, 8, 9))
    axes = {"metadata": {"axes": "ZYX"}, "photometric": "minisblack"} if odd.shape[0] == 2 else {}
    tifffile.imwrite(tmp_path / "z3.tif", odd, **axes)
    with pytest.raises(InputError, match=message):
        open_folder(tmp_path)


def test_what_is_no_stack(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormatError, match="is empty"):
        open_folder(tmp_path)
    with pytest.raises(InputNotFoundError, match="no file matches"):
        open_folder(tmp_path / "*.tif")
    with pytest.raises(UsageError, match="empty list"):
        open_files([])
    with pytest.raises(InputNotFoundError, match=r"a\.tif"):
        open_files([tmp_path / "a.tif", tmp_path / "b.tif"])
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("words, no image")
    with pytest.raises(UnknownFormatError, match=r"a\.txt: begins with b'words, n'"):
        open_folder(tmp_path)
    tifffile.imwrite(tmp_path / "z.tif", numbers(8, 9))
    with pytest.raises(InputError, match=r"several formats \(2 unknown \(\.txt\), 1 tiff\)"):
        open_folder(tmp_path)
    with pytest.raises(UsageError, match="series 2"):
        open_files([tmp_path / "z.tif"], series=2)


def test_damage_and_change_are_named(tmp_path: Path) -> None:
    planes(tmp_path, numbers(4, 40, 33), compression="zlib")
    reader = open_folder(tmp_path)
    tifffile.imwrite(tmp_path / "z2.tif", numbers(41, 33))
    with pytest.raises(InputError, match=r"z2\.tif: has changed since"):
        whole(reader)
    (tmp_path / "z2.tif").unlink()
    with pytest.raises(InputNotFoundError, match=r"z2\.tif"):
        whole(reader)
    reader.close()


@settings(max_examples=25)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 6), st.booleans(), st.data())
def test_any_region(count: int, size: int, keep: int, compressed: bool, data: st.DataObject) -> None:
    """Whatever is asked in whatever order, and however few readers are kept."""
    import tempfile

    volume = numbers(count, size, size + 3)
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_OPEN", keep * 16)
        planes(Path(name), volume, compression="zlib" if compressed else None)
        reader = open_folder(name)
        for _ in range(5):
            ends = [
                sorted(data.draw(st.tuples(st.integers(0, n - 1), st.integers(1, n)))) for n in volume.shape
            ]
            region = tuple(slice(a, b if b > a else a + 1) for a, b in ends)
            np.testing.assert_array_equal(reader.read(region), volume[region])
        reader.close()


def handles() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted as Linux shows them")
def test_thousands_of_files_and_few_handles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each plane is opened once to be checked and once to be read, and no more than the bound stay open."""
    volume = numbers(2000, 6, 7)
    for i, plane in enumerate(volume):
        np.save(tmp_path / f"z{i}.npy", plane)
    opened: list[str] = []

    def counting(path: str, **options: object) -> object:
        opened.append(path)
        return open_file(path)

    monkeypatch.setattr(members, "open_file", counting)
    before = handles()
    reader = open_folder(tmp_path)
    assert handles() == before
    most = 0
    for start in range(0, 2000, 100):
        part = (slice(start, start + 100), slice(0, 6), slice(0, 7))
        np.testing.assert_array_equal(reader.read(part), volume[part])
        most = max(most, handles() - before)
    assert 100 <= most <= module.MOST_OPEN
    assert len(opened) == 2 * 2000
    reader.close()
    assert handles() == before


def test_a_reader_is_closed_when_its_last_read_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read under way, while another thread needs the place of its reader or closes all, ends well."""
    volume = numbers(3, 6, 7)
    for i, plane in enumerate(volume):
        np.save(tmp_path / f"z{i}.npy", plane)
    reader = open_folder(tmp_path)
    assert isinstance(reader, GridReader)
    monkeypatch.setattr(reader, "_most_open", 1)
    begun, go_on, events = threading.Event(), threading.Event(), list[str]()
    real = members.How.open

    def slow(how: members.How, path: str, other: object = None) -> object:
        inner = real(how, path, other)
        read, close, name = inner.read, inner.close, os.path.basename(path)

        def reading(region: object) -> Array:
            if name == "z0.npy":
                begun.set()
                assert go_on.wait(30)
                events.append("read z0.npy")
            return read(region)

        monkeypatch.setattr(inner, "read", reading)
        monkeypatch.setattr(inner, "close", lambda: (events.append(f"close {name}"), close()))
        return inner

    monkeypatch.setattr(members.How, "open", slow)
    found: list[Array] = []
    plane = [(slice(i, i + 1), slice(0, 6), slice(0, 7)) for i in range(3)]
    thread = threading.Thread(target=lambda: found.append(reader.read(plane[0])))
    thread.start()
    assert begun.wait(30)
    np.testing.assert_array_equal(reader.read(plane[1]), volume[1:2])
    reader.close()
    assert events == ["close z1.npy"]
    go_on.set()
    thread.join()
    np.testing.assert_array_equal(found[0], volume[:1])
    assert events == ["close z1.npy", "read z0.npy", "close z0.npy"]


def test_a_pass_opens_each_plane_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks side by side find their planes open; a plane that is decoded whole is decoded once."""
    real, lock = members.How.open, threading.Lock()
    for kind, options in (("strips", {}), ("one", {"compression": "zlib", "rowsperstrip": 600})):
        folder = tmp_path / kind
        folder.mkdir()
        planes(folder, numbers(20, 600, 500), **options)
        opened: list[str] = []

        def counting(how: members.How, path: str, other: object = None, opened: list[str] = opened) -> object:
            with lock:
                opened.append(path)
            return real(how, path, other)

        monkeypatch.setattr(members.How, "open", counting)
        tree = bigimg.convert(folder, tmp_path / f"{kind}.ome.zarr")
        assert len(opened) == 2 * 20
        np.testing.assert_array_equal(tree["scale0/image"].values, numbers(20, 600, 500))


def test_a_folder_with_a_gap_names_the_pattern_by_which_it_is_filled(tmp_path: Path) -> None:
    for z in (1, 2, 4):
        tifffile.imwrite(tmp_path / f"image_{z:04}.tif", np.full((9, 9), z, np.uint8))
    told = "on_gap='fill' and pattern='image_{z:04}.tif'"
    assert any(told in note for note in open_folder(tmp_path).spec.of_source)
    with pytest.raises(UsageError, match=r"as by pattern='image_\{z:04\}.tif'"):
        open_folder(tmp_path, on_gap="fill")
    filled = open_folder(tmp_path, on_gap="fill", pattern="image_{z:04}.tif")
    assert filled.spec.sizes["z"] == 4
    with pytest.raises(UsageError, match=r"as by the path '.*image_"):
        open_folder(str(tmp_path / "*.tif"), on_gap="fill")
