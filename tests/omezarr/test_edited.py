"""Stores of ours that others edited: what opens, what counts, what is said, and what stays guarded.

Edits are made by zarr-python, or in the JSON by hand; expected numbers are computed here.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import bigimg
from bigimg.errors import CorruptChunk
from bigimg.geometry.axes import Axis
from bigimg.geometry.region import full
from bigimg.geometry.spec import ImageSpec, Scaling
from bigimg.omezarr.metadata import ATTRIBUTES
from bigimg.omezarr.open import Store, StoreReader, open_store
from bigimg.types import Array
from tests.conversion.sources import CountingReader

type Attributes = dict[str, Any]
type Edit = Callable[[Attributes], object]

VERSIONS = ("0.4", "0.5", "0.6")
WORLD = ((0.0, -1e-3, 0.0, 5.0), (1e-3, 0.0, 0.0, 6.0), (0.0, 0.0, 1e-3, 7.0), (0.0, 0.0, 0.0, 1.0))
"""A quarter turn, from micrometres."""
PIXELS = np.random.default_rng(0).integers(0, 999, (2, 9, 40, 36), np.uint16)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("edited")
    img = bigimg.from_array(
        PIXELS, dims="czyx", channels=["DAPI", "GFP"], spacing={"z": 2, "y": 0.5, "x": 0.25}, unit="um"
    )
    img = bigimg.with_geometry(img, origin={"y": 3.0}, world=WORLD)
    for version in VERSIONS:
        bigimg.write(img, folder / version, ome_version=version, chunks=8, progress=False)
    return {version: folder / version for version in VERSIONS}


@pytest.fixture(params=VERSIONS)
def store(request: pytest.FixtureRequest, whole: dict[str, Path], tmp_path: Path) -> Path:
    shutil.copytree(whole[request.param], tmp_path / "a.ome.zarr")
    return tmp_path / "a.ome.zarr"


@pytest.fixture
def newest(whole: dict[str, Path], tmp_path: Path) -> Path:
    shutil.copytree(whole["0.5"], tmp_path / "a.ome.zarr")
    return tmp_path / "a.ome.zarr"


def of_ome(attributes: Attributes) -> Attributes:
    found: Attributes = attributes.get("ome", attributes)
    return found


def edited(path: Path, edit: Edit) -> None:
    """Edit the attributes as a script with zarr-python does."""
    group = zarr.open_group(path, mode="r+")
    attributes = group.attrs.asdict()
    edit(attributes)
    group.attrs.put(attributes)


def by_hand(path: Path, edit: Edit) -> None:
    """Edit the attributes in the file, in another form than zarr-python's and ours."""
    name = next(path / name for name in ATTRIBUTES.values() if (path / name).exists())
    document = json.loads(name.read_text())
    edit(document["attributes"] if name.name == ATTRIBUTES[3] else document)
    name.write_text(json.dumps(document, sort_keys=True))


def notes(path: Path) -> str:
    (note,) = (note for note in bigimg.info(path).notes if note.startswith("edited since bigimg wrote it: "))
    return note


def pixels(store: Store, level: int = 0) -> Array:
    reader = StoreReader(store, level)
    return reader.read(full(reader.spec.shape))


def transformations(attributes: Attributes, level: int) -> Iterator[Attributes]:
    found = of_ome(attributes)["multiscales"][0]["datasets"][level]["coordinateTransformations"]
    yield from found[0].get("transformations", found)


def axis(attributes: Attributes, name: str) -> Attributes:
    multiscale = of_ome(attributes)["multiscales"][0]
    axes = multiscale.get("axes") or multiscale["coordinateSystems"][0]["axes"]
    found: Attributes = next(each for each in axes if each["name"] == name)
    return found


# ----------------------------------------------------------------------------------------------- what counts then


