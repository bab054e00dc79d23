"""Stores that a pass wrote, of each version, judged by others: the specification's models and schemas, and the
libraries that people read OME-Zarr with."""

from __future__ import annotations

import importlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import bigimg
from tests.conversion.sources import noise

pytestmark = [pytest.mark.validators]

WRITTEN = ["0.4", "0.5", "0.6"]
VERSIONS = [*WRITTEN, "0.5 upgraded to 0.6"]


@pytest.fixture(scope="module")
def volume() -> Any:
    world = np.diag([1e-3, 1e-3, 1e-3, 1.0])
    world[:3, 3] = -20, 5, 7
    img = bigimg.from_array(noise((2, 40, 70, 90), "u2"), dims="czyx", channels=("DAPI", "GFP"))
    return bigimg.with_geometry(img, spacing={"z": 2, "y": 0.5, "x": 0.5}, unit="um", world=world)


@pytest.fixture(scope="module")
def stores(volume: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stores")
    for version in VERSIONS:
        written, _, upgraded = version.partition(" upgraded to ")
        target: Any = folder / f"{version}.ome.zarr"
        bigimg.write(volume, target, chunks=32, ome_version=written, memory="4GB", progress=False)  # type: ignore[arg-type]
        if upgraded:
            bigimg.upgrade(target, to=upgraded)  # type: ignore[arg-type]
    return {version: folder / f"{version}.ome.zarr" for version in VERSIONS}


def attributes_of(root: Path) -> Any:
    if (root / ".zattrs").exists():
        return json.loads((root / ".zattrs").read_text())
    return json.loads((root / "zarr.json").read_text())["attributes"]


def validators(version: str) -> Any:
    """Return what makes the validator of a published schema by its name."""
    ngff_zarr = pytest.importorskip(
        "ngff_zarr", reason="needs the validators group, which carries the schemas"
    )
    jsonschema = pytest.importorskip("jsonschema", reason="needs the validators group")
    referencing = pytest.importorskip("referencing", reason="needs the validators group")
    folder = Path(ngff_zarr.__file__).parent / "spec" / version[-3:] / "schemas"
    schemas = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.schema")}
    draft = importlib.import_module("referencing.jsonschema").DRAFT202012
    registry = referencing.Registry().with_resources(
        (schema["$id"], referencing.Resource.from_contents(schema, default_specification=draft))
        for schema in schemas.values()
        if "$id" in schema
    )
    return lambda name: jsonschema.Draft202012Validator(schemas[name], registry=registry)


@pytest.mark.parametrize("version", VERSIONS)
def test_published_schemas_accept_what_is_on_the_disk(version: str, stores: dict[str, Path]) -> None:
    check = validators(version)
    for wanted in ("image", "strict_image"):
        assert [error.message for error in check(wanted).iter_errors(attributes_of(stores[version]))] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_published_models_open_the_group(version: str, stores: dict[str, Path]) -> None:
    """The model compares the arrays with the metadata: number of axes, shapes, dimension names."""
    pytest.importorskip("ome_zarr_models", reason="needs the validators group")
    zarr = pytest.importorskip("zarr")
    model = importlib.import_module(f"ome_zarr_models.v{version[-3:].replace('.', '')}.image").Image
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it thinks of zarr
        image = model.from_zarr(zarr.open_group(stores[version], mode="r"))
    attributes = image.attributes if version == "0.4" else image.ome_attributes
    assert len(attributes.multiscales[0].datasets) == 4


@pytest.mark.parametrize("version", VERSIONS)
def test_ome_zarr_py_reads_it(version: str, stores: dict[str, Path], volume: Any) -> None:
    ome_zarr = pytest.importorskip("ome_zarr", reason="needs the validators group")
    if not hasattr(ome_zarr, "OMEZarrMultiscale"):
        pytest.skip("ome-zarr-py without its model of multiscales")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = ome_zarr.OMEZarrMultiscale.from_ome_zarr(str(stores[version]))
    np.testing.assert_array_equal(np.asarray(read.images[0].data), volume)
    assert list(read.images[0].scale.values())[-3:] == [2.0, 0.5, 0.5]


@pytest.mark.parametrize("version", VERSIONS)
def test_ngff_zarr_reads_it(version: str, stores: dict[str, Path], volume: Any) -> None:
    ngff_zarr = pytest.importorskip("ngff_zarr", reason="needs the validators group")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = ngff_zarr.from_ngff_zarr(str(stores[version]), version=version[-3:])
    first = read.images[0]
    np.testing.assert_array_equal(np.asarray(first.data), volume)
    assert {name: first.scale[name] for name in "zyx"} == {"z": 2.0, "y": 0.5, "x": 0.5}


@pytest.mark.parametrize("version", VERSIONS)
def test_tensorstore_reads_it(version: str, stores: dict[str, Path], volume: Any) -> None:
    tensorstore = pytest.importorskip("tensorstore", reason="needs tensorstore (group peers)")
    driver = "zarr" if version == "0.4" else "zarr3"
    store = {"driver": driver, "kvstore": {"driver": "file", "path": str(stores[version] / "0")}}
    np.testing.assert_array_equal(tensorstore.open(store).result().read().result(), volume)


def test_others_read_a_store_in_one_file(stores: dict[str, Path], volume: Any, tmp_path: Path) -> None:
    ngff_zarr = pytest.importorskip("ngff_zarr", reason="needs the validators group")
    bigimg.pack(stores["0.5"], tmp_path / "a.ozx", progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = ngff_zarr.from_ngff_zarr(str(tmp_path / "a.ozx"))
    np.testing.assert_array_equal(np.asarray(read.images[0].data), volume)
    ours = importlib.import_module("ngff_zarr.rfc9_zip").read_ozx_version(str(tmp_path / "a.ozx"))
    assert ours == "0.5"


@pytest.fixture(scope="module")
def plates(volume: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("plates")
    wells = {("A1", 0): volume, ("A1", 1): volume + 1, ("B03", 0): volume + 2}
    for version in WRITTEN:
        bigimg.convert(
            wells, folder / f"{version}.ome.zarr", chunks=32, ome_version=version, memory="4GB", progress=False
        )  # fmt: skip
    return {version: folder / f"{version}.ome.zarr" for version in WRITTEN}


@pytest.mark.parametrize("version", WRITTEN)
def test_published_schemas_accept_plates_and_wells(version: str, plates: dict[str, Path]) -> None:
    check = validators(version)
    for kind in ("plate", "strict_plate"):
        assert [error.message for error in check(kind).iter_errors(attributes_of(plates[version]))] == []
    for kind in ("well", "strict_well"):
        assert [
            error.message for error in check(kind).iter_errors(attributes_of(plates[version] / "A/01"))
        ] == []


@pytest.mark.parametrize("version", WRITTEN)
def test_published_models_open_plates(version: str, plates: dict[str, Path]) -> None:
    pytest.importorskip("ome_zarr_models", reason="needs the validators group")
    zarr = pytest.importorskip("zarr")
    model = importlib.import_module(f"ome_zarr_models.v{version.replace('.', '')}.hcs").HCS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it thinks of zarr
        found = model.from_zarr(zarr.open_group(plates[version], mode="r"))
        wells = list(found.well_groups)
    attributes = found.attributes if version == "0.4" else found.ome_attributes
    assert [well.path for well in attributes.plate.wells] == ["A/01", "B/03"]
    assert len(wells) == 2


@pytest.mark.parametrize("version", WRITTEN)
def test_ngff_zarr_reads_plates(version: str, plates: dict[str, Path], volume: Any) -> None:
    hcs = pytest.importorskip("ngff_zarr.hcs", reason="needs the validators group")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plate = hcs.from_hcs_zarr(str(plates[version]))
        image = plate.get_well("A", "01").get_image(1).images[0]
    np.testing.assert_array_equal(np.asarray(image.data), volume + 1)


@pytest.mark.parametrize(
    "version", ["0.4", "0.5"]
)  # of 0.6 it does not find the axes, and takes five of them
def test_ome_zarr_py_reads_plates(version: str, plates: dict[str, Path]) -> None:
    reader = pytest.importorskip("ome_zarr.reader", reason="needs the validators group")
    io = pytest.importorskip("ome_zarr.io")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nodes = list(reader.Reader(io.parse_url(str(plates[version])))())
    shapes = [node.data[0].shape for node in nodes if getattr(node, "data", None)]
    assert shapes, "it finds no wells"


@pytest.mark.parametrize("version", WRITTEN)
def test_a_store_of_reduced_levels_is_a_smaller_image_to_others(version: str, tmp_path: Path) -> None:
    ngff_zarr = pytest.importorskip("ngff_zarr", reason="needs the validators group")
    models = pytest.importorskip("ome_zarr_models", reason="needs the validators group")
    zarr = pytest.importorskip("zarr")
    pixels = noise((120, 160), "u2")
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(16, 16), resolution=(20_000, 20_000), resolutionunit=3)
    target = tmp_path / "a.levels.ome.zarr"
    bigimg.convert(
        tmp_path / "a.tif", target, chunks=16, levels_only=True, ome_version=version, progress=False, memory="4GB"
    )  # fmt: skip
    bigimg.write(bigimg.open(target, level=2) < 9, target / "labels" / "dark", progress=False, memory="4GB")
    windows = pixels.reshape(60, 2, 80, 2).mean((1, 3)).round().reshape(30, 2, 40, 2).mean((1, 3)).round()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = ngff_zarr.from_ngff_zarr(str(target), version=version)
        model = importlib.import_module(f"{models.__name__}.v{version.replace('.', '')}.image").Image
        image = model.from_zarr(zarr.open_group(target, mode="r"))
    np.testing.assert_array_equal(np.asarray(read.images[0].data), windows)
    assert read.images[0].scale == pytest.approx({"y": 2.0, "x": 2.0})
    assert read.images[0].translation == pytest.approx({"y": 0.75, "x": 0.75})
    attributes = image.attributes if version == "0.4" else image.ome_attributes
    assert len(attributes.multiscales[0].datasets) == 3
