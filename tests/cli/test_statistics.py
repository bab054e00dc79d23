"""The verbs that answer with numbers, against numpy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import bigimg
from bigimg.cli import cli
from bigimg.errors import UsageError


def run(*args: object) -> str:
    done = CliRunner().invoke(cli, [str(arg) for arg in args], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (70, 90, 3), np.uint8)


@pytest.fixture
def store(pixels: np.ndarray, tmp_path: Path) -> Path:
    np.save(tmp_path / "a.npy", pixels)
    run("convert", "-q", tmp_path / "a.npy", tmp_path / "a.ome.zarr")
    return tmp_path / "a.ome.zarr"


def test_histogram(store: Path, pixels: np.ndarray) -> None:
    found = json.loads(run("histogram", store, "--bins", 5, "--range", "0,250", "--json"))
    assert found["edges"] == [0, 50, 100, 150, 200, 250]
    for i, channel in enumerate(found["channels"]):
        assert channel["name"] == "RGB"[i]
        assert channel["counts"] == np.histogram(pixels[..., i], 5, (0, 250))[0].tolist()
    lines = run("histogram", store, "--bins", 4).splitlines()  # no bars in a pipe
    assert lines[0].split() == ["from", "to", "R", "G", "B"]
    assert len(lines) == 5


def test_bars_for_a_terminal(store: Path) -> None:
    from bigimg.ops.statistics.tables import histogram_table

    lines = histogram_table(store, bins=40).sparklines(22).splitlines()
    assert [line[0] for line in lines] == ["R", "G", "B"]
    assert all(len(line) == 22 for line in lines)


def test_a_plot(store: Path, tmp_path: Path) -> None:
    run("histogram", store, "--plot", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_mask_fraction_and_stats(store: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    said = json.loads(run("mask", store, tmp_path / "m.ome.zarr", "--below", "R=50,G=60,B=70.5", "--json"))
    want = pixels < np.array([50, 60, 71])
    np.testing.assert_array_equal(bigimg.open(tmp_path / "m.ome.zarr").values, want.transpose(2, 0, 1))
    assert [c["true"] for c in said["channels"]] == want.sum((0, 1)).tolist()
    found = json.loads(run("fraction", tmp_path / "m.ome.zarr", "--json"))
    assert [c["fraction"] for c in found["channels"]] == want.mean((0, 1)).tolist()
    again = json.loads(run("fraction", store, "--below", "50,60,70.5", "--json"))
    assert again["channels"] == found["channels"]
    chosen = json.loads(run("stats", store, "--where", tmp_path / "m.ome.zarr", "--json"))
    assert [c["sum"] for c in chosen["channels"]] == (pixels * want).sum((0, 1), dtype=int).tolist()
    assert [c["saturated"] for c in chosen["channels"]] == [0, 0, 0]


def test_a_label_in_its_store(store: Path) -> None:
    run("mask", store, store / "labels" / "bright", "--otsu", "-q")
    assert bigimg.info(store).labels == ("bright",)
    assert bigimg.verify(store).ok
    assert "intact" in str(bigimg.verify(store / "labels" / "bright"))


def test_one_channel_by_name(store: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    found = json.loads(run("fraction", store, "--above", "G=60", "--json"))
    assert [(c["name"], c["fraction"]) for c in found["channels"]] == [("G", (pixels[..., 1] > 60).mean())]
    shutil.copytree(store, tmp_path / "own.ome.zarr")
    run("mask", store, tmp_path / "own.ome.zarr" / "labels" / "green", "--above", "G=60", "-q")
    green = bigimg.open(tmp_path / "own.ome.zarr/labels/green")
    np.testing.assert_array_equal(green.values != 0, pixels[..., 1] > 60)


def test_each_level(store: Path) -> None:
    found = json.loads(run("fraction", store, "--above", 100, "--levels", "--json"))
    assert [c["level"] for c in found["channels"]] == [0, 0, 0]
    lines = run("fraction", store, "--above", 100).splitlines()
    assert lines[0].split() == ["channel", "fraction", "area", "(pixel^2)"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--below", "Q=1"], "no channel 'Q'"),
        (
            [],
            r"not true and false: say what is, by --below, --above, --between, --equals, --otsu or --below-otsu$",
        ),
        (["--below", "1,2"], "2 thresholds"),
        (["--between", "9,3"], r"--between 9,3: give two numbers, the smaller first$"),
    ],
)
def test_conditions_that_do_not_fit(store: Path, words: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        run("fraction", store, *words)


def test_words_that_are_no_numbers(store: Path) -> None:
    for words in (["--below", "many"], ["--between", "1"]):
        done = CliRunner().invoke(cli, ["fraction", str(store), *words])
        assert done.exit_code == 2


def test_the_other_half_of_otsu_and_one_mask_of_all_channels(
    store: Path, pixels: np.ndarray, tmp_path: Path
) -> None:
    from skimage.filters import threshold_otsu

    limits = np.array([threshold_otsu(pixels[..., c]) for c in range(3)])
    found = json.loads(run("fraction", store, "--below-otsu", "--json"))
    assert [c["fraction"] for c in found["channels"]] == (pixels <= limits).mean((0, 1)).tolist()
    run("mask", store, tmp_path / "any.ome.zarr", "--below", "R=20,G=30,B=9", "--any", "-q")
    want = (pixels < [20, 30, 9]).any(axis=2)
    np.testing.assert_array_equal(bigimg.open(tmp_path / "any.ome.zarr").values, want)
    run("mask", store, tmp_path / "each.ome.zarr", "--below", "R=20,G=30,B=9", "-q")
    (row,) = json.loads(run("fraction", tmp_path / "each.ome.zarr", "--any", "--json"))["channels"]
    assert row["fraction"] == want.mean()
    grey = np.rint(pixels @ np.array([0.2125, 0.7154, 0.0721]))
    run("mask", store, store / "labels" / "dark", "--gray", "luma", "--below", 60, "-q")
    np.testing.assert_array_equal(bigimg.open(store / "labels/dark").values != 0, grey < 60)
    (row,) = json.loads(run("fraction", store, "--gray", "mean", "--below-otsu", "--json"))["channels"]
    mean = np.rint(pixels.mean(axis=2)).astype(np.uint8)
    assert row["fraction"] == (mean <= threshold_otsu(mean)).mean()
    for words, says in ((["--otsu", "--below-otsu"], "two halves"), (["--any"], "give --below, --above")):
        with pytest.raises(UsageError, match=says):
            run("mask", store, tmp_path / "no.ome.zarr", *words)


def test_volumes_in_millilitres(tmp_path: Path) -> None:
    import nibabel

    volume = np.random.default_rng(0).integers(0, 100, (9, 20, 30), np.int16)
    source = tmp_path / "a.nii"
    made = nibabel.Nifti1Image(volume, np.diag([2.0, 1.5, 4.0, 1]))
    made.header.set_xyzt_units("mm")
    made.to_filename(source)
    wanted = (volume > 60).sum() * np.prod(nibabel.load(source).header.get_zooms()) / 1000
    said = json.loads(run("mask", source, tmp_path / "m.ome.zarr", "--above", 60, "--json"))
    (row,) = json.loads(run("fraction", tmp_path / "m.ome.zarr", "--json"))["channels"]
    (counted,) = json.loads(run("stats", source, "--where", tmp_path / "m.ome.zarr", "--json"))["channels"]
    for found in (said["channels"][0], row, counted):
        assert found["milliliters"] == pytest.approx(wanted, rel=1e-6)
    assert row["area"] == pytest.approx(1000 * wanted, rel=1e-6)
    assert run("fraction", source, "--above", 60).split()[-1] == f"{wanted:.6g}"
    assert "mL" in run("stats", source, "--where", tmp_path / "m.ome.zarr").splitlines()[0]
    assert "mL" not in run("stats", source)
    for spacing in ("2", "2um"):  # without units, and cells
        img = bigimg.with_geometry(volume, spacing=spacing) > 60
        bigimg.write(img, tmp_path / "d.ome.zarr", kind="mask", overwrite=True)
        assert (
            json.loads(run("fraction", tmp_path / "d.ome.zarr", "--json"))["channels"][0]["milliliters"]
            is None
        )


@pytest.mark.parametrize("times", [1, 3])
def test_volumes_of_several_times_are_not_added_up(times: int, tmp_path: Path) -> None:
    import nibabel

    volume = np.random.default_rng(0).integers(0, 100, (6, 7, 8, times), np.int16)
    made = nibabel.Nifti1Image(volume, np.diag([2.0, 2.0, 2.0, 1]))
    made.header.set_xyzt_units("mm", "sec")
    made.to_filename(tmp_path / "a.nii")
    mask = tmp_path / "m.ome.zarr"
    wanted = pytest.approx((volume > 60).sum() * 8 / 1000) if times == 1 else None
    written = json.loads(run("mask", tmp_path / "a.nii", mask, "--above", 60, "--json"))
    fraction = json.loads(run("fraction", tmp_path / "a.nii", "--above", 60, "--json"))
    counted = json.loads(run("stats", tmp_path / "a.nii", "--where", mask, "--json"))
    for found in (written, fraction, counted):
        assert found["channels"][0]["milliliters"] == wanted
    assert fraction["channels"][0]["fraction"] == pytest.approx((volume > 60).mean())
