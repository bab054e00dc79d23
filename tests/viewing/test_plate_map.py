"""The montage of a plate: each well at its place, all in one window, what is empty is said."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import bigimg
from bigimg.errors import BudgetError, IntegrityError, UsageError
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


def test_napari_shows_the_wells_side_by_side(plate: Path) -> None:
    from bigimg.viewing.napari.layers import layers_of

    for source in (str(plate), bigimg.open_plate(plate)):
        (data, options, kind), (corners, names, points) = layers_of(source)
        assert (kind, options["name"], options["metadata"]["bigimg"]["wells"]) == (
            "image", "screen", ["A/1", "A/2", "B/1", "B/3"],
        )  # fmt: skip
    step = np.array(data.shape) // (2, 3)
    assert (points, names["features"]) == ("points", {"well": ["A/1", "A/2", "B/1", "B/3"]})
    np.testing.assert_array_equal(corners, np.array([(0, 0), (0, 1), (1, 0), (1, 2)]) * step)
    assert (step >= (300, 200)).all()
    whole = np.asarray(data)
    for well, value in BRIGHT.items():
        y, x = step * ("AB".index(well[0]), int(well[1]) - 1)
        cell = whole[y : y + step[0], x : x + step[1]]
        assert (cell[:300, :200] == value).all()
        assert not cell[300:].any()
        assert not cell[:, 200:].any()
        np.testing.assert_array_equal(data[y + 10 : y + 310, x + 20 :], whole[y + 10 : y + 310, x + 20 :])
    assert not whole[: step[0], 2 * step[1] :].any()  # there is no A3
    with pytest.raises(UsageError, match="levels='nonsense': a stored plate has levels; leave it out"):
        layers_of(str(plate), levels="nonsense")  # type: ignore[arg-type]
    assert layers_of(str(plate / "A/2/0"))
    assert layers_of(str(plate), series="A2/0")


def test_levels_of_a_plate_lie_over_one_another(tmp_path: Path) -> None:
    """Those that the fields have, and smaller ones; a field is opened when it is looked at."""
    from bigimg.geometry.region import full
    from bigimg.viewing import plate_mosaic
    from bigimg.viewing.plate_mosaic import plate_levels

    ramp = np.add.outer(np.arange(130), np.arange(170)).astype(np.float32)
    images = {
        f"{row}{column}": bigimg.from_array(np.stack([ramp, ramp + 1000 * i]), dims="cyx", spacing=(2, 3))
        for i, (row, column) in enumerate([("A", 1), ("A", 2), ("B", 1)])
    }
    bigimg.convert(images, tmp_path / "p.ome.zarr", chunks=64, **ASKED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plate_mosaic, "SIDE", 50)
        fields, levels = plate_levels(bigimg.open_plate(tmp_path / "p.ome.zarr"))
    assert list(fields.opened) == ["A/1"]
    assert [level.scale.times for level in levels] == [1, 1, 1, 2]
    steps = [level.scale.step for level in levels]
    assert [(steps[0][0] / y, steps[0][1] / x) for y, x in steps] == [(n, n) for n in (1, 2, 4, 8)]
    assert [[axis.spacing for axis in level.spec.axes[1:]] for level in levels][2] == [8, 12]
    for level, n in zip(levels, (1, 2, 4, 8), strict=True):
        y, x = level.scale.step
        found = level.read(full(level.spec.shape))
        means = ramp[:128, :168].reshape(128 // n, n, 168 // n, n).mean((1, 3))
        for i, (row, column) in enumerate([(0, 0), (0, 1), (1, 0)]):
            cell = found[:, row * y :, column * x :][:, : 128 // n, : 168 // n]
            np.testing.assert_allclose(cell, [means, means + 1000 * i], rtol=1e-5)
        assert not found[:, y:, x:].any()
        part = (slice(1, 2), slice(y // 2, y + 5), slice(3, x + 7))
        np.testing.assert_array_equal(level.read(part), found[part])


def test_levels_that_halve_one_axis_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bigimg.geometry.region import full
    from bigimg.viewing import plate_mosaic

    images = {"A1": bigimg.from_array(np.full((160, 80), 9, np.uint8), dims="yx")}
    bigimg.convert(images, tmp_path / "p.ome.zarr", chunks=64, halve="y", **ASKED)
    assert bigimg.open(tmp_path / "p.ome.zarr/A/1/0", level=1).shape == (80, 80)
    monkeypatch.setattr(plate_mosaic, "SIDE", 50)
    _, levels = plate_mosaic.plate_levels(bigimg.open_plate(tmp_path / "p.ome.zarr"))
    assert [level.spec.axes[0].spacing for level in levels] == [1, 2, 4]
    seen = [int(np.count_nonzero(level.read(full(level.spec.shape)))) for level in levels]
    assert seen == [160 * 80, 80 * 40, 40 * 20]


def test_a_damaged_well_is_drawn_as_stripes(plate: Path, tmp_path: Path) -> None:
    from bigimg.viewing.napari.layers import layers_of

    shutil.copytree(plate, tmp_path / "p")
    shutil.rmtree(tmp_path / "p/A/2/0/0")
    (data, _, _), _ = layers_of(str(tmp_path / "p"))
    with pytest.raises(IntegrityError, match="A/2"):
        np.asarray(data)
    told: list[str] = []
    data.tell = told.append
    found = data[:]
    step = np.array(data.shape) // (2, 3)
    assert "A/2" in told[0]
    assert found.mask[: step[0], step[1] : 2 * step[1]].all()
    assert not found.mask[:, : step[1]].any()
