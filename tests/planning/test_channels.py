"""Names, colours and windows that a user gives when an image is converted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from click.testing import CliRunner

import bigimg
from bigimg.cli import cli
from bigimg.errors import UsageError

PIXELS = np.arange(2 * 60 * 80, dtype=np.uint16).reshape(2, 60, 80)


def omero(store: Path) -> list[Any]:
    """What any viewer reads of the channels."""
    found = json.loads((store / "zarr.json").read_text())["attributes"]["ome"]["omero"]["channels"]
    return [(each["label"], each["color"], each["window"]["start"], each["window"]["end"]) for each in found]


def test_the_command_writes_names_colours_and_windows(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", PIXELS)
    options = (
        "--axes cyx --channels DAPI,GFP --colors 0000ff,#00FF00 --window DAPI=100,4000 --window 1=5000,9000"
    )
    found = CliRunner().invoke(
        cli, ["convert", f"{tmp_path}/a.npy", f"{tmp_path}/a.ome.zarr", "-q", *options.split()]
    )
    assert found.exit_code == 0, found.output
    store = tmp_path / "a.ome.zarr"
    assert omero(store) == [("DAPI", "0000FF", 100.0, 4000.0), ("GFP", "00FF00", 5000.0, 9000.0)]
    assert list(bigimg.open(store)["color"].values) == ["0000FF", "00FF00"]
    edited = bigimg.edit(store, colors=["0000FF", "00FF00"], window={"DAPI": (100, 4000)})
    assert edited.changes == ()  # it is as an edit would have it


def test_other_channels_keep_the_window_of_their_pixels(tmp_path: Path) -> None:
    img = bigimg.from_array(PIXELS, dims="cyx")
    bigimg.write(img, tmp_path / "plain", progress=False)
    bigimg.write(img, tmp_path / "one", window={1: (0, 50)}, progress=False)
    bigimg.write(img, tmp_path / "all", window=(7, 50), colors=["FF00FF", "FFFF00"], progress=False)
    plain, one, every = (omero(tmp_path / name) for name in ("plain", "one", "all"))
    assert (one[0], one[1][2:]) == (plain[0], (0.0, 50.0))
    assert every == [("Channel 0", "FF00FF", 7.0, 50.0), ("Channel 1", "FFFF00", 7.0, 50.0)]
    again = bigimg.convert(tmp_path / "all", tmp_path / "again", window={"Channel 0": (1, 2)}, progress=False)
    assert again is not None
    assert omero(tmp_path / "again") == [("Channel 0", "FF00FF", 1.0, 2.0), every[1]]


def test_a_window_is_of_real_values(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    image.header.set_slope_inter(2, -1024)
    nibabel.save(image, tmp_path / "a.nii")
    bigimg.convert(tmp_path / "a.nii", tmp_path / "a", window=(-1000, -924), progress=False)
    assert omero(tmp_path / "a")[0][2:] == (12.0, 50.0)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"colors": ["green", "FF0000"]}, "colors: 'green' is no color; write six hexadecimal digits"),
        ({"channels": ["foo", "foo"]}, "channels: 'foo' occurs twice; give each channel a name of its own"),
        ({"colors": ["00FF00"]}, "colors: 1 for 2 channels; give one for each"),
        ({"window": (5, 5)}, r"window=\(5, 5\): give the values that are drawn black and white"),
        ({"window": {}}, "window={}: names no channel"),
        ({"window": {"Cy5": (0, 1)}}, "window: no channel 'Cy5'"),
        ({"window": (0, 1), "kind": "labels"}, "window: the pixels are labels, which have none"),
        ({"colors": ["00FF00", "FF0000"], "kind": "mask"}, "colors: the pixels are a mask's values, which have none"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_before_a_pixel_is_read(
    asked: dict[str, Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "a.npy", PIXELS)
    read: list[Any] = []
    monkeypatch.setattr("bigimg.conversion.run._Pass.sweep_all", lambda *given: read.append(given))
    with pytest.raises(UsageError, match=says):
        bigimg.convert(tmp_path / "a.npy", tmp_path / "a", axes="cyx", progress=False, **asked)
    assert not read
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
