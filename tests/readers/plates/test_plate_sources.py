"""Plates as patterns, ImageXpress, Harmony and Micro-Manager leave them: small folders made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import tifffile

import bigimg
from bigimg.errors import InputError, InputNotFoundError, UsageError
from bigimg.readers.plates.find import find_plate
from bigimg.readers.plates.series import _named, well_of
from bigimg.readers.plates.source import PlateSource, laid_out
from bigimg.testing import check_reader

SHAPE = (20, 24)
ASKED: dict[str, Any] = {"memory": "2GB", "progress": False}


def pixels(*key: object) -> np.ndarray[Any, Any]:
    return np.random.default_rng([*repr(key).encode()]).integers(0, 4000, SHAPE, np.uint16)


def source(path: object, **asked: Any) -> PlateSource:
    found = find_plate(str(path), asked)
    assert found is not None
    return found


def opened(plate: PlateSource) -> dict[str, Any]:
    return {each.path: each.source.open() for each in laid_out(plate).fields}


# --------------------------------------------------------------------------------------------------- patterns


def patterned(folder: Path) -> Iterator[tuple[Path, tuple[str, int, str]]]:
    for well in ("A01", "B12"):
        for field in (1, 2):
            for channel in ("DAPI", "GFP"):
                yield folder / f"p_{well}_f{field}_{channel}.tif", (well, field, channel)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    for path, key in patterned(folder):
        tifffile.imwrite(path, pixels(*key))
    return folder


def test_pattern(run: Path, tmp_path: Path) -> None:
    plate = bigimg.convert(run / "p_{well}_f{field}_{c}.tif", tmp_path / "p.ome.zarr", **ASKED)
    assert plate.wells == ("A/01", "B/12")
    for _, (well, field, channel) in patterned(run):
        image = plate[well, field - 1]  # the fields 1 and 2 of the source are 0 and 1
        np.testing.assert_array_equal(image.sel(c=channel), pixels(well, field, channel))
    assert plate.info.field_labels == ("1", "2")
    again = bigimg.convert(run, tmp_path / "q.ome.zarr", pattern="p_{well}_f{field}_{c}.tif", **ASKED)
    assert again.wells == plate.wells
    assert bigimg.verify(tmp_path / "p.ome.zarr", run / "p_{well}_f{field}_{c}.tif", progress=False).ok


def test_pattern_of_which_a_plane_is_gone(run: Path, tmp_path: Path) -> None:
    (run / "p_B12_f2_GFP.tif").unlink()
    pattern, target = run / "p_{well}_f{field}_{c}.tif", tmp_path / "p.ome.zarr"
    with pytest.raises(
        InputError, match=r"well B12 field 2: 1 of 2 planes have no file \(c = GFP is the first\)"
    ):
        bigimg.convert(pattern, target, **ASKED)
    assert not target.exists()
    plate = bigimg.convert(pattern, target, on_gap="fill", **ASKED)
    assert plate["B12", 1].attrs["missing"] == '[{"c": ["GFP"]}]'
    np.testing.assert_array_equal(plate["B12", 1].sel(c="DAPI"), pixels("B12", 2, "DAPI"))
    (run / "p_B12_f2_DAPI.tif").unlink()
    plan = bigimg.plan(pattern, tmp_path / "q.ome.zarr", memory="2GB")
    assert "1 of 4 places has no field: B/12/1" in str(plan)


def test_pattern_that_nothing_follows(run: Path) -> None:
    with pytest.raises(InputNotFoundError, match="no file follows this pattern, and 8 files nearly do"):
        source(run / "p_{well}_f{field:03}_{c}.tif")
    tifffile.imwrite(run / "3.tif", pixels(3))
    with pytest.raises(UsageError, match="well '3'"):
        laid_out(source(run / "{well:1}.tif"))
    assert find_plate(str(run / "p_A01_f1_{c}.tif"), {}) is None


def test_every_field_is_a_reader(run: Path) -> None:
    check_reader(
        lambda: source(run / "p_{well}_f{field}_{c}.tif").fields[0].open(),
        expected=np.stack([pixels("A01", 1, channel) for channel in ("DAPI", "GFP")]),
    )


# ------------------------------------------------------------------------------------------------ ImageXpress

HTD = """\
"HTSInfoFile", Version 1.0
"Description", ""
"TimePoints", {times}
"ZSeries", TRUE
"ZSteps", {steps}
"XWells", 12
"YWells", 8
"WellsSelection1", FALSE, TRUE, FALSE, FALSE, FALSE, FALSE, FALSE, FALSE, FALSE, FALSE, FALSE, FALSE
"WellsSelection2", FALSE, FALSE, TRUE, FALSE, FALSE, FALSE, FALSE, FALSE, FALSE, FALSE, FALSE, FALSE
"Sites", TRUE
"XSites", 2
"YSites", 2
"SiteSelection1", TRUE, FALSE
"SiteSelection2", FALSE, TRUE
"Waves", TRUE
"NWavelengths", 2
"WaveName1", "DAPI"
"WaveName2", "Cy5"
"EndFile"
"""


def xpress(folder: Path, times: int = 1, steps: int = 1) -> Path:
    folder.mkdir()
    (folder / "Exp7.HTD").write_text(HTD.format(times=times, steps=steps))
    for well in ("A02", "B03"):
        for site in (1, 4):
            for wave in (1, 2):
                name = f"Exp7_{well}_s{site}_w{wave}F6A1B2C3-0000-4000-8000-00000000000A.tif"
                for t in range(1, times + 1):
                    for z in range(1, steps + 1):
                        where = folder / f"TimePoint_{t}" / f"ZStep_{z}" if times * steps > 1 else folder
                        where.mkdir(parents=True, exist_ok=True)
                        tifffile.imwrite(where / name, pixels(well, site, wave, t, z))
                if times * steps > 1:
                    tifffile.imwrite(folder / "TimePoint_1" / name, pixels("projection"))
                tifffile.imwrite(folder / name.replace(".tif", "_thumb.tif"), np.zeros((4, 4), np.uint8))
    return folder


def test_imagexpress(tmp_path: Path) -> None:
    folder = xpress(tmp_path / "plate", times=2, steps=3)
    plate = source(folder)
    layout = laid_out(plate)
    assert (plate.name, len(layout.rows), len(layout.columns)) == ("Exp7", 8, 12)
    assert [path for path, *_ in layout.wells] == ["A/02", "B/03"]
    assert layout.labels == ("1", "4")
    assert "8 images beside" in plate.notes[0]
    for path, reader in opened(plate).items():
        spec = reader.spec
        assert (spec.dims, spec.shape) == (("t", "c", "z", "y", "x"), (2, 2, 3, *SHAPE))
        assert [channel.name for channel in spec.channels] == ["DAPI", "Cy5"]
        row, column, field = path.split("/")
        expected = pixels(f"{row}{column}", (1, 4)[int(field)], 2, 1, 3)
        got = reader.read((slice(0, 1), slice(1, 2), slice(2, 3), slice(0, 20), slice(0, 24)))
        np.testing.assert_array_equal(got[0, 0, 0], expected)
        reader.close()


def test_imagexpress_of_ten_wavelengths(tmp_path: Path) -> None:
    folder = xpress(tmp_path / "plate")
    text = (folder / "Exp7.HTD").read_text()
    assert '"NWavelengths", 2' in text
    (folder / "Exp7.HTD").write_text(text.replace('"NWavelengths", 2', '"NWavelengths", 10'))
    for name in [path.name for path in folder.glob("*_w1F*A.tif")]:
        for wave in range(3, 11):
            tifffile.imwrite(folder / name.replace("_w1F", f"_w{wave}F"), pixels("wave", wave))
    for reader in opened(source(folder)).values():
        assert reader.spec.sizes["c"] == 10
        np.testing.assert_array_equal(
            reader.read((slice(9, 10), slice(0, 20), slice(0, 24)))[0], pixels("wave", 10)
        )
        reader.close()


def test_imagexpress_of_which_something_is_gone(tmp_path: Path) -> None:
    folder = xpress(tmp_path / "plate")
    next(folder.glob("Exp7_A02_s4_w2*A.tif")).unlink()
    with pytest.raises(InputError, match=r"Exp7\.HTD, well A02 field 4: 1 of 2 planes have no file \(c = 2"):
        opened(source(folder))
    for path in folder.glob("Exp7_A02_s4*"):
        path.unlink()
    with pytest.raises(InputError, match=r"1 of 4 fields have no file \(well A02, field 4 is the first\)"):
        source(folder)
    plate = source(folder / "Exp7.HTD", on_gap="fill")
    assert [*opened(plate)] == ["A/02/0", "B/03/0", "B/03/1"]
    assert "1 of 4 fields" in plate.notes[0]
    (folder / "Exp7.HTD").write_text("nothing")
    with pytest.raises(InputError, match="no XWells"):
        source(folder)


# ---------------------------------------------------------------------------------------------------- Harmony

V5 = "http://www.perkinelmer.com/PEHH/HarmonyV5"


def harmony(folder: Path, *, maps: bool = False) -> Path:
    (folder / "Images").mkdir(parents=True)
    images, wells = [], []
    of_channel = {
        number: f"<ChannelName>{name}</ChannelName><ImageResolutionX Unit='m'>3e-07</ImageResolutionX>"
        "<ImageResolutionY Unit='m'>3e-07</ImageResolutionY>"
        for number, name in ((1, "HOECHST 33342"), (2, "Alexa 488"))
    }
    for row, column in ((2, 3), (4, 12)):
        for field in (1, 2):
            for plane in (1, 2, 3):
                for channel in (1, 2):
                    name = f"r{row:02}c{column:02}f{field:02}p{plane:02}-ch{channel}sk1fk1fl1.tiff"
                    tifffile.imwrite(folder / "Images" / name, pixels(row, column, field, plane, channel))
                    wells.append(f"<Image id='{row}{column}{field}{plane}{channel}'/>")
                    images.append(
                        f"<Image Version='1'><id>x</id><State>Ok</State><URL>{name}</URL><Row>{row}</Row>"
                        f"<Col>{column}</Col><FieldID>{field}</FieldID><PlaneID>{plane}</PlaneID>"
                        f"<TimepointID>0</TimepointID><ChannelID>{channel}</ChannelID>"
                        f"{'' if maps else of_channel[channel]}"
                        f"<PositionX Unit='m'>{(field - 1) * 6e-06}</PositionX><PositionY Unit='m'>3e-06</PositionY>"
                        f"<AbsPositionZ Unit='m'>{1e-4 + plane * 2e-06}</AbsPositionZ>"
                        "<MeasurementTimeOffset Unit='s'>0</MeasurementTimeOffset></Image>"
                    )
    entries = "".join(f"<Entry ChannelID='{number}'>{text}</Entry>" for number, text in of_channel.items())
    (folder / "Images" / "Index.idx.xml").write_text(
        f"<EvaluationInputData xmlns='{V5}'><Plates><Plate><PlateID>P1</PlateID><Name>Screen 1</Name>"
        "<PlateRows>8</PlateRows><PlateColumns>12</PlateColumns></Plate></Plates>"
        f"<Wells><Well><id>0203</id><Row>2</Row><Col>3</Col>{''.join(wells)}</Well></Wells>"
        + (f"<Maps><Map>{entries}</Map></Maps>" if maps else "")
        + f"<Images>{''.join(images)}</Images></EvaluationInputData>"
    )
    return folder


@pytest.mark.parametrize("maps", [False, True])
def test_harmony(maps: bool, tmp_path: Path) -> None:
    folder = harmony(tmp_path / "measurement", maps=maps)
    plate = bigimg.convert(folder, tmp_path / "p.ome.zarr", **ASKED)
    assert plate.wells == ("B/3", "D/12")
    assert (plate.meta.name, len(plate.meta.rows), len(plate.meta.columns)) == ("p", 8, 12)
    kept = bigimg.plan(folder, tmp_path / "q.ome.zarr", memory="2GB", keep_metadata=True)
    assert kept.name == "Screen 1"
    image = plate["D12", 1]
    assert image.dims == ("c", "z", "y", "x")
    assert [str(name) for name in image.c.values] == ["HOECHST 33342", "Alexa 488"]
    assert image.bigimg.spacing == pytest.approx({"z": 2, "y": 0.3, "x": 0.3})
    assert image.bigimg.units == {"z": "micrometer", "y": "micrometer", "x": "micrometer"}
    # The middle of the field lies where the stage was; its y counts upwards.
    assert float(image.x.mean()) == pytest.approx(6)
    assert float(image.y.mean()) == pytest.approx(-3)
    np.testing.assert_array_equal(image[1, 2], pixels(4, 12, 2, 3, 2))


def test_harmony_of_which_something_is_wrong(tmp_path: Path) -> None:
    folder = harmony(tmp_path / "measurement")
    index = folder / "Images/Index.idx.xml"
    good = index.read_text()
    (folder / "Images/r02c03f01p02-ch2sk1fk1fl1.tiff").unlink()
    with pytest.raises(
        InputError, match=r"well B3 field 1: 1 of 6 planes have no file \(c = 2, z = 2 is the first\)"
    ):
        opened(source(folder))
    for bad, said in [
        (good[: len(good) // 2], "no XML to its end"),
        (good.replace("<URL>r", "<URL>../r", 1), "no file beside the index"),
        (good.replace("<Row>2</Row>", "<Row>x</Row>"), "x"),
        (good.replace("<FieldID>1</FieldID>", "", 1), "FieldID"),
        (good.replace("<PlateRows>8<", "<PlateRows>eight<"), "eight"),
        (good.replace(">3e-07<", ">wide<", 1), "wide"),
        ("<EvaluationInputData/>", "lists no images"),
    ]:
        index.write_text(bad)
        with pytest.raises(InputError, match=said) as caught:
            source(index)
        assert "\n" not in str(caught.value)


def test_other_files_of_that_name_are_no_plates(run: Path) -> None:
    (run / "index.xml").write_text("<html/>")
    assert find_plate(str(run), {}) is None
    assert find_plate(str(run / "index.xml"), {}) is None


def test_fields_are_opened_without_a_store(tmp_path: Path) -> None:
    folder = harmony(tmp_path / "measurement")
    info = bigimg.info(folder)
    assert "format   Harmony" in repr(info)
    assert info.to_dict()["wells"] == ["B/3", "D/12"]
    for name in ("D/12/1", "D12/1", "d12/1"):
        np.testing.assert_array_equal(bigimg.open(folder, series=name)[1, 2], pixels(4, 12, 2, 3, 2))
    np.testing.assert_array_equal(bigimg.open(folder, series="B03")[0, 0], pixels(2, 3, 1, 1, 1))
    with pytest.raises(
        InputError, match=r"a plate of 2 wells \(B/3, D/12\): choose one field by series='B/3/0'"
    ):
        bigimg.open(folder)
    with pytest.raises(UsageError, match="no field 'A1'"):
        bigimg.open(folder, series="A1")


# ----------------------------------------------------------------------------- images that are called after wells


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("A1-Site_0", ("A1", "Site_0")),
        ("B03", ("B03", "")),
        ("Well A01, Point 3", ("A01", "Point 3")),
        ("A/1/2", ("A1", "2")),
        ("Project/C12/R1", ("C12", "R1")),
        ("B2 P4", ("B2", "P4")),
        ("before", None),
        ("XYPos:3", None),
        ("", None),
    ],
)
def test_names_of_wells(name: str, expected: Any) -> None:
    assert well_of(name) == expected


def positions(path: Path, names: list[str]) -> None:
    with tifffile.TiffWriter(path, ome=True) as file:
        for name in names:
            file.write(pixels(name), metadata={"axes": "YX", "Name": name})


def test_images_of_one_file(tmp_path: Path) -> None:
    names = ["A1-Site_0", "A1-Site_1", "H12-Site_0", "H12-Site_1"]
    path = tmp_path / "positions.ome.tif"
    positions(path, names)
    plate = bigimg.convert(path, tmp_path / "p.ome.zarr", plate=True, **ASKED)
    assert plate.wells == ("A/1", "H/12")
    for name in names:
        np.testing.assert_array_equal(plate[name.split("-")[0], int(name[-1])], pixels(name))
    assert plate.info.field_labels == ("Site_0", "Site_1")
    positions(tmp_path / "through.ome.tif", ["B3 P1", "B3 P2", "B4 P3", "B4 P4"])  # as ZEN numbers them
    through = laid_out(source(tmp_path / "through.ome.tif", plate=True))
    assert [each.path for each in through.fields] == ["B/3/0", "B/3/1", "B/4/0", "B/4/1"]
    positions(tmp_path / "other.ome.tif", ["A1", "overview"])
    with pytest.raises(UsageError, match="its image 'overview' is not called after a well"):
        bigimg.convert(tmp_path / "other.ome.tif", tmp_path / "q.ome.zarr", plate=True, **ASKED)
    np.save(tmp_path / "a.npy", pixels(1))
    with pytest.raises(UsageError, match="its one image is not called after a well"):
        bigimg.convert(tmp_path / "a.npy", tmp_path / "q.ome.zarr", plate=True, **ASKED)


def test_micromanager(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("A1-Site_0", "A1-Site_1", "B2-Site_0"):
        tifffile.imwrite(folder / f"run_MMStack_{name}.ome.tif", pixels(name), metadata={"axes": "YX"})
    plate = bigimg.convert(folder, tmp_path / "p.ome.zarr", **ASKED)
    assert plate.wells == ("A/1", "B/2")
    np.testing.assert_array_equal(plate["A1", 1], pixels("A1-Site_1"))
    np.testing.assert_array_equal(plate["B2"], pixels("B2-Site_0"))


def test_positions_of_micromanager_that_are_no_wells(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("XY01", "XY02"):
        tifffile.imwrite(folder / f"run_MMStack_{name}.ome.tif", pixels(name), metadata={"axes": "YX"})
    assert find_plate(str(folder), {}) is None
    plate = find_plate(str(folder), {"plate": True})
    assert plate is not None
    assert [each.well for each in plate.fields] == ["XY01", "XY02"]


def test_of_a_field_that_is_a_cut_file_the_rest_is_read(tmp_path: Path) -> None:
    image = np.arange(6400, dtype=np.uint16).reshape(80, 80)
    for well in ("A01", "B03"):
        tifffile.imwrite(tmp_path / f"{well}.tif", image, rowsperstrip=8, compression="zlib")
    cut = tmp_path / "B03.tif"
    cut.write_bytes(cut.read_bytes()[:-40])
    text, asked = str(tmp_path / "{well}.tif"), {"memory": "2GB", "progress": False}
    with pytest.raises(InputError, match=r"B03\.tif.* allow_partial=True"):
        bigimg.convert(text, tmp_path / "p.ome.zarr", **asked)
    plate = bigimg.convert(text, tmp_path / "p.ome.zarr", allow_partial=True, **asked)
    np.testing.assert_array_equal(plate["A01"], image)
    np.testing.assert_array_equal(plate["B03"][:72], image[:72])


def test_names_of_channels_that_may_be_people_are_numbered(run: Path, tmp_path: Path) -> None:
    for path in list(run.iterdir()):
        path.rename(path.with_name(path.name.replace("GFP", "MillerAnn")))
    pattern = run / "p_{well}_f{field}_{c}.tif"
    for keep, names in ((False, ["DAPI", "Channel 1"]), (True, ["DAPI", "MillerAnn"])):
        plate: Any = bigimg.convert(pattern, tmp_path / f"{keep}.ome.zarr", keep_metadata=keep, **ASKED)
        assert plate["A01", 0].coords["c"].values.tolist() == names
    opened = bigimg.open(run / "p_A01_f1_{c}.tif")
    assert opened.coords["c"].values.tolist() == ["DAPI", "Channel 1"]


def test_the_rest_of_the_name_of_an_image_is_numbered() -> None:
    nothing = cast(Any, None)
    assert [each.label for each in _named(["A1 Ann Miller", "A2 Ann Miller"], [nothing] * 2)] == ["0", "0"]
