"""The montage of a plate: each well at its place, all in one window, what is empty is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import bigimg
from bigimg.errors import BudgetError, InputError, UsageError
from tests.running import bigimg as command

BRIGHT = {"A1": 0, "A2": 100, "B1": 200, "B3": 50}
ASKED: dict[str, Any] = {"memory": "2GB", "progress": False}


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wells of one value each, and one that holds the whole range."""
    images: dict[Any, Any] = {
        (well, 0): np.full((300, 200), value, np.uint8) for well, value in BRIGHT.items()
    }
    images["B3", 1] = np.full((40, 40), 7, np.uint8)
    target = tmp_path_factory.mktemp("plate") / "screen.ome.zarr"
    bigimg.convert({key: bigimg.from_array(each, dims="yx") for key, each in images.items()}, target, **ASKED)
    return target


def canvas(figure: Figure) -> np.ndarray[Any, Any]:
    (axes,) = figure.axes
    return np.asarray(axes.images[0].get_array())


def drawn(source: Any, **options: Any) -> Figure:
    return bigimg.montage(source, figure=Figure(figsize=(6, 5)), **options)


def test_wells_lie_in_rows_and_columns(plate: Path) -> None:
    figure = drawn(plate, vmin=0, vmax=200)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "3"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["A", "B"]
    assert axes.get_xlabel() == "screen: 4 wells, 2 of 6 empty"
    pixels = canvas(figure)
    step = pixels.shape[0] // 2
    middles = {
        f"{row}{column + 1}": pixels["AB".index(row) * step + step // 2, column * step + step // 2]
        for row in "AB" for column in range(3)
    }  # fmt: skip
    for well, value in BRIGHT.items():
        assert middles[well] == pytest.approx(round(value / 200 * 255), abs=1), well
    assert (middles["A3"] == middles["B2"]).all()  # empty
    assert (middles["A3"] > 200).all()


def test_one_window_for_all_wells(plate: Path) -> None:
    """The darkest well is black and the brightest is white, whatever each of them alone would be."""
    pixels = canvas(drawn(bigimg.open_plate(plate)))
    step = pixels.shape[0] // 2
    assert pixels[step // 2, step // 2].tolist() == [0, 0, 0]
    assert pixels[step + step // 2, step // 2].tolist() == [255, 255, 255]


def test_a_field_that_few_wells_have(plate: Path) -> None:
    assert drawn(plate, series=1).axes[0].get_xlabel().endswith("1 well, 2 of 6 empty, 3 without field 1")
    with pytest.raises(UsageError, match="no well has the field 9"):
        drawn(plate, series=9)


def test_what_a_plate_has_not(plate: Path) -> None:
    with pytest.raises(UsageError, match="is a plate, of which n means nothing"):
        drawn(plate, n=4)
    with pytest.raises(BudgetError):
        drawn(plate, memory="30MB")


def test_command(plate: Path, tmp_path: Path) -> None:
    done = command(
        "montage", plate, tmp_path / "look.png", "--memory", "512MB", scratch=tmp_path, timeout=120
    )
    assert (done.code, done.out) == (0, "")
    assert (tmp_path / "look.png").read_bytes().startswith(b"\x89PNG")
    assert done.peak_bytes < 512e6
    done = command("info", plate, scratch=tmp_path)
    assert "4 wells" in done.out
    assert "--series A/1/0" in done.out


def test_napari_wants_one_field(plate: Path) -> None:
    from bigimg.viewing.napari.layers import layers_of

    with pytest.raises(InputError, match=r"a plate of 4 wells .*: name one field, as .*A/1/0"):
        layers_of(str(plate))
    assert layers_of(str(plate / "A/2/0"))
    assert layers_of(str(plate), series="A2/0")
