"""Whole slides in DICOM: each pixel where the standard puts it, what was never scanned, and what is damaged."""

from __future__ import annotations

import os
import pickle
import struct
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

import bigimg
from bigimg.errors import InconsistentSeries, InputError, UsageError
from bigimg.geometry.region import full
from bigimg.reader import Reader
from bigimg.readers.dicom.pixels import Pixels
from bigimg.readers.dicom.reader import open_dicom, open_dicom_files
from bigimg.readers.registry import open_file
from bigimg.testing import check_reader
from bigimg.types import Array
from tests.readers.dicom.dicom_files import save, uid
from tests.readers.dicom.slide_made import coded, concatenated, slide, table_at, tiles_of

rng = np.random.default_rng(5)
COLOR = rng.integers(0, 256, (50, 70, 3), np.uint8)
SMOOTH = np.stack(np.broadcast_arrays(*np.ogrid[0:100:50j, 0:200:70j], 60), -1).astype(np.uint8)
GREY = rng.integers(0, 60000, (50, 70), np.uint16)
ROWS, COLUMNS = 16, 24
SIZE = COLOR.shape[:2]


def whole(reader: Reader) -> Array:
    return reader.read(full(reader.spec.shape))


def in_folder(folder: Path, **options: Any) -> Reader:
    return open_dicom_files(sorted(str(path) for path in folder.iterdir()), **options)


@pytest.mark.parametrize("tables", ["basic", "none", "extended"])
@pytest.mark.parametrize(
    ("syntax", "photometric"),
    [
        (ExplicitVRLittleEndian, "RGB"),
        (JPEG2000Lossless, "YBR_RCT"),
        (JPEG2000Lossless, "RGB"),
        (RLELossless, "RGB"),
    ],
)
def test_all_tiles_in_order(syntax: str, photometric: str, tables: Any, tmp_path: Path):
    made = slide(tiles_of(COLOR, ROWS, COLUMNS), SIZE, syntax=syntax, photometric=photometric, tables=tables)
    path = save(made, tmp_path / "a.dcm")
    check_reader(lambda: open_file(path), expected=np.moveaxis(COLOR, -1, 0))


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422"])
def test_jpeg(photometric: str, tmp_path: Path):
    """Colours are those of libjpeg, with which the readers of slides decode; pydicom's own differ by 1."""
    tiles = tiles_of(SMOOTH, ROWS, COLUMNS)
    made = slide(tiles, SIZE, syntax=JPEGBaseline8Bit, photometric=photometric)
    expected = np.zeros((64, 72, 3), np.uint8)
    for i, tile in enumerate(tiles):
        data = coded(tile, JPEGBaseline8Bit, photometric)
        if photometric == "RGB":
            plane = imagecodecs.jpeg8_decode(data, colorspace="RGB", outcolorspace="RGB")
        else:
            plane = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
        y, x = i // 3 * ROWS, i % 3 * COLUMNS
        expected[y : y + ROWS, x : x + COLUMNS] = plane
    found = np.moveaxis(whole(open_file(save(made, tmp_path / "a.dcm"))), 0, -1)
    np.testing.assert_array_equal(found, expected[:50, :70])
    assert np.abs(found.astype(int) - SMOOTH).mean() < 4


def test_what_the_header_says(tmp_path: Path):
    profile = {
        "BurnedInAnnotation": "NO",
        "SpecimenLabelInImage": "YES",
        "RecommendedAbsentPixelCIELabValue": [1, 2, 3],
    }
    made = slide(tiles_of(COLOR, ROWS, COLUMNS), SIZE, **profile)
    made.OpticalPathSequence[0].ICCProfile = b"\0" * 128
    spec = open_file(save(made, tmp_path / "a.dcm")).spec
    down, across = spec.axes[1:]
    # Rows run along -y of the glass and columns along -x.
    assert (down.spacing, down.unit, down.origin) == (0.5, "micrometer", -20500.0)
    assert (across.spacing, across.unit, across.origin) == (0.5, "micrometer", -40250.0)
    assert [channel.name for channel in spec.channels] == ["R", "G", "B"]
    assert spec.chunks == (3, ROWS, COLUMNS)
    assert spec.meta["ObjectiveLensPower"] == 20
    assert spec.private["PatientName"] == "Roe^Jane"
    assert spec.private["ContainerIdentifier"] == "S21-1234"
    assert not {"PatientName", "ContainerIdentifier"} & {*spec.meta}
    for word in ("ICC profile is not applied", "may name a person", "CIELab colour 1 2 3"):
        assert any(word in note for note in spec.notes), word


