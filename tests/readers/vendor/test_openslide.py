"""Slides that OpenSlide reads: the pixels of its own regions, the background, the levels, and what is damaged."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigimg
from bigimg.errors import BigimgError, InputError, MissingExtraError, UsageError
from bigimg.geometry.region import full
from bigimg.readers.registry import find_format, open_file
from bigimg.readers.vendor.openslide import OpenSlideReader
from bigimg.testing import check_reader
from bigimg.types import Array
from tests.readers.vendor.slide_files import bif, mrxs, vms

rng = np.random.default_rng(4)
TILES = rng.integers(0, 256, (3, 4, 48, 64, 3), np.uint8)
PLAIN = TILES.swapaxes(1, 2).reshape(144, 256, 3)
BLOCKS = rng.integers(0, 256, (20, 32, 3), np.uint8).repeat(8, 0).repeat(8, 1)
MADE: dict[str, Callable[[Path], Path]] = {
    "mrxs": lambda folder: mrxs(folder, TILES),
    "mrxs with overlap": lambda folder: mrxs(folder, TILES, overlap=4),
    "mrxs with a hole": lambda folder: mrxs(folder, TILES, absent=[5], fill=0x102030),
    "bif": lambda folder: bif(folder / "a.bif", TILES),
    "bif with overlap": lambda folder: bif(folder / "a.bif", TILES, overlap=4),
    "vms": lambda folder: vms(folder, BLOCKS),
}


def theirs(path: Path, level: int = 0) -> Array:
    """Return what OpenSlide shows, on its background."""
    openslide = pytest.importorskip("openslide")
    from PIL import Image

    with openslide.OpenSlide(path) as slide:
        shown = slide.read_region((0, 0), level, slide.level_dimensions[level])
        color = slide.properties.get("openslide.background-color", "FFFFFF")
    on = Image.new("RGB", shown.size, f"#{color}")
    on.paste(shown, None, shown)
    return np.moveaxis(np.asarray(on), -1, 0)


@pytest.mark.vendors
@pytest.mark.parametrize("name", MADE)
def test_pixels_are_those_of_openslide(name: str, tmp_path: Path):
    path = MADE[name](tmp_path)
    assert find_format(path).name == "openslide"
    check_reader(lambda: open_file(path), expected=theirs(path))
    if name == "bif":  # which the reader of TIFF has read
        return
    levels = 1 if name.startswith("bif") else 2
    for level in range(levels):
        found = bigimg.open(path, series=level)
        np.testing.assert_array_equal(found, theirs(path, level))
        np.testing.assert_array_equal(bigimg.open(path, series=f"level {level}"), found)


@pytest.mark.vendors
@pytest.mark.parametrize("name", ["mrxs", "bif"])
def test_tiles_without_overlap_are_as_they_were(name: str, tmp_path: Path):
    pytest.importorskip("openslide")
    np.testing.assert_array_equal(bigimg.open(MADE[name](tmp_path)), np.moveaxis(PLAIN, -1, 0))


@pytest.mark.vendors
def test_real_slides_that_openslide_opens_too(data: Path):
    """No real MRXS, VMS or BIF may be shared; these are read through the same calls."""
    pytest.importorskip("openslide")
    svs = data / "wsi" / "CMU-1-Small-Region.svs"
    reader = OpenSlideReader(svs)
    np.testing.assert_array_equal(reader.read(full(reader.spec.shape)), bigimg.open(svs))
    assert [axis.spacing for axis in reader.spec.axes[1:]] == [0.499, 0.499]
    assert (
        "label, macro, thumbnail of the slide are not read: such photos may name a person"
        in reader.spec.of_source
    )


@pytest.mark.vendors
def test_what_the_slide_says(tmp_path: Path):
    pytest.importorskip("openslide")
    reader = open_file(mrxs(tmp_path, TILES, overlap=4, absent=[5], fill=0x102030))
    spec = reader.spec
    assert [(axis.name, axis.size, axis.spacing, axis.unit) for axis in spec.axes[1:]] == [
        ("y", 136, 0.25, "micrometer"),
        ("x", 244, 0.25, "micrometer"),
    ]
    hole = reader.read((slice(0, 3), slice(60, 61), slice(90, 91)))
    assert hole.ravel().tolist() == [0x30, 0x20, 0x10]  # as the file names it: blue, green, red
    assert any("what was not scanned has the colour 302010; " in note for note in spec.notes)
    assert spec.meta["openslide.objective-power"] == "20"
    assert spec.private["mirax.GENERAL.SLIDE_NAME"] == "Roe Jane"
    assert not any("Roe" in str(value) for value in spec.meta.values())
    assert [Path(path).name for path in reader.paths] == [
        "a.mrxs",
        "Data0000.dat",
        "Index.dat",
        "Slidedat.ini",
    ]  # type: ignore[attr-defined]
    coarse = open_file(tmp_path / "a.mrxs", series="level 1").spec
    assert [(axis.spacing, axis.origin) for axis in coarse.axes[1:]] == [(0.5, 0.125)] * 2
    with pytest.raises(UsageError, match=r"no series 2; it has 0 level 0 \(136 x 244 x 3\), 1 level 1"):
        open_file(tmp_path / "a.mrxs", series=2)


@pytest.mark.vendors
def test_only_what_was_scanned_is_shown(tmp_path: Path):
    """OpenSlide gives the bounds of what is there; places are counted from the corner of the whole."""
    pytest.importorskip("openslide")
    path = mrxs(tmp_path, TILES, absent=[0, 1, 2, 3, 4, 8])
    fine, coarse = (open_file(path, series=level) for level in (0, 1))
    assert [axis.origin for axis in fine.spec.axes[1:]] == [48 * 0.25, 64 * 0.25]
    np.testing.assert_array_equal(fine.read(full(fine.spec.shape)), np.moveaxis(PLAIN, -1, 0)[:, 48:, 64:])
    np.testing.assert_array_equal(coarse.read(full(coarse.spec.shape)), theirs(path, 1)[:, 24:, 32:])


@pytest.mark.vendors
def test_a_damaged_tile_spoils_no_other(tmp_path: Path):
    """An error stays with a slide of OpenSlide: it is opened again, also for the reads that follow."""
    pytest.importorskip("openslide")
    path = mrxs(tmp_path, TILES)
    inside = tmp_path / "a" / "Data0000.dat"
    content = bytearray(inside.read_bytes())
    content[16:24] = b"no image"  # the first tile
    inside.write_bytes(content)
    reader = open_file(path)
    whole, rest = full(reader.spec.shape), (slice(0, 3), slice(48, 144), slice(64, 256))
    for _ in range(2):
        with pytest.raises(InputError, match=r"a.mrxs: its pixels at y=0:144 x=0:256 cannot be read"):
            reader.read(whole)
        np.testing.assert_array_equal(reader.read(rest), np.moveaxis(PLAIN, -1, 0)[rest])
    again = pickle.loads(pickle.dumps(reader))
    reader.close()
    np.testing.assert_array_equal(again.read(rest), reader.read(rest))


@pytest.mark.vendors
def test_a_folder_that_is_not_there(tmp_path: Path):
    pytest.importorskip("openslide")
    path = mrxs(tmp_path, TILES)
    (tmp_path / "a").rename(tmp_path / "b")
    with pytest.raises(InputError, match=r"a.mrxs: .*copy it again"):
        open_file(path)


@pytest.mark.vendors
def test_it_is_converted_inside_the_budget(tmp_path: Path):
    pytest.importorskip("openslide")
    path = mrxs(tmp_path, TILES, overlap=4)
    store = bigimg.convert(path, tmp_path / "a.ome.zarr", progress=False)
    np.testing.assert_array_equal(store["scale0"]["image"], theirs(path))


@pytest.mark.vendors
@pytest.mark.parametrize("name", ["mrxs", "bif", "vms"])
def test_damage_is_named_or_changes_nothing(name: str, tmp_path: Path):
    """Mutants: cut, or with a flipped bit. A flip within a JPEG or an offset may change pixels."""
    pytest.importorskip("openslide")
    path = MADE[name](tmp_path)
    expected, outcomes, seeded = theirs(path), Counter[str](), np.random.default_rng(6)
    files = [
        each for each in tmp_path.rglob("*") if each.is_file() and each.name not in ("a.mrxs", "map.jpg")
    ]
    for i in range(20):
        file = files[i % len(files)]
        content = file.read_bytes()
        mutant = bytearray(content)
        if i % 4 < 2:
            mutant = mutant[: seeded.integers(len(content))]
        else:
            mutant[seeded.integers(len(content))] ^= 1 << int(seeded.integers(8))
        file.write_bytes(mutant)
        try:
            reader = open_file(path)
            found = reader.read(full(reader.spec.shape))
        except BigimgError as error:
            outcomes["named" if path.name in str(error) else "not named"] += 1
        else:
            same = found.shape == expected.shape and (found == expected).all()
            outcomes["the same" if same else f"other {'cut' if i % 4 < 2 else 'flip'}"] += 1
        file.write_bytes(content)
    print(name, outcomes)
    assert not outcomes["not named"]
    assert not outcomes["other cut"]


@pytest.mark.vendors
def test_files_of_a_vms_are_its_own(tmp_path: Path):
    """They are looked at for changes, and not written over; the index leads to no other file."""
    pytest.importorskip("openslide")
    path = MADE["vms"](tmp_path)
    assert open_file(path).paths == tuple(map(str, (path, tmp_path / "image.jpg", tmp_path / "map.jpg")))
    index, other = path.read_text(), tmp_path / "other"
    other.mkdir()
    for outside in ("../image.jpg", str(tmp_path / "image.jpg"), "a\\\\..\\\\..\\\\image.jpg", "C:image.jpg"):
        for name in ("a.vms", "a.mrxs"):  # OpenSlide goes by the content
            (other / name).write_text(index.replace("=image.jpg", f"={outside}"))
            with pytest.raises(InputError, match="outside its own folder"):
                open_file(other / name)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(
        MissingExtraError, match=r"a.mrxs: is read by openslide, which is not installed: .*wsi"
    ):
        open_file(mrxs(tmp_path, TILES))


def test_the_reader_of_tiff_refuses_tiles_that_overlap(tmp_path: Path):
    with pytest.raises(
        InputError, match=r"a.tif: is a BIF of Ventana, whose tiles overlap.*\.bif, which OpenSlide reads"
    ):
        bigimg.open(bif(tmp_path / "a.tif", TILES, overlap=4))
    for name in ("b.tif", "b.bif"):
        plain: Any = bigimg.open(bif(tmp_path / name, TILES))
        np.testing.assert_array_equal(plain, np.moveaxis(PLAIN, -1, 0))
