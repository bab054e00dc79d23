"""Spacing and numbers of pixels are written in one way, and each face of bigimg understands all of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigimg
from bigimg.errors import UsageError
from bigimg.geometry.lengths import PIXELS, SPACING, agreed_units, read_lengths, read_pixels
from tests.cli.test_cli import called

MM, UM, S = "millimeter", "micrometer", "second"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (0.5, {"z": (0.5, None), "y": (0.5, None), "x": (0.5, None)}),
        ("1um", {"z": (1, UM), "y": (1, UM), "x": (1, UM)}),
        ((7, "mm"), {"z": (7, MM), "y": (7, MM), "x": (7, MM)}),
        (np.float32(2), {"z": (2, None), "y": (2, None), "x": (2, None)}),
        ("2,0.5,0.5um", {"z": (2, UM), "y": (0.5, UM), "x": (0.5, UM)}),
        ("2mm, 5e-1, .5 µm", {"z": (2, MM), "y": (0.5, UM), "x": (0.5, UM)}),
        ((2, 0.5, 0.25), {"z": (2, None), "y": (0.5, None), "x": (0.25, None)}),
        (np.array([2, 0.5, 0.25]), {"z": (2, None), "y": (0.5, None), "x": (0.25, None)}),
        (["2mm", 0.5, (0.25, "um")], {"z": (2, MM), "y": (0.5, None), "x": (0.25, UM)}),
        ("z=7mm", {"z": (7, MM)}),
        ("z=2,y=0.5,x=0.25um", {"z": (2, UM), "y": (0.5, UM), "x": (0.25, UM)}),
        ("z=2, t=3s, y=0.5um", {"z": (2, UM), "t": (3, S), "y": (0.5, UM)}),  # a time is no unit of z
        ("t=3,z=2um", {"t": (3, None), "z": (2, UM)}),
        ({"z": (7, "mm"), "y": "0.5um", "x": 2}, {"z": (7, MM), "y": (0.5, UM), "x": (2, None)}),
        ({"z": [7, "mm"], "t": (2, None)}, {"z": (7, MM), "t": (2, None)}),
        ({"z": -2.0}, {"z": (-2, None)}),
        ((2, "0.5um", "1"), {"z": (2, None), "y": (0.5, UM), "x": (1, None)}),
        ("z=-2", {"z": (-2, None)}),
        (None, {}),
    ],
)  # fmt: skip
def test_lengths(given: Any, found: dict[str, tuple[float, str | None]]) -> None:
    assert read_lengths(given).distances(backwards=True).by_axis("tzyx") == found
    assert read_lengths(read_lengths(given)).by_axis("tzyx") == found


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("", "is not understood; write 0.5um, or 2,0.5,0.5um for z y x, or z=7mm,y=0.5um"),
        ("z=", "write 0.5um"), ("much", "'much' is not understood; write"), ("1..2", "write"), ("0x10", "write"),
        ("2,y=1", "each length has one name"), ("y=1,y=2", "each length has one name"), ("q=2", "'q' is no axis"),
        ("1,2", "2 numbers for the axes z y x"), ((1, 2, 3, 4), "4 numbers for the axes z y x.*write 0.5um"),
        ("1foo", "unit 'foo' is not in OME-Zarr"), (True, "write"), ([None], "write"), ({"z": None}, "write"),
        (10**400, "write 0.5um"), ({"z": 10**400}, "write"), ([1, -(10**400), 1], "write"),
        (object(), "write 0.5um"), ((1, (2, 3), 4), "write"),
        ("z=2s", "spacing in second along z: an axis z has lengths of space"), ("t=2mm", "an axis t has times"),
        ("c=2", "names axis 'c', but the axes are t z y x; write 0.5um"),
        (0, "it must be finite and not 0; write"), (float("nan"), "must be finite"), ("z=0", "along z: it must"),
        (-1, "a distance is above zero; an axis that runs backwards is named, as z=-2"), ((1, -1, 1), "above zero"),
    ],
)  # fmt: skip
def test_refused_with_examples(given: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read_lengths(given).distances(backwards=True).by_axis("tczyx")


def test_the_units_of_an_axis_agree() -> None:
    steps = read_lengths("y=1mm,x=2").by_axis("yx")
    assert agreed_units({"x": UM, "t": S}, spacing=steps) == {"x": UM, "y": MM, "t": S}
    with pytest.raises(UsageError, match="spacing along y is in millimeter, and micrometer is given too"):
        agreed_units({"y": UM}, spacing=steps)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("64", 64), ("-1", -1), (" 8, 64,64", (8, 64, 64)), ("y=512,x=512", {"y": 512, "x": 512}), (64, 64),
        ((8, "64"), (8, 64)), ({"y": "8", "x": 9}, {"y": 8, "x": 9}), ((8, 9), (8, 9)),
    ],
)  # fmt: skip
def test_pixels(given: Any, found: Any) -> None:
    assert read_pixels(given, "chunks") == found


@pytest.mark.parametrize(
    "given",
    [
        "",
        "9" * 5000,
        {"y": "9" * 19},
        "many",
        "6.5",
        "64um",
        "y=,x=2",
        "8,y=2",
        "y=2,y=3",
        {"z": (7, "mm")},
        ("a", 2),
    ],
)
def test_pixels_refused_with_examples(given: Any) -> None:
    with pytest.raises(
        UsageError, match=r"chunks=.*: give whole numbers of pixels; write 64, or 8,64,64 for z y x"
    ):
        read_pixels(given, "chunks")


WAYS: list[tuple[Any, Any]] = [
    ("z=7mm,y=0.5,x=0.5um", {"z": (7, "mm"), "y": "0.5um", "x": (0.5, "um")}),
    ("2um", (2, "um")),
    ("3,2,1mm", ("3mm", "2mm", "1mm")),
]


@pytest.mark.parametrize(("text", "value"), WAYS)
def test_spacing_is_the_same_in_every_face(text: str, value: Any, tmp_path: Path) -> None:
    """Python and the command line, arrays and files: what numpy's shape cannot say is said in one way."""
    pixels = np.zeros((4, 6, 8), np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    expected = bigimg.from_array(pixels, spacing=value).bigimg
    for given in (text, value):
        for img in (
            bigimg.from_array(pixels, spacing=given),
            bigimg.with_geometry(pixels, spacing=given),
        ):
            assert (img.bigimg.spacing, img.bigimg.units) == (expected.spacing, expected.units)
        plan = bigimg.plan(tmp_path / "a.npy", tmp_path / "b.ome.zarr", spacing=given, probe=False)
        assert {axis.name: (axis.spacing, axis.unit) for axis in plan.spec.axes} == {
            name: (step, expected.units[name]) for name, step in expected.spacing.items()
        }
    printed = called("plan", tmp_path / "a.npy", tmp_path / "b.ome.zarr", "--spacing", text, "--json").stdout
    assert json.loads(printed)["levels"][0]["spacing"] == list(expected.spacing.values())


def test_pixels_are_the_same_in_every_face(tmp_path: Path) -> None:
    pixels = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60)
    np.save(tmp_path / "a.npy", pixels)
    for given in (16, "16", (16, 16), "16,16", "y=16,x=16", {"y": 16, "x": "16"}):
        assert bigimg.open(tmp_path / "a.npy", chunks=given).chunks[0][0] == 16
        plan = bigimg.plan(tmp_path / "a.npy", tmp_path / "b.ome.zarr", chunks=given, probe=False)
        assert plan.levels[0].chunk == (16, 16)
        assert bigimg.patches(pixels, given)[0].shape == (16, 16)
        assert bigimg.downsample(pixels, given).shape == (3, 4)
    for option in ("16", "16,16", "y=16,x=16"):
        called(
            "convert", tmp_path / "a.npy", tmp_path / "b.ome.zarr", "--chunks", option, "-q", "--overwrite"
        )
        assert bigimg.open(tmp_path / "b.ome.zarr").bigimg.to_numpy().shape == (40, 60)
    whole = bigimg.plan(
        tmp_path / "a.npy", tmp_path / "c.ome.zarr", chunks="y=16,x=-1", shards=-1, probe=False
    )
    assert (whole.levels[0].chunk, whole.levels[0].shard) == ((16, 60), (48, 60))


