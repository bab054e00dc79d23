"""Options are checked at the door."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigimg
from bigimg.errors import UsageError
from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import RGB, ImageSpec, SpacingNote
from bigimg.planning.options import described, lengths, options

SPEC = ImageSpec((Axis("c", 3), Axis("y", 50), Axis("x", 60)), np.dtype("u1"), (1, 1, 1), channels=RGB)


def test_spacing_is_read_from_text_with_one_unit_for_all():
    spec = described(SPEC, options(spacing="y=0.5,x=0.25um"))
    assert [(a.spacing, a.unit) for a in spec.axes[1:]] == [(0.5, "micrometer"), (0.25, "micrometer")]


@pytest.mark.parametrize("text", ["y", "y=", "y=-1um", "q=3", "y=1..2", "y=0"])
def test_spacing_that_means_nothing_is_refused(text):
    with pytest.raises(UsageError, match="spacing"):
        options(spacing=text)


@pytest.mark.parametrize("spacing", ["y=0.5foo", {"y": (0.5, "foo")}])
def test_a_unit_that_ome_zarr_has_not_is_refused(spacing):
    with pytest.raises(UsageError, match="unit 'foo' is not in OME-Zarr: did you mean foot"):
        options(spacing=spacing)


def test_what_a_file_does_not_say_is_not_said_beside_what_a_user_says():
    """A note on the spacing along an axis is moot where it is given; the others stay."""
    notes = ("turned", SpacingNote("unknown"), SpacingNote("assumed along y", "y"))
    spec = dataclasses.replace(SPEC, notes=notes)
    assert described(spec, options()).notes == notes
    assert described(spec, options(spacing={"y": (2, None)})).notes == notes[:2]
    assert described(spec, options(spacing=2)).notes == notes[:1]


def test_a_note_on_several_axes_names_those_that_are_left():
    both = SpacingNote.along("1 is assumed along", "yx")
    spec = dataclasses.replace(SPEC, notes=(both,))
    assert described(spec, options()).notes == ("1 is assumed along y and x",)
    assert described(spec, options(spacing={"y": (2, None)})).notes == ("1 is assumed along x",)
    assert described(spec, options(spacing=2)).notes == ()


def test_axes_left_in_pixels_beside_others_are_said():
    notes = described(SPEC, options(spacing="y=0.5mm")).notes
    assert notes == ("spacing is given along y in mm; along x it is in pixels: give it there too",)
    assert described(SPEC, options(spacing="y=0.5,x=2mm")).notes == ()
    assert described(SPEC, options(spacing="y=0.5")).notes == ()  # no unit, so none is mixed


@pytest.mark.parametrize(
    "asked",
    [
        {"codec": "gzip"},
        {"method": "cubic"},
        {"kind": "picture"},
        {"workers": 0},
        {"levels": 0},
        {"memory": "x"},
    ],
)
def test_unknown_values_are_refused(asked):
    with pytest.raises(UsageError):
        options(**asked)


def test_lengths_by_number_name_and_order():
    assert lengths(64, SPEC, "chunks") == (1, 64, 64)
    assert lengths({"y": 8, "x": 16}, SPEC, "chunks") == (1, 8, 16)
    assert lengths((3, 8, 16), SPEC, "chunks") == (3, 8, 16)
    assert lengths((8, 16), SPEC, "chunks") == lengths("8,16", SPEC, "chunks") == (1, 8, 16)
    with pytest.raises(UsageError, match="axes c y x: give one number for each, or for y x"):
        lengths((1, 1, 8, 16), SPEC, "chunks")
    with pytest.raises(UsageError, match="no axis 'z'"):
        lengths({"z": 8}, SPEC, "chunks")


def test_channels_are_renamed_and_keep_their_colours():
    spec = described(SPEC, options(channels=["a", "b", "c"]))
    assert [(c.name, c.color) for c in spec.channels] == [("a", "FF0000"), ("b", "00FF00"), ("c", "0000FF")]
    with pytest.raises(UsageError, match="channels: 2 for 3 channels; give one for each"):
        described(SPEC, options(channels=["a", "b"]))


@pytest.mark.parametrize("method", ["mean", "gaussian"])
def test_ids_are_not_averaged(method: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(100, dtype=np.uint16).reshape(10, 10))
    with pytest.raises(UsageError, match="would make ids that are none; use mode or nearest"):
        bigimg.plan(tmp_path / "a.npy", tmp_path / "a.zarr", kind="labels", method=method)


@pytest.mark.parametrize(
    ("halve", "says"),
    [
        ("t", "'t': only axes of space are halved"),
        ("cyx", "'c': only axes of space are halved"),
        ("w", "'w': there is no such axis"),
        ("yy", "each once"),
        ("", "give letters of z y x"),
        (["yx", "zz"], "halve='zz': give letters"),
        (5, "halve=5: no text; give letters of z y x"),
        (["yx", None], "halve=None: no text"),
        ([("y", "x")], "no text"),
    ],
)
def test_axes_that_are_never_halved_are_refused_by_name(halve, says):
    with pytest.raises(UsageError, match=says):
        options(halve=halve)


def test_an_axis_that_is_not_there_is_not_halved():
    assert options(halve="yx").halve == ("yx",)
    assert described(SPEC, options(halve="yx")).axes == SPEC.axes
    with pytest.raises(UsageError, match=r"halve='zyx': no axis 'z' in an image with axes c y x"):
        described(SPEC, options(halve="zyx"))


@pytest.mark.parametrize("names", [[5], ["a", None], [b"a"], [["a"]]])
def test_names_of_channels_are_texts(names: Any) -> None:
    with pytest.raises(UsageError, match=r"channels: .* is no name; give a text for each channel"):
        options(channels=names)
