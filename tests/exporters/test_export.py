"""What an export promises: one read, whole or absent, clear refusals, the same bytes for any budget."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image

import bigimg
from bigimg.cli import cli
from bigimg.errors import BudgetError, InputError, OutputError, TargetExistsError, UsageError
from bigimg.exporters import plan as planning
from bigimg.exporters import slabs as slicing
from bigimg.exporters.formats import EXPORTERS, find_exporter
from bigimg.reader import Access
from tests.conversion.sources import CountingReader
from tests.exporters.samples import PICTURE, VOLUME, labelled, pixels
from tests.exporters.test_round_trip import VOLUMES, owned
from tests.running import ended, start

ENDINGS = [ending for exporter in EXPORTERS for ending in exporter.extensions]


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Portions of some rows, so that small images have many."""
    for module in (planning, slicing):
        monkeypatch.setattr(module, "MOST_BYTES", 4096)


class Broken(CountingReader):
    """Breaks at the third read."""

    def read(self, region: tuple[slice, ...]) -> np.ndarray:
        if len(self.regions) == 2:
            raise InputError("a.src: ends at byte 17; fetch it again")
        return super().read(region)


# ------------------------------------------------------------------------------------------------------- one read


@pytest.mark.parametrize("ending", [*VOLUMES])
def test_each_chunk_of_the_source_is_read_once(ending: str, tmp_path: Path, small_portions: None) -> None:
    """Straight where it can be, else through scratch; 16-row tiles do not divide chunks of 20 rows."""
    array = pixels(12, 60, 50, dtype="u2")
    reader = CountingReader(array, "zyx", chunks=(4, 20, 25))
    done = bigimg.export(reader, tmp_path / f"a{ending}", memory="4GB")
    assert set(reader.met.values()) == {1}
    assert len(reader.met) == 3 * 3 * 2
    np.testing.assert_array_equal(owned(tmp_path / f"a{ending}"), array)
    assert not [p for p in tmp_path.iterdir() if str(p) not in done.files]


@pytest.mark.parametrize("ending", VOLUMES)
def test_a_sequential_source_is_read_forwards(ending: str, tmp_path: Path, small_portions: None) -> None:
    """Its own order or not: channels last in the source, first in the file."""
    array = pixels(5, 60, 50, dtype="u2")
    reader = CountingReader(
        array, "cyx", chunks=(5, 1, 50), access=Access("sequential", "rows", ("y", "x", "c"))
    )
    done = bigimg.export(reader, tmp_path / f"a{ending}", memory="4GB")
    rows = [region[1].start for region in reader.regions]
    assert rows == sorted(rows)
    assert len(set(rows)) == len(rows) > 5
    np.testing.assert_array_equal(bigimg.open(tmp_path / f"a{ending}").values.squeeze(), array)
    assert done.to_dict()["scratch_bytes"] == (
        0 if ending in (".nii", ".mha", ".mhd", ".nrrd", ".nhdr", ".npy") else array.nbytes
    )