def test_planes_and_optical_paths(tmp_path: Path):
    """Tiles run along x, y, then the planes, then the paths (PS3.3 C.7.6.17.3)."""
    volume = rng.integers(0, 60000, (2, 3, *SIZE), np.uint16)
    tiles = [tile for path in volume for plane in path for tile in tiles_of(plane, ROWS, COLUMNS)]
    made = slide(tiles, SIZE, planes=3, paths=["DAPI", "GFP"])
    made.TotalPixelMatrixOriginSequence[0].ZOffsetInSlideCoordinateSystem = "5"
    path = save(made, tmp_path / "a.dcm")
    check_reader(lambda: open_file(path), expected=volume)
    spec = open_file(path).spec
    assert [channel.name for channel in spec.channels] == ["DAPI", "GFP"]
    z = spec.axes[1]
    assert (z.name, z.spacing, z.unit, z.origin) == ("z", 2.0, "micrometer", 5.0)


def test_planes_and_paths_in_files_of_their_own(tmp_path: Path):
    volume = rng.integers(0, 255, (2, 3, *SIZE), np.uint8)
    for c, name in enumerate(("0", "1")):
        for z in range(3):
            made = slide(tiles_of(volume[c, z], ROWS, COLUMNS), SIZE, paths=[name], number=c * 3 + z)
            made.TotalPixelMatrixOriginSequence[0].ZOffsetInSlideCoordinateSystem = f"{1 + 0.5 * z}"
            save(made, tmp_path / f"{5 - c * 3 - z}.dcm")
    reader = in_folder(tmp_path)
    np.testing.assert_array_equal(whole(reader), volume)
    assert (reader.spec.axes[1].spacing, reader.spec.axes[1].origin) == (0.5, 1.0)
    assert reader.spec.channels == ()