def test_a_spacing_to_reach_has_a_unit_of_its_own() -> None:
    img = bigimg.from_array(np.zeros((40, 60)), spacing="0.5um")
    for given in (2, "2um", "2000nm", (0.002, "mm"), "2,2um"):
        assert bigimg.downsample(img, to_spacing=given).shape == (10, 15)
    assert bigimg.downsample(img, to_spacing="y=2um").shape == (10, 60)


def test_one_text_of_help_and_of_messages() -> None:
    """Whoever asks for a spacing or for pixels shows the same examples."""
    for verb in ("plan", "convert"):
        said = " ".join(called(verb, "--help").stdout.split())
        assert SPACING in said
        assert PIXELS in said
    assert SPACING in " ".join(called("downsample", "--help").stdout.split())
    for function in (bigimg.plan, bigimg.from_array, bigimg.with_geometry, bigimg.downsample):
        assert '{"z": (7, "mm")}' in str(function.__doc__)
    for function in (bigimg.plan, bigimg.open):
        assert '"y=512,x=512"' in str(function.__doc__)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ((2, "0.5um"), ((2, None), (0.5, UM))),
        ((2, "0.5"), ((2, None), (0.5, None))),
        ((2, "um"), ((2, UM), (2, UM))),
    ],
)
def test_two_lengths_or_one_with_its_unit(given: Any, found: Any) -> None:
    assert read_lengths(given).by_axis("yx") == dict(zip("yx", found, strict=True))