@pytest.mark.parametrize("way", [edited, by_hand])
def test_channels_of_others_count(store: Path, way: Callable[[Path, Edit], None]) -> None:
    def edit(attributes: Attributes) -> None:
        first, second = of_ome(attributes)["omero"]["channels"]
        first |= {"label": "Hoechst", "color": "0000ff"}
        second["window"] |= {"start": 10, "end": 20}

    way(store, edit)
    img = bigimg.open(store)
    assert img.bigimg.channels == ("Hoechst", "GFP")
    assert img.color.values.tolist() == ["0000FF", ""]
    np.testing.assert_array_equal(img, PIXELS)
    assert bigimg.info(store).channels == ("Hoechst", "GFP")
    assert [row["name"] for row in bigimg.info(store).statistics or ()] == ["Hoechst", "GFP"]
    assert bigimg.stats(store).c.values.tolist() == ["Hoechst", "GFP"]
    assert (
        "name of channel 0 is Hoechst, was DAPI; color of channel 0 is 0000FF, was 00FF00; window of"
        in notes(store)
    )
    (note,) = (note for note in bigimg.info(store).notes if "edited" in note)
    bigimg.convert(store, store.parent / "again", progress=False)
    assert note not in bigimg.info(store.parent / "again").notes, "of the store alone"
    assert bigimg.info(store.parent / "again").channels == ("Hoechst", "GFP")


def test_a_spacing_of_others_counts_for_all_levels(store: Path) -> None:
    """Only level 0 is edited; the others were made from it, so they lie where it says."""

    def edit(attributes: Attributes) -> None:
        scale, translation = transformations(attributes, 0)
        scale["scale"][2:] = [0.65, 0.65]
        translation["translation"][1] = 10.0

    before = open_store(store)
    edited(store, edit)
    found = open_store(store)
    for level, (was, now) in enumerate(zip(before.levels, found.levels, strict=True)):
        factor = 2 ** np.ceil(np.log2(np.divide(before.levels[0].shape, was.shape)))
        np.testing.assert_allclose(now.spacing, factor * [1, 2, 0.65, 0.65], rtol=1e-12)
        start = np.array([0, 10, 3, 0]) + (factor - 1) / 2 * [1, 2, 0.65, 0.65]
        np.testing.assert_allclose(now.origin, start, rtol=1e-12)
        np.testing.assert_array_equal(pixels(found, level), pixels(before, level))
    assert "spacing along y is 0.65 µm, was 0.5 µm; spacing along x" in notes(store)
    assert bigimg.info(store).spacing == (None, 2, 0.65, 0.65)
    (said,) = (edit for edit in bigimg.verify(store, quick=True).edits if "do not follow" in edit)
    assert said.endswith("of level 1, 2, 3, 4 do not follow from level 0, and are not used")


@pytest.mark.parametrize("unit", ["millimeter", "nanometer"])
def test_the_world_follows_a_unit_of_others(store: Path, unit: str) -> None:
    millimeters = {"millimeter": 1.0, "nanometer": 1e-6}[unit]
    edited(store, lambda attributes: axis(attributes, "x").update(unit=unit))
    img = bigimg.open(store)
    expected = np.array(WORLD) @ np.diag([0.25 * millimeters / 1e-3, 0.5, 2, 1])
    expected[:3, 3] += np.array(WORLD)[:3, 1] * 3.0
    np.testing.assert_allclose(img.bigimg.affine, expected, rtol=1e-12)
    assert "spacing along x is 0.25 " in notes(store)


def test_a_window_of_all_channels_is_that_of_the_image(tmp_path: Path) -> None:
    reader = CountingReader(PIXELS[0, 0], "yx")
    reader.spec = ImageSpec(
        (Axis("y", 40), Axis("x", 36)),
        np.dtype(np.uint16),
        (40, 36),
        scaling=Scaling(2.0, -100.0),
        window=(0, 500),
    )
    bigimg.convert(reader, tmp_path / "a", progress=False)
    assert bigimg.info(tmp_path / "a").window == (0, 500)
    edited(tmp_path / "a", lambda a: of_ome(a)["omero"]["channels"][0]["window"].update(start=100, end=350))
    assert bigimg.info(tmp_path / "a").window == (100, 600), "real values of 100 and 350 stored ones"


# ------------------------------------------------------------------------------------------ what says nothing of it


