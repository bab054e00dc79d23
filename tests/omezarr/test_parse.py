"""OME-Zarr JSON of all versions, ours and what others may write."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.core.metadata import ArrayV3Metadata

from bigimg.errors import InputError
from bigimg.geometry.levels import plan_levels
from bigimg.geometry.spec import Channel, ImageSpec, Scaling
from bigimg.omezarr.metadata import Version, dumps, image_attributes
from bigimg.omezarr.parse import parse_array, parse_image
from tests.omezarr.test_metadata import OBLIQUE, SPECS

IMAGE: dict[str, Any] = {
    "multiscales": [
        {
            "version": "0.4",
            "axes": [{"name": "y", "type": "space", "unit": "um"}, {"name": "x", "type": "space"}],
            "datasets": [
                {"path": "a", "coordinateTransformations": [{"type": "scale", "scale": [2.0, 3.0]}]},
            ],
        }
    ]
}


def image(**changes: Any) -> dict[str, Any]:
    """Return IMAGE with members of its multiscale replaced."""
    attributes = copy.deepcopy(IMAGE)
    attributes["multiscales"][0] |= changes
    return attributes


def dataset(*transformations: dict[str, Any]) -> dict[str, Any]:
    return {"path": "a", "coordinateTransformations": list(transformations)}


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
@pytest.mark.parametrize("name", SPECS)
def test_what_we_write_is_read_back(name: str, version: Version) -> None:
    spec: ImageSpec = SPECS[name]
    levels = plan_levels(spec.axes, tuple(min(32, n) for n in spec.shape), method="mean")
    written = image_attributes(spec, levels, method="mean", name=name, version=version)
    meta = parse_image(json.loads(dumps(written)), source="s")
    assert (meta.version, meta.dims, meta.notes) == (version, spec.dims, ())
    assert meta.units == tuple(axis.unit for axis in spec.axes)
    assert [level.path for level in meta.levels] == [str(level.index) for level in levels]
    assert [level.scale for level in meta.levels] == [tuple(map(abs, level.spacing)) for level in levels]
    assert [level.translation for level in meta.levels] == [level.origin for level in levels]
    assert (meta.kind, meta.channels, meta.world) == (spec.kind, spec.channels, spec.world)
    assert (meta.scaling, meta.window, meta.manifest) == (
        spec.scaling,
        spec.window,
        "bigimg/manifest",
    )
    assert meta.backwards == (("y",) if name == "ct" else ())


def test_values_of_the_ct_survive() -> None:
    spec = SPECS["ct"]
    written = image_attributes(
        spec, plan_levels(spec.axes, spec.shape, method="mean"), method="mean", name="ct"
    )
    own = parse_image(json.loads(dumps(written)), source="s")
    assert (own.world, own.scaling, own.window) == (OBLIQUE, Scaling(2.0, -1024.0), (-160.0, 240.0))


def test_scales_of_multiscale_and_dataset_multiply() -> None:
    outer = [{"type": "scale", "scale": [10.0, 10.0]}, {"type": "translation", "translation": [1.0, 0.0]}]
    inner = dataset({"type": "scale", "scale": [2, 3]}, {"type": "translation", "translation": [4, 5]})
    (level,) = parse_image(image(datasets=[inner], coordinateTransformations=outer), source="s").levels
    assert (level.scale, level.translation) == ((20.0, 30.0), (41.0, 50.0))


def test_units_get_their_long_names() -> None:
    assert parse_image(IMAGE, source="s").units == ("micrometer", None)


def test_0_6_reads_to_the_intrinsic_system_and_says_what_it_leaves_out() -> None:
    c, s = np.cos(0.3), np.sin(0.3)
    turned = {
        "type": "sequence",
        "input": {"path": "a"},
        "output": {"name": "there"},
        "transformations": [
            {"type": "scale", "scale": [2, 3]},
            {"type": "rotation", "rotation": [[c, -s], [s, c]]},
            {"type": "translation", "translation": [7, 8]},
            {"type": "displacements", "path": "field"},
        ],
    }
    systems = [
        {"name": "other", "axes": [{"name": "x"}, {"name": "y"}]},
        {"name": "there", "axes": IMAGE["multiscales"][0]["axes"]},
    ]
    multiscale = {
        "coordinateSystems": systems,
        "datasets": [{"path": "a", "coordinateTransformations": [turned]}],
        "coordinateTransformations": [
            {"type": "scale", "scale": [9, 9], "input": "there", "output": "other"}
        ],
    }
    meta = parse_image({"ome": {"version": "0.6", "multiscales": [multiscale]}}, source="s")
    assert meta.dims == ("y", "x")
    assert meta.levels[0].scale == pytest.approx((2, 3))
    assert meta.levels[0].translation == (7.0, 8.0)
    assert len(meta.notes) == 3  # the displacements, the turn, and the scale between the systems
    assert "displacements" in meta.notes[0]


def test_affine_along_the_axes_keeps_its_signs() -> None:
    flip = {"type": "affine", "affine": [[-2, 0, 5], [0, 3, 6]]}
    meta = parse_image(image(datasets=[dataset(flip)]), source="s")
    assert (meta.levels[0].scale, meta.levels[0].translation, meta.notes) == ((-2.0, 3.0), (5.0, 6.0), ())


def test_versions_without_scales() -> None:
    names = parse_image(image(version="0.3", axes=["c", "y", "x"], datasets=[{"path": "a"}]), source="s")
    assert (names.version, names.dims, names.levels[0].scale) == ("0.3", ("c", "y", "x"), None)
    plain = {"multiscales": [{"version": "0.1", "datasets": [{"path": "a"}]}]}
    assert parse_image(plain, source="s").dims == tuple("tczyx")


def test_axis_names_of_others() -> None:
    axes = [{"name": "Time", "type": "time"}, {"name": "ch", "type": "channel"}, {"name": "Y"}, {"name": "X"}]
    assert parse_image(image(axes=axes, datasets=[{"path": "a"}]), source="s").dims == ("t", "c", "y", "x")


def test_malformed_omero_counts_as_not_said() -> None:
    entries = [{"label": "a", "color": "red", "window": {"start": 0}}, {"color": "00ff00"}]
    meta = parse_image(IMAGE | {"omero": {"channels": entries}}, source="s")
    assert (meta.channels, meta.window) == ((Channel("a"), Channel("1", "00FF00")), None)
    assert parse_image(IMAGE | {"omero": {"channels": "x"}}, source="s").channels == ()


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"multiscales": []}, "IndexError"),
        ({"multiscales": [None]}, "incomplete"),
        (image(axes=None), "KeyError: 'axes'"),
        (image(datasets=[]), "no datasets"),
        (
            image(datasets=[{"path": "a", "coordinateTransformations": [{"type": "scale", "scale": [1.0]}]}]),
            "2 axes",
        ),
        (image(datasets=[dataset({"type": "scale", "scale": [0.0, 1.0]})]), r"scale \[0.0, 1.0\] of a"),
        (image(datasets=[dataset({"type": "scale", "scale": ["NaN", 1.0]})]), r"scale \[nan"),
        (image(axes=[{"name": "y"}, {"name": "angle"}]), "axis 'angle' is none of t c z y x"),
        (image(axes=[{"name": "y"}, {"name": "Y"}]), "repeat a name"),
        (IMAGE | {"bigimg": {"format": 3}}, "written in format 3"),
        (IMAGE | {"bigimg": {"format": 1, "world": [[1]]}}, r"shape \(4, 4\)"),
        (IMAGE | {"bigimg": {"format": 1, "kind": "nonsense"}}, "has the kind 'nonsense'"),
        (IMAGE | {"bigimg": {"format": 1, "kind": ["a"]}}, r"has the kind \['a'\]"),
        (IMAGE | {"bigimg": {"format": 1, "kind": None}}, "has the kind None"),
        (IMAGE | {"bigimg": {"format": 1, "manifest": 7}}, "the manifest 7"),
        (IMAGE | {"bigimg": {"format": 1, "manifest": {}}}, r"the manifest \{\}"),
        (IMAGE | {"bigimg": {"format": "x"}}, "TypeError"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(attributes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        parse_image(attributes, source="where")
    assert str(caught.value).startswith("where: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "document",
    [
        {"zarr_format": 3, "node_type": "group"},
        {"zarr_format": 3, "node_type": "array", "shape": [1], "data_type": "string"},
        {"zarr_format": 3, "node_type": "array", "shape": [1], "chunk_grid": {"name": "rectangular"}},
        {"zarr_format": 2, "shape": [4], "chunks": [4], "dtype": "|O"},
        {"zarr_format": 2, "shape": [4], "chunks": [4], "dtype": "<c16"},
        {"zarr_format": 2, "shape": "4", "chunks": None, "dtype": "<u2"},
    ],
)
def test_arrays_that_cannot_be_read(document: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"where/(\.zarray|zarr\.json): not a zarr array that can be read"):
        parse_array(document, source="where")


V2: dict[str, Any] = {
    "zarr_format": 2, "shape": [16, 16], "chunks": [8, 8], "dtype": "|u1", "compressor": None, "fill_value": 0,
    "order": "C", "filters": None,
}  # fmt: skip
V3: dict[str, Any] = {
    "zarr_format": 3, "node_type": "array", "shape": [16, 16], "data_type": "uint8", "fill_value": 0, "attributes": {},
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [8, 8]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "codecs": [{"name": "sharding_indexed", "configuration": {
        "chunk_shape": [4, 4], "codecs": [{"name": "bytes"}],
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]}}],
}  # fmt: skip
SIZES: list[Any] = [
    [0, 8], [-8, 8], [8], [8, 8, 8], [2.5, 8], [2**63, 8], [10**400, 8], ["8", 8], [None, 8], [True, 8], "88", None, 8,
    {}, [[8], 8],
]  # fmt: skip


def changed(document: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Return ``document`` with another value at ``path``."""
    document = copy.deepcopy(document)
    inner: Any = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return document