def sparse(kept: list[int], **options: Any) -> Any:
    tiles = tiles_of(COLOR, ROWS, COLUMNS)
    places = [(i // 3 * ROWS, i % 3 * COLUMNS) for i in kept]
    return slide([tiles[i] for i in kept], SIZE, places=places, **options)


@pytest.mark.parametrize("defined", [True, False])
def test_what_was_never_scanned_is_missing(defined: bool, tmp_path: Path):
    kept = [8, 0, 1, 2, 4, 9, 11]
    made = sparse(kept)
    made["PerFrameFunctionalGroupsSequence"].is_undefined_length = not defined
    for item in made.PerFrameFunctionalGroupsSequence:
        item.is_undefined_length_sequence_item = not defined
    path = save(made, tmp_path / "a.dcm")
    expected, there = np.moveaxis(COLOR.copy(), -1, 0), np.zeros(SIZE, bool)
    for i in kept:
        there[i // 3 * ROWS : (i // 3 + 1) * ROWS, i % 3 * COLUMNS : (i % 3 + 1) * COLUMNS] = True
    expected[:, ~there] = 0
    check_reader(lambda: open_file(path), expected=expected)
    spec = open_file(path).spec
    gone = np.zeros(spec.shape, bool)
    for hole in spec.missing:
        gone[hole] = True
    np.testing.assert_array_equal(gone, np.broadcast_to(~there, spec.shape))
    store = bigimg.convert(path, tmp_path / "a.ome.zarr", progress=False)
    found = bigimg.stats(store)
    np.testing.assert_allclose(found["mean"], COLOR[there].mean(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(found["count"], there.sum())


def test_sparse_planes_and_paths(tmp_path: Path):
    volume = rng.integers(0, 255, (2, 2, *SIZE), np.uint8)
    tiles, places = [], []
    for i in rng.permutation(4 * 12).tolist():
        c, z, n = i // 24, i // 12 % 2, i % 12
        tiles.append(tiles_of(volume[c, z], ROWS, COLUMNS)[n])
        places.append((n // 3 * ROWS, n % 3 * COLUMNS, 3.25 + 1.5 * z, "ab"[c]))
    made = slide(tiles, SIZE, places=places, paths=["b", "a"])
    first = places[0][3]
    expected = volume if first == "a" else volume[::-1]
    reader = open_file(save(made, tmp_path / "a.dcm"))
    np.testing.assert_array_equal(whole(reader), expected)
    assert (reader.spec.axes[1].origin, reader.spec.axes[1].spacing) == (3.25, 1.5)


def test_a_focus_that_follows_the_tissue_makes_no_planes(tmp_path: Path):
    tiles = tiles_of(COLOR, ROWS, COLUMNS)
    places = [(i // 3 * ROWS, i % 3 * COLUMNS, i * 0.1) for i in range(12)]
    reader = open_file(save(slide(tiles, SIZE, places=places), tmp_path / "a.dcm"))
    np.testing.assert_array_equal(whole(reader), np.moveaxis(COLOR, -1, 0))
    assert any("0 to 1.1 µm above the glass" in note for note in reader.spec.notes)


def pyramid(folder: Path) -> dict[str, Array]:
    small = COLOR[::2, ::2].copy()
    glass, label = rng.integers(0, 255, (2, 20, 30, 3), np.uint8)
    for i, (pixels, kind) in enumerate(
        [
            (small, "VOLUME"),
            (label, "LABEL"),
            (glass, "OVERVIEW"),
            (COLOR, "VOLUME"),
        ]
    ):
        tile = (20, 30) if kind != "VOLUME" else (ROWS, COLUMNS)
        made = slide(tiles_of(pixels, *tile), pixels.shape[:2], kind=kind, number=i)
        save(made, folder / f"{i}.dcm")
    (folder / "readme.txt").write_text("a slide")
    return {"level 0": COLOR, "level 1": small, "overview": glass, "label": label}


def test_levels_and_photos_are_series(tmp_path: Path):
    expected = pyramid(tmp_path)
    for i, (name, pixels) in enumerate(expected.items()):
        for series in (name, i):
            np.testing.assert_array_equal(bigimg.open(tmp_path, series=series), np.moveaxis(pixels, -1, 0))
    img = bigimg.open(tmp_path)
    assert img.shape == (3, *SIZE)
    note = str(bigimg.info(tmp_path))
    assert "0 level 0 (50 x 70 x 3), 1 level 1 (25 x 35 x 3), 2 overview (20 x 30 x 3), 3 label" in note
    assert "1 file beside those of the slide is left out" in note
    with pytest.raises(UsageError, match="there is no series 9"):
        bigimg.open(tmp_path, series=9)
    with pytest.raises(UsageError, match="on_gap='fill' is for stacks of slices"):
        bigimg.open(tmp_path, on_gap="fill")


def test_photos_are_not_taken_unasked(tmp_path: Path):
    label = slide(tiles_of(COLOR, *SIZE), SIZE, kind="LABEL")
    path = save(label, tmp_path / "label.dcm")
    with pytest.raises(
        InputError, match="only photos of a glass slide and its label, which may name a person"
    ):
        open_file(path)
    found = open_file(path, series=0)
    np.testing.assert_array_equal(whole(found), np.moveaxis(COLOR, -1, 0))
    assert any("may name a person" in note for note in found.spec.notes)


def test_several_slides_are_a_choice(tmp_path: Path):
    for i, pixels in enumerate([COLOR, COLOR[::-1].copy()]):
        made = slide(tiles_of(pixels, ROWS, COLUMNS), SIZE, SeriesInstanceUID=uid("slide", i), number=i)
        save(made, tmp_path / f"{i}.dcm")
    with pytest.raises(
        InputError, match=r"has 0 slide 0 level 0 \(50 x 70 x 3\), 1 slide 1 level 0 .*choose"
    ):
        in_folder(tmp_path)
    for series in (1, "slide 1 level 0", uid("slide", 1)):
        np.testing.assert_array_equal(
            whole(in_folder(tmp_path, series=series)), np.moveaxis(COLOR[::-1], -1, 0)
        )


def test_parts_of_a_concatenation(tmp_path: Path):
    parts = concatenated(slide(tiles_of(COLOR, ROWS, COLUMNS), SIZE), [0, 3, 8], tmp_path)
    np.testing.assert_array_equal(whole(in_folder(tmp_path)), np.moveaxis(COLOR, -1, 0))
    os.remove(parts[1])
    with pytest.raises(
        InputError, match=r"parts 1, 3 of its 3 parts, 7 of 12 tiles, are there; .*allow_partial"
    ):
        in_folder(tmp_path)
    reader = in_folder(tmp_path, allow_partial=True)
    expected = np.moveaxis(COLOR.copy(), -1, 0)
    expected[:, 16:32] = expected[:, 32:48, :48] = 0
    np.testing.assert_array_equal(whole(reader), expected)
    assert sum(np.prod([s.stop - s.start for s in hole]) for hole in reader.spec.missing) == 3 * 16 * (
        70 + 48
    )


def test_each_tile_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pixels = rng.integers(0, 255, (600, 520, 3), np.uint8)
    made = slide(tiles_of(pixels, 64, 64), pixels.shape[:2], syntax=JPEG2000Lossless, photometric="YBR_RCT")
    path, decoded, plain = save(made, tmp_path / "a.dcm"), Counter[int](), Pixels._decoded

    def counting(self: Pixels, frame: int) -> Array:
        decoded[frame] += 1
        return plain(self, frame)

    monkeypatch.setattr(Pixels, "_decoded", counting)
    options = {
        "chunks": {"y": 128, "x": 128},
        "shards": {"y": 256, "x": 256},
        "workers": 2,
        "progress": False,
    }
    bigimg.convert(path, tmp_path / "a.ome.zarr", **options)
    assert set(decoded) == set(range(90))
    assert set(decoded.values()) == {1}


def test_the_real_slide_is_equal_to_its_svs(data: Path):
    """Its tiles are those of the SVS; that they are RGB is said by their own markers alone."""
    slide, svs = data / "wsi" / "dicom_small_region", data / "wsi" / "CMU-1-Small-Region.svs"
    found, expected = bigimg.open(slide), bigimg.open(svs)
    np.testing.assert_array_equal(found, expected)
    assert found.bigimg.spacing == expected.bigimg.spacing == {"y": 0.499, "x": 0.499}
    with pytest.raises(
        InputError, match=r"frame 0 decodes to uint8 of shape \(7, 387, 3\)"
    ):  # as it was exported
        bigimg.open(slide, series="label").compute()


@pytest.mark.vendors
@pytest.mark.filterwarnings("ignore")
def test_another_reader_sees_the_same(tmp_path: Path, data: Path):
    wsidicom = pytest.importorskip("wsidicom")
    folders = [data / "wsi" / "dicom_small_region"]
    for syntax, photometric in ((JPEGBaseline8Bit, "YBR_FULL_422"), (JPEGBaseline8Bit, "RGB"),
                                (JPEG2000Lossless, "YBR_RCT"), (RLELossless, "RGB")):  # fmt: skip
        folders.append(tmp_path / f"{syntax} {photometric}")
        folders[-1].mkdir()
        made = slide(tiles_of(SMOOTH, ROWS, COLUMNS), SIZE, syntax=syntax, photometric=photometric)
        save(made, folders[-1] / "a.dcm")
    for folder in folders:
        with wsidicom.WsiDicom.open(folder) as other:
            size = other.size
            theirs = np.asarray(other.read_region((0, 0), 0, (size.width, size.height)))
        np.testing.assert_array_equal(np.moveaxis(bigimg.open(folder).values, 0, -1), theirs)


@pytest.mark.vendors
@pytest.mark.filterwarnings("ignore")
def test_another_reader_puts_planes_and_paths_where_we_do(tmp_path: Path):
    wsidicom = pytest.importorskip("wsidicom")
    volume = rng.integers(0, 255, (2, 3, *SIZE), np.uint8)
    tiles = [tile for path in volume for plane in path for tile in tiles_of(plane, ROWS, COLUMNS)]
    save(slide(tiles, SIZE, planes=3, paths=["DAPI", "GFP"]), tmp_path / "a.dcm")
    with wsidicom.WsiDicom.open(tmp_path) as other:
        for c, name in enumerate(("DAPI", "GFP")):
            for z, position in enumerate((0, 2, 4)):
                theirs = other.read_region((0, 0), 0, SIZE[::-1], z=position, path=name)
                np.testing.assert_array_equal(np.asarray(theirs), volume[c, z])


# What is wrong


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"TotalPixelMatrixRows": 20}, "has 12 frames for 6 tiles of 2 x 3"),
        ({"TotalPixelMatrixRows": 90}, "12 of 18 tiles, is there"),
        ({"Rows": 0}, "0 x 24 pixels .* not supported"),
        ({"NumberOfFrames": 5_000}, "4988 of its 5000 frames of 16 x 24 lie beyond"),
        ({"NumberOfFrames": 50_000_000}, "at most 20000000"),
    ],
)
def test_a_header_that_makes_no_sense(change: dict[str, Any], message: str, tmp_path: Path):
    path = save(slide(tiles_of(COLOR, ROWS, COLUMNS), SIZE, **change), tmp_path / "a.dcm")
    with pytest.raises(InputError, match=f"a.dcm: .*{message}"):
        open_file(path)


def test_tiles_that_make_no_grid(tmp_path: Path):
    made = sparse([0, 1, 5])
    position = made.PerFrameFunctionalGroupsSequence[2].PlanePositionSlideSequence[0]
    for place, message in (
        (18, "frame 2 begins at row 17 .* no tile of a grid"),
        (6401, "outside its 50 x 70"),
        (1, "1 of 3 tiles lie where another one lies"),
    ):
        position.RowPositionInTotalImagePixelMatrix, position.ColumnPositionInTotalImagePixelMatrix = place, 1
        with pytest.raises(InputError, match=message):
            open_file(save(made, tmp_path / f"{place}.dcm"))
    del made.PerFrameFunctionalGroupsSequence[1:]
    with pytest.raises(InputError, match="describes 1 of 3 frames"):
        open_file(save(made, tmp_path / "few.dcm"))


def test_tiles_of_several_kinds(tmp_path: Path):
    save(slide(tiles_of(GREY, ROWS, COLUMNS), SIZE, paths=["a"]), tmp_path / "a.dcm")
    save(slide(tiles_of(GREY, 25, 35), SIZE, paths=["b"], number=1), tmp_path / "b.dcm")
    with pytest.raises(InconsistentSeries, match="tiles are of several kinds"):
        in_folder(tmp_path)


def test_a_wrong_table_is_not_believed(tmp_path: Path):
    """Its numbers are not in order, or lead to no fragment: the fragments are counted instead."""
    made = slide(tiles_of(COLOR, ROWS, COLUMNS), SIZE, syntax=JPEG2000Lossless)
    path = save(made, tmp_path / "a.dcm")
    content, at = bytearray(path.read_bytes()), table_at(path)
    for wrong in ([0] * 12, [i * 10 for i in range(12)]):
        content[at : at + 48] = struct.pack("<12L", *wrong)
        path.write_bytes(content)
        np.testing.assert_array_equal(whole(open_dicom(path)), np.moveaxis(COLOR, -1, 0))


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGBaseline8Bit, RLELossless, ExplicitVRLittleEndian])
def test_damage_is_named_or_changes_what_it_must(syntax: str, tmp_path: Path):
    """Mutants: cut anywhere, or with flipped bytes. A flip in coded pixels may change the pixels of its own tile."""
    made = slide(tiles_of(SMOOTH, ROWS, COLUMNS), SIZE, syntax=syntax)
    path = save(made, tmp_path / "a.dcm")
    expected, content = whole(open_dicom(path)), path.read_bytes()
    start = table_at(path) if syntax != ExplicitVRLittleEndian else len(content) - 12 * ROWS * COLUMNS * 3
    outcomes, seeded = Counter[str](), np.random.default_rng(9)
    for i in range(24):
        mutant = bytearray(content)
        if i % 2:
            mutant = mutant[: seeded.integers(132, len(content) - 1)]
        else:
            at = seeded.integers(132, start)
            mutant[at] ^= 1 << int(seeded.integers(8))
        path.write_bytes(mutant)
        try:
            found = whole(open_file(path))
        except bigimg.BigimgError as error:
            outcomes["named" if "a.dcm" in str(error) else "not named"] += 1
        else:
            outcomes[
                "the same" if found.shape == expected.shape and (found == expected).all() else "other"
            ] += 1
            assert i % 2 == 0, "a file that was cut opened"
    assert outcomes["named"] >= 12
    assert not outcomes["not named"]


@pytest.mark.parametrize("part", [0.1, 0.35, 0.5, 0.8, 0.97])
@pytest.mark.parametrize(
    ("syntax", "tables", "places"),
    [
        (ExplicitVRLittleEndian, "none", False), (ExplicitVRLittleEndian, "none", True),
        (JPEG2000Lossless, "basic", False), (JPEG2000Lossless, "none", False),
        (JPEG2000Lossless, "extended", True), (RLELossless, "none", False),
    ],
)  # fmt: skip
def test_frames_behind_the_end_of_a_cut_file_are_holes(
    part: float, syntax: str, tables: Any, places: bool, tmp_path: Path
):
    tiles = tiles_of(SMOOTH, ROWS, COLUMNS)
    where = [(n // 3 * ROWS, n % 3 * COLUMNS) for n in range(12)] if places else None
    made = slide(tiles, SIZE, syntax=syntax, tables=tables, places=where)
    path = save(made, tmp_path / "a.dcm")
    expected, content = whole(open_dicom(path)), path.read_bytes()
    if syntax == ExplicitVRLittleEndian:
        size = ROWS * COLUMNS * 3
        ends = [len(content) - (12 - n - 1) * size for n in range(12)]
    else:
        ends = [content.index(frame) + len(frame) for frame in (coded(tile, syntax) for tile in tiles)]
    begin = ends[0] - 1
    cut = begin + int(part * (ends[-1] - begin))
    there = sum(end <= cut for end in ends)
    path.write_bytes(content[:cut])
    with pytest.raises(
        InputError, match=f"{12 - there} of its 12 frames.* or take what is there by allow_part"
    ):
        open_dicom(path)
    reader = open_file(path, allow_partial=True)
    lost, kept = np.zeros(expected.shape, bool), np.zeros(expected.shape, bool)
    for hole in reader.spec.missing:
        lost[hole] = True
    for n in range(there):
        kept[:, n // 3 * ROWS : (n // 3 + 1) * ROWS, n % 3 * COLUMNS : (n % 3 + 1) * COLUMNS] = True
    np.testing.assert_array_equal(lost, ~kept)
    np.testing.assert_array_equal(whole(reader), np.where(kept, expected, 0))
    again = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(whole(again), np.where(kept, expected, 0))


@pytest.mark.parametrize("tables", ["basic", "extended", "none"])
def test_frames_of_a_whole_file_are_looked_for_once(
    tables: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tiles = tiles_of(SMOOTH, ROWS, COLUMNS)
    path = save(slide(tiles, SIZE, syntax=JPEG2000Lossless, tables=tables), tmp_path / "a.dcm")
    found = []
    for _ in range(2):
        found.append(whole(open_file(path)))
        monkeypatch.setattr("bigimg.readers.dicom.cut._places", lambda *_: None)  # as it is read without them
    np.testing.assert_array_equal(*found)
    monkeypatch.undo()
    monkeypatch.setattr("bigimg.readers.dicom.pixels._find_frames", None)
    np.testing.assert_array_equal(whole(open_file(path)), found[0])


def test_a_slide_that_is_cut_before_its_first_frame_ends(tmp_path: Path):
    path = save(slide(tiles_of(SMOOTH, ROWS, COLUMNS), SIZE, syntax=JPEG2000Lossless), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes()[: table_at(path) + 70])
    with pytest.raises(InputError, match="12 of its 12 frames of 16 x 24 lie beyond"):
        open_file(path, allow_partial=True)


def test_places_of_tiles_are_bounded_before_they_are_made(tmp_path: Path):
    made = sparse([0])
    made.TotalPixelMatrixRows, made.TotalPixelMatrixColumns = 1 << 20, 1 << 20
    made.Rows = made.Columns = 16
    made.PixelData = bytes(16 * 16 * 3)
    with pytest.raises(InputError, match=r"a\.dcm: its header says 4294967296 places of tiles"):
        open_file(save(made, tmp_path / "a.dcm"))


def test_the_table_of_tiles_is_counted(tmp_path: Path):
    fixed = []
    for size in (16, 1600):
        made = sparse([0])
        made.TotalPixelMatrixRows, made.TotalPixelMatrixColumns = 50, size * COLUMNS
        fixed.append(open_file(save(made, tmp_path / f"{size}.dcm")).access.fixed_bytes)
    assert fixed[1] - fixed[0] == 8 * 4 * (1600 - 16)
