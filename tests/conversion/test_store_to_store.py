"""Stores of every version, ours and others', to other chunks, shards, codecs and versions: pixels and meaning stay.

Pixels are numpy's; what a store says is read as JSON by zarr-python.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import bigimg
from bigimg.faces.convert import convert_to_store
from tests.conversion.sources import noise

ASKED: dict[str, Any] = {"memory": "2GB", "progress": False}
SHAPES = {
    "tczyx": (2, 2, 5, 37, 43),
    "tyx": (3, 37, 43),
    "cyx": (2, 37, 43),
    "zyx": (5, 37, 43),
    "tcyx": (2, 3, 37, 43),
}
SPACING = {"t": 1.5, "c": 1.0, "z": 2.0, "y": 0.5, "x": 0.25}
ORIGIN = {"t": 3.0, "c": 0.0, "z": -4.0, "y": 10.0, "x": 0.0}
UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
TYPES = {"t": "time", "c": "channel"}
WINDOWS = [(5, 700), (9, 80), (1, 2)]
TARGETS: list[dict[str, Any]] = [
    {"ome_version": "0.5", "chunks": {"y": 7, "x": 11}, "shards": {"y": 21, "x": 33}, "codec": "zstd"},
    {"ome_version": "0.4", "chunks": {"z": 2, "y": 16, "x": 64}, "codec": "none"},
    {"ome_version": "0.6", "chunks": 32, "shards": 64},
]
"""Chunks that divide neither the image nor those of the sources."""


def ours(path: Path, dims: str, version: str) -> np.ndarray[Any, Any]:
    pixels = noise(SHAPES[dims], "u2")
    img = bigimg.from_array(
        pixels, dims=dims, channels=["DAPI", "GFP", "RFP"][: SHAPES[dims][dims.index("c")]] if "c" in dims else None,
        spacing={name: SPACING[name] for name in dims if name in "zyx"}, unit="um",
    )  # fmt: skip
    img = bigimg.with_geometry(img, origin={name: ORIGIN[name] for name in dims if name in "zyx"})
    if "t" in dims:
        times = ORIGIN["t"] + SPACING["t"] * np.arange(SHAPES[dims][0])
        img = img.assign_coords(t=("t", times, {"units": "second"}))
    bigimg.write(img, path, chunks=10, ome_version=version, **ASKED)
    if "c" in dims:
        bigimg.edit(path, window=dict(enumerate(WINDOWS[: img.sizes["c"]])))
    return pixels


def theirs(path: Path, dims: str, version: str) -> np.ndarray[Any, Any]:
    """What zarr-python writes, with the metadata of the specification."""
    pixels = noise(SHAPES[dims], "u2")
    group = zarr.create_group(path, zarr_format=2 if version == "0.4" else 3)
    sharded = {"chunk_key_encoding": {"name": "v2", "separator": "."}} if version == "0.4" else {
        "shards": tuple(min(2 * n, 24) for n in (1,) * (len(dims) - 2) + (12, 12))
    }  # fmt: skip
    group.create_array("s0", data=pixels, chunks=(*(1,) * (len(dims) - 2), 12, 12), **sharded)
    group.create_array("s1", data=pixels[..., ::2, ::2], chunks=(*(1,) * (len(dims) - 2), 12, 12))
    axes = [
        {"name": n, "type": TYPES.get(n, "space")} | ({"unit": UNITS[n]} if n in UNITS else {}) for n in dims
    ]
    datasets = []
    for name, factor in (("s0", 1), ("s1", 2)):
        scale = [SPACING[n] * (factor if n in "yx" else 1) for n in dims]
        steps: list[dict[str, Any]] = [
            {"type": "scale", "scale": scale}, {"type": "translation", "translation": [ORIGIN[n] for n in dims]}
        ]  # fmt: skip
        if version == "0.6":
            ends = {"input": {"path": name}, "output": {"name": "physical"}}
            steps = [{"type": "sequence", "transformations": steps, **ends}]
        datasets.append({"path": name, "coordinateTransformations": steps})
    multiscale: dict[str, Any] = {"name": "theirs", "datasets": datasets}
    multiscale |= (
        {"coordinateSystems": [{"name": "physical", "axes": axes}]} if version == "0.6" else {"axes": axes}
    )
    ome: dict[str, Any] = {"multiscales": [multiscale]}
    if "c" in dims:
        names = ["DAPI", "GFP", "RFP"][: SHAPES[dims][dims.index("c")]]
        ome["omero"] = {"channels": [
            {"label": name, "color": "0000FF", "active": i == 1,
             "window": {"start": a, "end": b, "min": 0, "max": 4095}}
            for i, (name, (a, b)) in enumerate(zip(names, WINDOWS, strict=False))
        ]}  # fmt: skip
    if version == "0.4":
        multiscale["version"] = version
        group.attrs.update(ome)
    else:
        group.attrs["ome"] = {"version": version, **ome}
    return pixels


def said(path: Path) -> dict[str, Any]:
    attributes = zarr.open_group(path, mode="r").attrs.asdict()
    found: dict[str, Any] = attributes.get("ome", attributes)
    return found


CASES = [
    (who, version, dims, TARGETS[i % 3])
    for i, ((who, version), dims) in enumerate(
        itertools.product(itertools.product((ours, theirs), ("0.4", "0.5", "0.6")), SHAPES)
    )
]


@pytest.mark.parametrize(
    ("make", "version", "dims", "asked"),
    CASES,
    ids=[f"{w.__name__}-{v}-{d}-to-{a['ome_version']}" for w, v, d, a in CASES],
)
def test_pixels_and_meaning_stay(
    make: Any, version: str, dims: str, asked: dict[str, Any], tmp_path: Path
) -> None:
    pixels = make(tmp_path / "a.zarr", dims, version)
    asked = {k: {n: v[n] for n in v if n in dims} if isinstance(v, dict) else v for k, v in asked.items()}
    result = convert_to_store(tmp_path / "a.zarr", tmp_path / "b.ome.zarr", **asked, **ASKED)
    np.testing.assert_array_equal(zarr.open_group(tmp_path / "b.ome.zarr", mode="r")["0"][...], pixels)
    assert bigimg.verify(tmp_path / "b.ome.zarr", tmp_path / "a.zarr").ok
    found = bigimg.open(tmp_path / "b.ome.zarr")
    assert "".join(found.dims) == dims
    for name in dims:
        if name != "c":
            expected = ORIGIN[name] + SPACING[name] * np.arange(found.sizes[name])
            np.testing.assert_allclose(found[name], expected, rtol=1e-12)
    assert found.bigimg.units == {name: UNITS[name] for name in dims if name in UNITS}
    counts = (
        np.moveaxis(pixels, dims.index("c"), 0).reshape(SHAPES[dims][dims.index("c")], -1)
        if "c" in dims
        else [pixels]
    )
    entries: Any = result.statistics["channels"]
    assert [entry["sum"] for entry in entries] == [int(np.sum(each, dtype=np.int64)) for each in counts]
    if "c" in dims:
        channels = said(tmp_path / "b.ome.zarr")["omero"]["channels"]
        assert [c["label"] for c in channels] == ["DAPI", "GFP", "RFP"][: len(channels)]
        assert [(c["window"]["start"], c["window"]["end"]) for c in channels] == WINDOWS[: len(channels)]
        if make is theirs:
            assert [(c["active"], c["color"]) for c in channels] == [
                (i == 1, "0000FF") for i in range(len(channels))
            ]
    assert any("levels are not copied" in note for note in result.plan.notes)


def test_what_does_not_go_along_is_said(tmp_path: Path) -> None:
    theirs(tmp_path / "a.zarr", "zyx", "0.6")
    root = zarr.open_group(tmp_path / "a.zarr", mode="r+")
    root.attrs["stain"] = "H33342"
    root.create_group("tables").create_group("regions")
    ome = dict(root.attrs["ome"])
    multiscale = dict(ome["multiscales"][0])
    axes = multiscale["coordinateSystems"][0]["axes"]
    axes[0]["orientation"] = {"type": "anatomical", "value": "inferior-to-superior"}
    systems = [*multiscale["coordinateSystems"], {"name": "stage", "axes": axes}]
    between = {
        "type": "scale",
        "scale": [1, 2, 3],
        "input": {"name": "physical"},
        "output": {"name": "stage"},
    }
    multiscale |= {"coordinateSystems": systems, "coordinateTransformations": [between]}
    root.attrs["ome"] = {**ome, "multiscales": [multiscale]}
    (tmp_path / "a.zarr/OME").mkdir()
    (tmp_path / "a.zarr/OME/METADATA.ome.xml").write_text("<OME/>")
    plan = bigimg.plan(tmp_path / "a.zarr", tmp_path / "b", probe=False)
    assert set(plan.notes) >= {
        "its 2 levels are not copied: they are made anew from level 0, by mean",
        "OME/METADATA.ome.xml is not converted",
        "other arrays and groups in the store are not converted: tables",
        "attributes that OME-Zarr does not know are not converted: stain",
        "transformations between its coordinate systems are not used",
        "the orientation of its axes is not used",
    }
    result = convert_to_store(tmp_path / "a.zarr", tmp_path / "b", **ASKED)
    assert set(plan.notes) <= {*result.to_dict()["notes"]}


def test_of_a_collection_the_other_images_are_named(tmp_path: Path) -> None:
    root = zarr.create_group(tmp_path / "a.zarr", zarr_format=3)
    root.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    first = theirs(tmp_path / "a.zarr/0", "zyx", "0.5")
    theirs(tmp_path / "a.zarr/1", "tyx", "0.5")
    result = convert_to_store(tmp_path / "a.zarr", tmp_path / "b", **ASKED)
    np.testing.assert_array_equal(zarr.open_group(tmp_path / "b", mode="r")["0"][...], first)
    assert any(note.startswith("one of 2 images in the store: 0, 1; ") for note in result.to_dict()["notes"])
    convert_to_store(tmp_path / "a.zarr", tmp_path / "c", series=1, **ASKED)
    assert bigimg.open(tmp_path / "c").dims == ("t", "y", "x")


def test_the_one_channel_of_an_image_without_the_axis_keeps_name_and_colour(tmp_path: Path) -> None:
    theirs(tmp_path / "a.zarr", "zyx", "0.5")
    root = zarr.open_group(tmp_path / "a.zarr", mode="r+")
    window = {"start": 3, "end": 90, "min": 0, "max": 255}
    omero = {"channels": [{"label": "DAPI", "color": "0000FF", "window": window}]}
    root.attrs["ome"] = {**root.attrs["ome"], "omero": omero}
    convert_to_store(tmp_path / "a.zarr", tmp_path / "b", **ASKED)
    (channel,) = said(tmp_path / "b")["omero"]["channels"]
    assert (channel["label"], channel["color"]) == ("DAPI", "0000FF")
    assert (channel["window"]["start"], channel["window"]["end"]) == (3, 90)
    assert json.loads((tmp_path / "b/zarr.json").read_text())["attributes"]["bigimg"]["channels"] == [
        ["DAPI", "0000FF"]
    ]