@pytest.mark.parametrize("value", SIZES, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize(
    ("document", "path", "where"),
    [
        (V2, ("shape",), r"s/\.zarray"),
        (V2, ("chunks",), r"s/\.zarray"),
        (V3, ("shape",), r"s/zarr\.json"),
        (V3, ("chunk_grid", "configuration", "chunk_shape"), r"s/zarr\.json"),
        (V3, ("codecs", 0, "configuration", "chunk_shape"), r"s/zarr\.json"),
    ],
)
def test_sizes_that_cannot_be_are_named(document: Any, path: tuple[Any, ...], where: str, value: Any) -> None:
    parse_array(document, source="s")
    with pytest.raises(InputError, match=rf"{where}: .*({path[-1]} is|chunks? is|chunk_shape is)"):
        parse_array(changed(document, path, value), source="s")


def test_chunks_divide_their_shard() -> None:
    with pytest.raises(InputError, match="does not divide"):
        parse_array(changed(V3, ("codecs", 0, "configuration", "chunk_shape"), [3, 4]), source="s")


FILLS: list[Any] = [
    0,
    1,
    255,
    256,
    -1,
    1.0,
    1.5,
    2**70,
    -1e308,
    True,
    "NaN",
    "Infinity",
    "0x7fc00000",
    "x",
    [],
    float("nan"),
]


@pytest.mark.parametrize("value", FILLS, ids=repr)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "bool"])
def test_a_fill_value_is_one_that_zarr_takes(dtype: str, value: Any) -> None:
    """What we take zarr takes too, and as the same number."""
    document = changed(changed(V3, ("data_type",), dtype), ("fill_value",), value)
    document["codecs"] = [{"name": "bytes", "configuration": {"endian": "little"}}]
    try:
        parse_array(document, source="s")
    except InputError as error:
        assert "fill_value is" in str(error)  # noqa: PT017 - most of them are fine
    else:
        theirs = ArrayV3Metadata.from_dict(document).fill_value
        if isinstance(value, int | float):
            np.testing.assert_equal(float(theirs), float(value))


ANYTHING = st.one_of(
    st.integers(), st.floats(), st.none(), st.booleans(), st.text(max_size=5), st.sampled_from([2**63, 10**400, []]),
    st.lists(st.integers(-1, 2**66), max_size=3),
)  # fmt: skip


def paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value inside ``value``."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [above, *(path for key, inner in inside for path in paths(inner, (*above, key)))]


@settings(max_examples=300)
@given(data=st.data())
def test_a_document_with_any_value_is_read_or_refused(data: st.DataObject) -> None:
    document = data.draw(st.sampled_from([V2, V3, IMAGE]))
    broken = changed(document, data.draw(st.sampled_from(paths(document)[1:])), data.draw(ANYTHING))
    with suppress(InputError):
        parse_image(broken, source="s") if document is IMAGE else parse_array(broken, source="s")