@pytest.mark.parametrize("ending", [".nii.gz", ".ome.tif", ".png", ".npy"])
def test_the_same_bytes_for_any_budget(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = pixels(6, 700, 600, dtype="u2") if ending != ".png" else pixels(1500, 900, dtype="u2")
    found = set()
    for most in (3000, 70_000, 32 << 20):
        for module in (planning, slicing):
            monkeypatch.setattr(module, "MOST_BYTES", most)
        path = tmp_path / f"{most}{ending}"
        bigimg.export(CountingReader(array, "zyx"[-array.ndim :]), path)
        found.add(path.read_bytes().replace(str(most).encode(), b""))
    assert len({len(content) for content in found}) == 1
    if ending != ".ome.tif":  # OME-XML has a fresh UUID each time
        assert len(found) == 1


# ---------------------------------------------------------------------------------------------------- whole or absent


@pytest.mark.parametrize(
    "ending", [".nii", ".nii.gz", ".mhd", ".mha", ".npy", ".tif", ".ome.tif", ".png", ".jpg"]
)
def test_a_failure_leaves_nothing(ending: str, tmp_path: Path, small_portions: None) -> None:
    array = pixels(1600, 300)
    with pytest.raises(InputError, match=r"a\.src: ends at byte 17"):
        bigimg.export(Broken(array, "yx", chunks=(5, 300)), tmp_path / f"a{ending}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".nii.gz", ".mhd", ".tif", ".jpg"])
def test_an_interruption_leaves_nothing(ending: str, tmp_path: Path, small_portions: None) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bigimg.export(CountingReader(pixels(400, 300), "yx"), tmp_path / f"a{ending}", progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.nii", "a.mhd", "a.raw"])
def test_a_target_that_exists_stays(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"mine")
    target = tmp_path / name.replace(".raw", ".mhd")
    with pytest.raises(TargetExistsError, match="exists already"):
        bigimg.export(VOLUME, target)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {name: b"mine"}


@pytest.mark.parametrize("name", ["a.mhd", "a.raw"])
def test_a_target_that_somebody_makes_meanwhile_stays(name: str, tmp_path: Path) -> None:
    def make(_: object) -> None:
        (tmp_path / name).write_bytes(b"theirs")

    with pytest.raises(TargetExistsError, match="somebody else"):
        bigimg.export(VOLUME, tmp_path / "a.mhd", progress=make)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {name: b"theirs"}


@pytest.mark.usefixtures("each_way")
def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    bigimg.export(VOLUME, tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), VOLUME)
    with pytest.raises(TargetExistsError):
        bigimg.export(VOLUME, tmp_path / "a.npy")
    assert os.listdir(tmp_path) == ["a.npy"]


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "shutil.disk_usage", lambda _: os.terminal_size((0, 0)) and type("Disk", (), {"free": 1000})
    )
    with pytest.raises(OutputError, match=r"needs 8\.64 kB of disk, 1\.00 kB are free"):
        bigimg.export(VOLUME, tmp_path / "a.npy")
    assert os.listdir(tmp_path) == []


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("img", "name", "options", "said"),
    [
        (VOLUME, "a.xyz", {}, r"no format that bigimg writes has this ending; use one of \.nii \.nii\.gz"),
        (VOLUME, "a.ome.zarr", {}, "export writes no stores, bigimg convert does"),
        (VOLUME, "a.png", {}, r"PNG holds one plane, and there are z \(5\): choose with plane= and t=, or write"),
        (VOLUME[0], "a.png", {}, r"PNG has no int16, only booleans .* write \.tif"),
        (VOLUME[0], "a.jpg", {}, r"JPEG holds 8 bits a value, not int16: write \.png or \.tif"),
        (pixels(9, 9, 4), "a.jpg", {}, r"JPEG has no alpha: write \.png"),
        (VOLUME.astype("f2"), "a.nii", {}, r"NIfTI has no float16: write \.npy"),
        (VOLUME.astype("f2"), "a.mha", {}, r"MetaImage has no float16: write \.npy"),
        (VOLUME.astype("i8"), "a.ome.tif", {}, r"OME-TIFF has no int64: write \.npy or a plain \.tif"),
        (VOLUME, "a.nii", {"quality": 9}, "quality=9 is an option of JPEG, not of NIfTI"),
        (VOLUME, "a.tif", {"compression": "lzma"}, "compression 'lzma' is not one of deflate, zstd, none"),
        (PICTURE, "a.jpg", {"quality": 0}, "quality 0: give 1 to 100"),
        (VOLUME, "a.nii", {"version": 3}, "version 3 of NIfTI: there are 1 and 2"),
        (np.zeros((2, 40000), "u1"), "a.nii", {"version": 1}, r"too long for NIfTI-1 \(at most 32767\): use version 2"),
        (VOLUME, "a.nii", {"index": 3}, "give plane= as well"),
        (VOLUME, "a.nii", {"plane": "t"}, "plane 't': the image has no t; its axes are z y x"),
        (VOLUME, "a.nii", {"plane": "z", "index": 5}, "index 5 along z of 5 pixels; give 0 to 4"),
        (VOLUME, "a.nii", {"plane": "z", "index": 1.5}, "a whole number"),
        (VOLUME, "a.nii", {"plane": "z", "position": 99}, "position 99 along z is outside the image"),
        (VOLUME, "a.nii", {"channel": "GFP"}, "no channel 'GFP'"),
        (VOLUME, "a.nii", {"level": 1}, "level 1 of an image without levels"),
        (VOLUME[0], "a.png", {"plane": "y"}, "is a line"),
    ],
)  # fmt: skip
def test_what_cannot_be(
    img: np.ndarray, name: str, options: dict[str, object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        bigimg.export(img, tmp_path / name, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_channels_that_are_no_colours(tmp_path: Path) -> None:
    img = bigimg.from_array(pixels(2, 30, 20), dims="cyx", channels=["DAPI", "GFP"])
    with pytest.raises(
        UsageError, match=r"the channels are DAPI, GFP: choose one with channel=, or write \.ome\.tif"
    ):
        bigimg.export(img, tmp_path / "a.png")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".tif", ".png", ".jpg"])
def test_a_budget_that_is_too_small(ending: str, tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match=r"allowed 20\.0 MB .*: use memory='\d+MB'") as caught:
        bigimg.export(pixels(300, 400), tmp_path / f"a{ending}", memory="20MB")
    assert caught.value.needed > caught.value.allowed == 20_000_000
    assert os.listdir(tmp_path) == []


def test_the_table_of_formats() -> None:
    assert find_exporter("A.OME.TIFF").name == "ome-tiff"
    assert find_exporter("x.y.tif").name == "tiff"
    assert len(set(ENDINGS)) == len(ENDINGS)
    assert all(exporter.holds and exporter.library for exporter in EXPORTERS)


# ------------------------------------------------------------------------------------------------------------- levels


def test_levels_become_sub_ifds(tmp_path: Path) -> None:
    array = pixels(1500, 1300, 3)
    img = bigimg.from_array(array, dims="yxc", spacing=0.5, unit="um")
    bigimg.convert(img, tmp_path / "a.ome.zarr", chunks=256, levels=3)
    for name in ("a.ome.tif", "a.tif"):
        done = bigimg.export(tmp_path / "a.ome.zarr", tmp_path / name)
        assert done.to_dict()["levels"] == 3
        with tifffile.TiffFile(tmp_path / name) as tif:
            levels = tif.series[0].levels
            assert [level.shape for level in levels] == [(1500, 1300, 3), (750, 650, 3), (375, 325, 3)]
            assert levels[0].keyframe.tile == (256, 256)
            np.testing.assert_array_equal(levels[0].asarray(), array)
            for i in (1, 2):
                ours = bigimg.open(tmp_path / "a.ome.zarr", level=i)
                np.testing.assert_array_equal(levels[i].asarray(), ours.bigimg.to_numpy())
        np.testing.assert_array_equal(bigimg.open(tmp_path / name).bigimg.to_numpy(), array)
    tree = bigimg.open_pyramid(tmp_path / "a.ome.zarr")
    bigimg.export(tree, tmp_path / "b.tif", level=1)
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert [level.shape[0] for level in tif.series[0].levels] == [750, 375]
    bigimg.export(tmp_path / "a.ome.zarr", tmp_path / "c.npy", level=-1)
    assert np.load(tmp_path / "c.npy").shape == (375, 325, 3)


def test_levels_that_are_coarser_along_z_stay_out(tmp_path: Path) -> None:
    bigimg.convert(pixels(40, 200, 200), tmp_path / "a.ome.zarr", chunks=32, halve="zyx")
    assert len(bigimg.open_pyramid(tmp_path / "a.ome.zarr").children) > 1
    bigimg.export(tmp_path / "a.ome.zarr", tmp_path / "a.ome.tif")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        assert len(tif.series[0].levels) == 1


@pytest.mark.parametrize("compression", ["deflate", "zstd", "none"])
def test_compressions_of_tiff(compression: str, tmp_path: Path) -> None:
    bigimg.export(VOLUME, tmp_path / "a.tif", compression=compression)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.pages[0].compression.name.lower().replace("adobe_", "") == compression
        np.testing.assert_array_equal(tif.asarray(), VOLUME)


# --------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def store(tmp_path: Path) -> Path:
    bigimg.convert(labelled(PICTURE, "yxc", world=None), tmp_path / "a.ome.zarr")
    return tmp_path / "a.ome.zarr"


def test_the_verb(store: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["export", str(store), str(tmp_path / "a.png"), "--channel", "G"])
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert "PNG" in done.stderr
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), PICTURE[..., 1])
    done = CliRunner().invoke(cli, ["export", str(store), str(tmp_path / "a.nii"), "--json"])
    found = json.loads(done.stdout)
    page = (Path(__file__).parents[2] / "docs" / "reference" / "json.md").read_text(encoding="utf-8")
    section = page.split("\n## export\n")[1].split("\n## ")[0]
    assert set(found) == {line.split("`")[1] for line in section.splitlines() if line.startswith("| `")}
    assert found["files"] == [str(tmp_path / "a.nii")]


