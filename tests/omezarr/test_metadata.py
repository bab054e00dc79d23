"""What we write as JSON, against zarr and the published models and schemas of OME-Zarr."""

from __future__ import annotations

import importlib
import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import MemoryStore

from bigimg.geometry.axes import Axis
from bigimg.geometry.levels import plan_levels
from bigimg.geometry.spec import RGB, RGBA, Channel, ImageSpec, Scaling
from bigimg.omezarr.codecs import CODECS
from bigimg.omezarr.metadata import (
    Version,
    array_metadata,
    dumps,
    group_metadata,
    image_attributes,
    plain_array_documents,
    strict,
)
from bigimg.omezarr.shard import ShardLayout
from bigimg.types import Json, Shape

VERSIONS: tuple[Version, ...] = ("0.4", "0.5", "0.6")
OBLIQUE = ((-1.0, 0.0, 0.0, 5.0), (0.0, 0.98, 0.1, 3.0), (0.0, -0.1, 0.98, 2.0), (0.0, 0.0, 0.0, 1.0))


def axes(sizes: str, **spacing: float) -> tuple[Axis, ...]:
    """Return axes from ``"z=5 y=40"``, spaces in micrometres."""
    pairs = [item.split("=") for item in sizes.split()]
    return tuple(
        Axis(n, int(size), spacing.get(n, 1.0), "micrometer" if n in "zyx" else None, 7.0 * (n == "y"))
        for n, size in pairs
    )


def spec(
    sizes: str, dtype: str = "uint8", *, spacing: dict[str, float] | None = None, **more: Any
) -> ImageSpec:
    made = axes(sizes, **(spacing or {}))
    return ImageSpec(made, np.dtype(dtype), tuple(axis.size for axis in made), **more)


SPECS = {
    "rgb": spec("c=3 y=300 x=200", spacing={"y": 0.5, "x": 0.25}, channels=RGB),
    "rgba": spec("c=4 y=300 x=200", channels=RGBA),
    "ct": spec(
        "z=40 y=90 x=80",
        "int16",
        spacing={"y": -0.5},
        world=OBLIQUE,
        scaling=Scaling(2.0, -1024.0),
        window=(-160, 240),
    ),
    "labels": spec("t=2 z=9 y=90 x=80", "int32", kind="labels"),
    "mask": spec("y=90 x=80", "bool", kind="mask"),
    "fluorescence": spec(
        "t=2 c=2 z=3 y=90 x=80", "float32", channels=(Channel("DAPI"), Channel("GFP", "00ff00"))
    ),
}


def attributes_of(name: str, version: Version, **more: Any) -> dict[str, Any]:
    image = SPECS[name]
    levels = plan_levels(image.axes, tuple(min(32, n) for n in image.shape), method="mean")
    windows = [(0.0, 1.5), (2.0, 3.0)] if name == "fluorescence" else None
    given = {"windows": windows} | more
    document = image_attributes(image, levels, method="mean", name=name, version=version, **given)
    return dict(json.loads(dumps(document)))


def ome_of(name: str, version: Version = "0.5", **more: Any) -> dict[str, Any]:
    return dict(attributes_of(name, version, **more)["ome"])


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint64", "float16", "float64"])
@pytest.mark.parametrize("shard", [(2, 64, 64), (1, 32, 32)], ids=["shard", "one chunk a shard"])
def test_array_metadata_is_what_zarr_writes(dtype: str, shard: Shape) -> None:
    store = MemoryStore()
    size = np.dtype(dtype).itemsize
    blosc = BloscCodec(typesize=size, cname="lz4", clevel=5, shuffle="bitshuffle", blocksize=0)
    zarr.create_array(
        store, shape=(3, 70, 50), dtype=dtype, chunks=(1, 32, 32), shards=shard, filters=[], fill_value=0,
        compressors=[blosc, Crc32cCodec()], dimension_names=("c", "y", "x"),
    )  # fmt: skip
    theirs = json.loads(store._store_dict["zarr.json"].to_bytes())
    layout = ShardLayout((3, 70, 50), np.dtype(dtype), (1, 32, 32), shard, CODECS["lz4"])
    assert json.loads(dumps(array_metadata(layout, "cyx"))) == theirs


