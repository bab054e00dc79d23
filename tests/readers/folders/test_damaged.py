"""Folders of planes with a damaged file: it is named with what is wrong, or its plane is missing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import bigimg
from bigimg.errors import InputError

VOLUME = np.random.default_rng(3).integers(1, 250, (6, 40, 50)).astype(np.uint8)


def planes(folder: Path, ending: str) -> Path:
    folder.mkdir()
    for z, plane in enumerate(VOLUME):
        path = folder / f"plane_{z}{ending}"
        if ending == ".tif":
            tifffile.imwrite(path, plane, compression="zlib", rowsperstrip=10)
        else:
            Image.fromarray(plane).save(path)
    return folder


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwritten(path: Path) -> None:
    path.write_bytes(b"<html>404 not found</html>" * 40)


@pytest.mark.parametrize(
    ("ending", "damage"),
    [(".tif", emptied), (".tif", halved), (".tif", overwritten), (".png", emptied), (".png", overwritten)],
)
@pytest.mark.parametrize("gone", [(2,), (0, 3, 4)])
def test_it_is_named_or_its_plane_is_a_hole(
    ending: str, damage: object, gone: tuple[int, ...], tmp_path: Path
):
    folder = planes(tmp_path / "scan", ending)
    for z in gone:
        damage(folder / f"plane_{z}{ending}")  # type: ignore[operator]
    listed = [str(folder / f"plane_{z}{ending}") for z in range(6)]
    for source in (folder, str(folder / f"*{ending}"), listed):
        with pytest.raises(InputError, match=f"plane_{gone[0]}.*allow_partial=True"):
            bigimg.open(source)
        img = bigimg.open(source, allow_partial=True)
        there = [z for z in range(6) if z not in gone]
        np.testing.assert_array_equal(img.values[there], VOLUME[there])
        assert not img.values[list(gone)].any()
        assert int(bigimg.stats(img)["count"]) == VOLUME[there].size
        assert any(f"plane_{gone[0]}" in note for note in bigimg.info(source, allow_partial=True).notes)


def test_the_note_on_a_plane_says_what_is_wrong_and_not_what_to_do(tmp_path: Path):
    folder = planes(tmp_path / "scan", ".tif")
    halved(folder / "plane_2.tif")
    notes = bigimg.info(folder, allow_partial=True).notes
    (note,) = [note for note in notes if "plane_2" in note]
    assert note.endswith(": its plane is missing")
    assert note.startswith(str(folder / "plane_2.tif"))
    assert ";" not in note
    assert "again" not in note


def test_the_store_of_a_folder_with_a_hole(tmp_path: Path):
    folder = planes(tmp_path / "scan", ".tif")
    emptied(folder / "plane_5.tif")
    bigimg.convert(folder, tmp_path / "a.ome.zarr", allow_partial=True, memory="1GB")
    assert bigimg.verify(tmp_path / "a.ome.zarr", folder, allow_partial=True).ok
    assert "plane_5" not in (tmp_path / "a.ome.zarr" / "zarr.json").read_text()
    assert float(bigimg.stats(tmp_path / "a.ome.zarr")["mean"]) == pytest.approx(VOLUME[:5].mean())


def test_what_is_no_damage_is_refused_all_the_same(tmp_path: Path):
    folder = planes(tmp_path / "scan", ".tif")
    (folder / "notes.txt").write_text("of another kind")
    with pytest.raises(InputError, match="several formats"):
        bigimg.open(folder, allow_partial=True)
    os.remove(folder / "notes.txt")
    tifffile.imwrite(folder / "plane_2.tif", VOLUME[2, :30])
    with pytest.raises(InputError, match="planes must be alike"):
        bigimg.open(folder, allow_partial=True)
    for path in folder.iterdir():
        halved(path)
    with pytest.raises(InputError, match="none of 6 files can be opened"):
        bigimg.open(folder, allow_partial=True)


@pytest.mark.parametrize("part", ["real", "phase"])
def test_parts_of_complex_planes_have_holes_too(part: str, tmp_path: Path):
    volume = np.exp(1j * VOLUME[:4])
    for z, plane in enumerate(volume):
        np.save(tmp_path / f"{z}.npy", plane)
    emptied(tmp_path / "2.npy")
    img = bigimg.open(tmp_path, part=part, allow_partial=True)  # type: ignore[arg-type]
    want = {"real": np.real, "phase": np.angle}[part](volume[[0, 1, 3]])
    np.testing.assert_allclose(img.values[[0, 1, 3]], want)
    assert np.isnan(img.values[2]).all()
    assert float(bigimg.stats(img)["mean"]) == pytest.approx(want.mean())


def test_what_can_be_done_is_said_once(tmp_path: Path):
    """A TIFF of pages that was cut says itself that what is there may be taken."""
    for z in range(2):
        tifffile.imwrite(tmp_path / f"img_t{z}.tif", VOLUME, photometric="minisblack", metadata=None)
    path = tmp_path / "img_t1.tif"
    with tifffile.TiffFile(path) as file:
        last = file.pages[-1].offset
    with path.open("r+b") as content:
        content.truncate(last)
    with pytest.raises(
        InputError, match=r"img_t1\.tif: .*allow_partial=True \(its plane is then missing\)$"
    ) as told:
        bigimg.open(tmp_path / "img_t{t}.tif")
    assert str(told.value).count("allow_partial") == 1