def test_the_accessor(tmp_path: Path) -> None:
    labelled(VOLUME, "zyx").bigimg.export(tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), VOLUME)


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    """Four gigabytes of zeros that take no room, and seconds to compress."""
    source = tmp_path / "big.npy"
    np.lib.format.open_memmap(source, "w+", np.uint8, (4096, 1024, 1024)).flush()
    out = tmp_path / "out"
    out.mkdir()
    process = start("export", "-q", source, out / "a.nii.gz", scratch=tmp_path)
    while process.poll() is None and not any(path.stat().st_size > 4096 for path in list(out.iterdir())):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    done = ended(process, tmp_path, 60)
    assert done.code == 130
    assert done.line == "bigimg: interrupted; nothing is left behind"
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("dims", ["yx", "yxc", "tyx"])
def test_tifffile_finds_the_levels_of_a_plain_tiff(
    dims: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = {"t": 2, "y": 1100, "x": 1300, "c": 3}
    values = np.random.default_rng(1).integers(0, 256, [sizes[name] for name in dims], np.uint8)
    bigimg.write(bigimg.from_array(values, dims=dims), tmp_path / "a.zarr", progress=False)
    bigimg.export(tmp_path / "a.zarr", tmp_path / "a.tif", progress=False)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        (series,) = tif.series
        assert series.kind == "shaped"
        np.testing.assert_array_equal(series.asarray(), values)
        assert [level.shape[dims.index("y")] for level in series.levels] == [1100, 550, 275]
    assert not caplog.records