@pytest.mark.parametrize("dtype", ["uint64", "int64", "float64", "bool"])
def test_plain_array_metadata_is_what_zarr_writes(dtype: str) -> None:
    store = MemoryStore()
    zarr.create_array(
        store, shape=(3, 6), dtype=dtype, chunks=(2, 6), filters=[], compressors=[Crc32cCodec()]
    )
    theirs = json.loads(store._store_dict["zarr.json"].to_bytes())
    assert json.loads(plain_array_documents((3, 6), np.dtype(dtype), 3, (2, 6))["zarr.json"]) == theirs


def test_group_metadata_is_what_zarr_writes() -> None:
    store = MemoryStore()
    zarr.create_group(store, attributes={"a": [1, "µ"]})
    assert json.loads(dumps(group_metadata({"a": [1, "µ"]}))) == json.loads(
        store._store_dict["zarr.json"].to_bytes()
    )


def test_json_is_strict_and_the_same_each_time() -> None:
    document: dict[str, Json] = {
        "nan": math.nan,
        "up": [math.inf, {"down": -math.inf}],
        "big": 2**100,
        "µ": 0.1,
    }
    written = dumps(document)
    assert written == dumps(document)
    assert json.loads(written, parse_constant=pytest.fail) == {
        "nan": "NaN", "up": ["Infinity", {"down": "-Infinity"}], "big": 2**100, "µ": 0.1}  # fmt: skip
    assert strict([1, math.inf]) == [1, "Infinity"]


def test_scale_and_translation_of_each_level() -> None:
    multiscale = ome_of("rgb")["multiscales"][0]
    assert [dataset["path"] for dataset in multiscale["datasets"]] == ["0", "1", "2", "3", "4", "5"]
    assert multiscale["datasets"][2]["coordinateTransformations"] == [
        # y is halved from level 2 on: until then x is the finer axis. Centres move by half of what is merged.
        {"type": "scale", "scale": [1.0, 1.0, 1.0]},
        {"type": "translation", "translation": [0.0, 7.25, 0.375]},
    ]
    assert multiscale["axes"][1] == {"name": "y", "type": "space", "unit": "micrometer"}
    assert multiscale["type"] == multiscale["metadata"]["method"] == "mean"


def test_colour_channels_show_as_they_are_and_alpha_is_off() -> None:
    channels = ome_of("rgba")["omero"]["channels"]
    assert [(c["label"], c["color"], c["active"]) for c in channels] == [
        ("R", "FF0000", True), ("G", "00FF00", True), ("B", "0000FF", True), ("A", "FFFFFF", False)]  # fmt: skip
    assert channels[0]["window"] == {"min": 0.0, "max": 255.0, "start": 0.0, "end": 255.0}


def test_window_of_the_file_comes_first_and_in_stored_values() -> None:
    """Real -160 to 240 is stored (real + 1024) / 2: viewers know nothing of slope and intercept."""
    channel = ome_of("ct", windows=[(0.0, 1.0)])["omero"]["channels"][0]
    assert channel["window"] == {"min": -32768.0, "max": 32767.0, "start": 432.0, "end": 632.0}
    assert channel["color"] == "FFFFFF"


def test_window_for_each_channel_and_colours_in_turn() -> None:
    channels = ome_of("fluorescence")["omero"]["channels"]
    assert [(c["color"], c["window"]["start"], c["window"]["end"]) for c in channels] == [
        ("FF00FF", 0.0, 1.5), ("00FF00", 2.0, 3.0)]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("labels", {}),  # ids are no intensities
        ("mask", {}),
        ("fluorescence", {"windows": None}),  # nobody knows a range of floats
        ("fluorescence", {"windows": [(0.0, math.nan)] * 2}),
    ],
)
def test_no_omero_where_it_would_mean_nothing(name: str, more: dict[str, Any]) -> None:
    assert "omero" not in ome_of(name, **more)