@pytest.mark.parametrize(
    "edit",
    [
        lambda group: group.attrs.update(stain="H33342", plate={"row": 1}),
        lambda group: group["0"].attrs.update(stain="H33342"),
        lambda group: (
            group.create_group("tables").create_group("nuclei").attrs.update(type="ngff:region_table")
        ),
        lambda group: group.create_group("labels").create_array("nuclei", shape=(3, 4), dtype="u1"),
        lambda group: zarr.consolidate_metadata(group.store),
    ],
    ids=["attribute", "attribute of an array", "table", "label", "consolidated"],
)
def test_what_others_add_changes_nothing(store: Path, edit: Callable[[zarr.Group], object]) -> None:
    before = open_store(store)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zarr-python, on consolidated metadata
        edit(zarr.open_group(store, mode="r+"))
    found = open_store(store)
    specs = [replace(store.spec(), of_source=()) for store in (found, before)]
    assert specs[0] == specs[1]
    assert found.levels == before.levels
    report = bigimg.verify(store)
    assert report.ok, report
    assert all("stain is new" in edit or "plate is new" in edit for edit in report.edits)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda a: a.pop("bigimg"), "bigimg is gone: what bigimg wrote there is kept in the manifest"),
        (
            lambda a: a["bigimg"].update(kind="labels", padding=0, scaling=[2, 0]),
            "bigimg was changed, and is not",
        ),
        (
            lambda a: a["bigimg"].update(world=None, backwards=["x"]),
            "bigimg was changed, and is not followed",
        ),
        (lambda a: a["bigimg"].update(format=99, manifest=None), "bigimg was changed, and is not followed"),
        (lambda a: of_ome(a).update({"image-label": {}}), "image-label is new"),
        (lambda a: of_ome(a).pop("omero"), "omero is gone"),
        (lambda a: of_ome(a)["omero"]["channels"].pop(), "omero.channels was changed"),
        (lambda a: of_ome(a)["omero"].update(channels="none"), "omero.channels was changed"),
        (lambda a: of_ome(a)["multiscales"][0].update(name="mine"), "multiscales[0].name was changed"),
        (lambda a: of_ome(a)["multiscales"].append({}), "multiscales was changed"),
    ],
)
def test_no_edit_changes_what_pixels_mean(store: Path, edit: Edit, said: str) -> None:
    before = open_store(store)
    edited(store, edit)
    found = open_store(store)
    assert said in notes(store)
    assert (found.spec().world, found.kind, found.spec().scaling) == (before.spec().world, before.kind, None)
    assert (found.spec().padding, found.levels, found.has_manifest) == (None, before.levels, True)
    assert found.channels == before.channels
    np.testing.assert_array_equal(pixels(found), PIXELS)


def test_a_mask_stays_one_without_its_mark(tmp_path: Path) -> None:
    bigimg.write(bigimg.from_array(PIXELS[0] > 500, dims="zyx"), tmp_path / "a", progress=False)
    bigimg.write(bigimg.mask(tmp_path / "a", below=1), tmp_path / "a/labels/m", progress=False)
    edited(tmp_path / "a/labels/m", lambda attributes: of_ome(attributes).pop("image-label"))
    found = bigimg.open(tmp_path / "a/labels/m")
    assert (found.dtype, found.attrs["kind"]) == (np.dtype(bool), "mask")


# -------------------------------------------------------------------------------------------------- what is guarded


@pytest.mark.parametrize(
    "edit",
    [
        lambda a: of_ome(a)["multiscales"][0]["datasets"].pop(),
        lambda a: of_ome(a)["multiscales"][0]["datasets"].reverse(),
        lambda a: of_ome(a)["multiscales"][0]["datasets"][0].update(path="1"),
        lambda a: axis(a, "z").update(name="t"),
        lambda a: of_ome(a).pop("multiscales"),
        lambda a: next(transformations(a, 0)).update(scale=[1, 1]),
        lambda a: next(transformations(a, 0)).update(scale=[1, 2, 0, 1]),
        lambda a: a.clear(),
    ],
    ids=[
        "level gone",
        "levels turned",
        "another array",
        "axis",
        "no image",
        "few numbers",
        "zero",
        "nothing",
    ],
)
def test_which_arrays_and_axes_is_guarded(store: Path, edit: Edit) -> None:
    edited(store, edit)
    with pytest.raises(CorruptChunk, match=r"(zarr\.json|\.zattrs): .*restore the object"):
        open_store(store)
    report = bigimg.verify(store, quick=True)
    assert [finding.kind for finding in report.findings] == ["corrupt"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("shape", [2, 9, 40, 35]), ("fill_value", 1), ("data_type", "int16"), ("dimension_names", ["c", "z", "x", "y"]),
     ("chunk_key_encoding", {"name": "default", "configuration": {"separator": "."}}), ("added", 1)],
)  # fmt: skip
def test_of_an_array_all_but_attributes_is_guarded(newest: Path, key: str, value: Any) -> None:
    path = newest / "1/zarr.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "attributes": {"of": "others"}}, sort_keys=True))
    open_store(newest)
    path.write_text(json.dumps({**document, key: value}))
    with pytest.raises(CorruptChunk, match=r"1/zarr\.json: "):
        open_store(newest)