def test_labels_say_so_and_masks_do_not() -> None:
    assert "image-label" in ome_of("labels")
    assert "image-label" not in ome_of("mask")
    assert attributes_of("mask", "0.5")["bigimg"]["kind"] == "mask"


def test_orientation_follows_the_index_along_each_axis() -> None:
    """The world has x to the left; y runs backwards over pixels, so from anterior to posterior."""
    found = {axis["name"]: axis["orientation"] for axis in ome_of("ct")["multiscales"][0]["axes"]}
    assert found == {
        "z": {"type": "anatomical", "value": "inferior-to-superior"},
        "y": {"type": "anatomical", "value": "anterior-to-posterior"},
        "x": {"type": "anatomical", "value": "right-to-left"},
    }


def test_no_orientation_between_two_directions() -> None:
    s = math.sqrt(0.5)
    world = ((s, -s, 0.0, 0.0), (s, s, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    image = spec("z=9 y=9 x=9", world=world)
    document = image_attributes(
        image, plan_levels(image.axes, (9, 9, 9), method="mean"), method="mean", name="n"
    )
    found = json.loads(dumps(document))["ome"]["multiscales"][0]["axes"]
    assert [axis["name"] for axis in found if "orientation" in axis] == ["z"]


def test_affine_of_0_6_is_the_world() -> None:
    multiscale = ome_of("ct", "0.6")["multiscales"][0]
    (affine,) = multiscale["coordinateTransformations"]
    zyx = np.asarray(OBLIQUE)[[2, 1, 0]][:, [2, 1, 0, 3]]
    np.testing.assert_array_equal(affine["affine"], zyx)
    assert (affine["input"], affine["output"]) == ({"name": "physical"}, {"name": "RAS"})


def test_own_block_names_the_manifest_and_no_place_or_time() -> None:
    block = attributes_of("ct", "0.5")["bigimg"]
    assert block == {
        "format": 2, "kind": "image", "method": "mean", "world": [list(row) for row in OBLIQUE],
        "scaling": [2.0, -1024.0], "window": [-160, 240], "channels": [], "meta": {}, "notes": [],
        "manifest": "bigimg/manifest", "backwards": ["y"],
    }  # fmt: skip


@pytest.mark.validators
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", SPECS)
def test_published_models_accept_it(name: str, version: Version) -> None:
    pytest.importorskip("ome_zarr_models", reason="needs the validators group")
    module = f"ome_zarr_models.v{version.replace('.', '')}"
    labels = name == "labels"
    model = getattr(
        importlib.import_module(f"{module}.image_label" if labels else f"{module}.image"),
        "ImageLabelAttrs" if labels else "ImageAttrs",
    )
    attributes = attributes_of(name, version)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.model_validate(attributes if version == "0.4" else attributes["ome"])


@pytest.mark.validators
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", SPECS)
def test_published_schemas_accept_it(name: str, version: Version) -> None:
    ngff_zarr = pytest.importorskip(
        "ngff_zarr", reason="needs the validators group, which carries the schemas"
    )
    jsonschema = pytest.importorskip("jsonschema", reason="needs the validators group")
    referencing = pytest.importorskip("referencing", reason="needs the validators group")
    folder = Path(ngff_zarr.__file__).parent / "spec" / version / "schemas"
    schemas = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.schema")}
    draft = importlib.import_module("referencing.jsonschema").DRAFT202012
    resources = [
        (schema["$id"], referencing.Resource.from_contents(schema, default_specification=draft))
        for schema in schemas.values()
        if "$id" in schema
    ]
    registry = referencing.Registry().with_resources(resources)
    for wanted in ("image", "strict_image", *(["label"] if name == "labels" else [])):
        validator = jsonschema.Draft202012Validator(schemas[wanted], registry=registry)
        assert [error.message for error in validator.iter_errors(attributes_of(name, version))] == []