@pytest.mark.parametrize("key", ["dtype", "fill_value", "order", "compressor", "chunks"])
def test_of_an_array_of_zarr_2_too(key: str, whole: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(whole["0.4"], tmp_path / "a")
    path = tmp_path / "a/0/.zarray"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document, sort_keys=True))
    open_store(tmp_path / "a")
    other = {"dtype": "<i2", "fill_value": 1, "order": "F", "compressor": None, "chunks": [1, 8, 8, 16]}
    path.write_text(json.dumps({**document, key: other[key]}))
    with pytest.raises(CorruptChunk, match=r"0/\.zarray: "):
        open_store(tmp_path / "a")


def test_a_copy_that_was_changed_vouches_for_nothing(newest: Path) -> None:
    path = newest / "bigimg/manifest/zarr.json"
    path.write_text(path.read_text().replace("DAPI", "DAPJ"))
    assert open_store(newest).channels[0].name == "DAPI", "the root is as it was written"
    assert [finding.file for finding in bigimg.verify(newest, quick=True).findings] == [
        "bigimg/manifest/zarr.json"
    ]
    edited(newest, lambda attributes: attributes.update(stain=1))
    with pytest.raises(
        CorruptChunk, match=r"bigimg/manifest/zarr\.json: holds other attributes of the image"
    ):
        open_store(newest)


# ------------------------------------------------------------------------------------- stores of an older bigimg


def without_copy(path: Path) -> Path:
    """Make the manifest what it was before it kept the attributes."""
    document = next(path / "bigimg/manifest" / name for name in ATTRIBUTES.values())
    document = document if document.exists() else document.with_name(ATTRIBUTES[3])
    content = json.loads(document.read_text())
    del content.get("attributes", content)["written"]
    document.write_text(json.dumps(content, indent=2))
    return path


def test_older_stores_open_and_are_intact(store: Path) -> None:
    assert str(bigimg.verify(without_copy(store)).verdict).count("intact") == 1
    np.testing.assert_array_equal(pixels(open_store(store)), PIXELS)
    assert not any("edited" in note for note in bigimg.info(store).notes)


def test_older_stores_open_with_attributes_of_others(store: Path) -> None:
    edited(without_copy(store), lambda attributes: attributes.update(stain=1))
    assert "stain is new" in notes(store)
    assert bigimg.verify(store).ok


def test_older_stores_refuse_what_they_cannot_tell_from_damage(store: Path) -> None:
    def edit(attributes: Attributes) -> None:
        of_ome(attributes)["omero"]["channels"][0]["label"] = "Hoechst"

    edited(without_copy(store), edit)
    with pytest.raises(CorruptChunk, match="if the edit was meant, accept=True of verify takes it over"):
        open_store(store)
    assert not bigimg.verify(store, quick=True).ok
    report = bigimg.verify(store, accept=True)
    assert (report.ok, report.accepted, len(report.edits)) == (True, True, 1)
    assert bigimg.verify(store).edits == ()
    np.testing.assert_array_equal(pixels(open_store(store)), PIXELS)


@pytest.mark.parametrize("change", [{"zarr_format": 2}, {"node_type": "array"}])
def test_that_the_root_is_a_group_is_guarded(newest: Path, change: dict[str, Any]) -> None:
    root = newest / "zarr.json"
    root.write_text(json.dumps(json.loads(root.read_text()) | change))
    assert [finding.file for finding in bigimg.verify(newest).findings] == ["zarr.json"]


def test_that_the_root_of_zarr_2_is_a_group_is_guarded(whole: dict[str, Path], tmp_path: Path) -> None:
    store = shutil.copytree(whole["0.4"], tmp_path / "a.ome.zarr")
    shutil.copy(store / "0" / ".zarray", store / ".zgroup")
    assert [finding.file for finding in bigimg.verify(store).findings] == [".zgroup"]
