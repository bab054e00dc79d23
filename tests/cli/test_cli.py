"""The command: exit codes, one line on stderr, data on stdout, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
import tifffile
import zarr
from click.testing import CliRunner, Result
from PIL import Image

from bigimg import cli as command
from bigimg.cli import VERBS, cli
from bigimg.errors import UsageError
from tests.running import bigimg, ended, start

INFO_KEYS = {
    "source", "format", "access", "why", "dims", "shape", "dtype", "kind", "decoded_bytes", "levels", "spacing",
    "units", "origin", "channels", "orientation", "scaling", "window", "labels", "series", "missing", "private",
    "notes",
    "statistics",
}  # fmt: skip
PLAN_KEYS = {
    "source", "target", "read", "shape", "dims", "dtype", "decoded_bytes", "kind", "method", "codec", "block",
    "ome_version", "levels", "sweeps", "workers", "budget_bytes", "peak_bytes", "memory", "scratch_bytes", "files",
    "estimate", "labels", "notes",
}  # fmt: skip
CONVERT_KEYS = {
    "target",
    "labels",
    "notes",
    "seconds",
    "decoded_bytes",
    "stored_bytes",
    "objects",
    "levels",
    "blocks_resumed",
    "statistics",
}


def called(*args: object) -> Result:
    """Run a verb in this process; an error of ours comes out as the exception it is."""
    return CliRunner().invoke(cli, [str(arg) for arg in args], catch_exceptions=False)


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A grey PNG of 700 x 900 with another value at each corner."""
    pixels = np.random.default_rng(0).integers(40, 200, (700, 900), np.uint8)
    pixels[0, 0], pixels[0, -1], pixels[-1, 0], pixels[-1, -1] = 1, 2, 3, 4
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(pixels).save(folder / "photo.png")
    return folder / "photo.png"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder that holds what a command writes and nothing else."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def store(photo: Path, tmp_path: Path) -> Path:
    target = tmp_path / "store.ome.zarr"
    assert called("convert", "-q", photo, target).exit_code == 0
    return target


# What each verb prints and writes


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_help_of_every_verb(verb: str):
    found = called(verb, "--help")
    assert found.exit_code == 0
    assert found.stdout.startswith("Usage:")
    assert not found.stderr


def test_convert_tells_people_on_stderr_and_nothing_on_stdout(photo: Path, out: Path):
    found = bigimg("convert", photo, out / "a.ome.zarr", "--memory", "512MB", scratch=out.parent)
    assert found.code == 0
    assert found.out == ""
    assert "look at it:" in found.err
    assert f"bigimg thumbnail {out / 'a.ome.zarr'}" in found.err
    np.testing.assert_array_equal(
        zarr.open_array(out / "a.ome.zarr" / "0", mode="r")[...], np.asarray(Image.open(photo))
    )


def test_what_convert_says_to_do_next_works(photo: Path, out: Path):
    """Whoever pastes the lines under ``look at it`` sees the image."""
    said = bigimg("convert", photo, out / "a.ome.zarr", scratch=out.parent).err
    lines = [line.strip() for line in said.split("look at it:")[1].splitlines() if line.strip()]
    assert len(lines) == 3
    for line in lines:
        python = f"{sys.executable} -m bigimg.cli"
        ran = subprocess.run(
            line.replace("bigimg ", python + " ", 1) if line.startswith("bigimg") else
            line.replace("python", sys.executable, 1),
            shell=True, cwd=out, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
    assert (out / "look.png").is_file()


def test_quiet_says_nothing(photo: Path, out: Path):
    found = bigimg("convert", "-q", photo, out / "a.ome.zarr", scratch=out.parent)
    assert (found.code, found.out, found.err) == (0, "", "")


def test_convert_json(photo: Path, out: Path):
    found = bigimg("convert", "--json", photo, out / "a.ome.zarr", scratch=out.parent)
    assert set(found.json) == CONVERT_KEYS
    assert found.json["decoded_bytes"] == 700 * 900
    stored = sum(p.stat().st_size for p in (out / "a.ome.zarr").glob("[0-9]*/c/**/*") if p.is_file())
    assert found.json["stored_bytes"] == stored
    assert not found.err


def test_plan_and_dry_run_say_the_same_and_write_nothing(photo: Path, out: Path):
    # The default budget is half of what is free at that moment.
    asked = (photo, out / "a.ome.zarr", "--memory", "4GB")
    plan = called("plan", "--json", *asked)
    dry = called("convert", "--dry-run", "--json", *asked)
    assert not list(out.iterdir())
    assert set(json.loads(plan.stdout)) == PLAN_KEYS
    said = [json.loads(found.stdout) for found in (plan, dry)]
    for found in said:
        for measured in ("estimate", "memory", "peak_bytes"):  # of this process at that moment
            found.pop(measured)
    assert said[0] == said[1]


def test_the_plan_counts_the_files_of_the_store(photo: Path, store: Path, out: Path):
    plan = json.loads(called("plan", "--json", photo, out / "a.ome.zarr").stdout)
    assert plan["files"] == len(tree(store))


def test_plan_for_people_names_every_part(photo: Path, out: Path):
    said = called("plan", photo, out / "a.ome.zarr", "--memory", "4GB").stdout
    for part in ("image", "read", "write", "level 0", "memory", "process", "disk", "4.00 GB allowed"):
        assert part in said


def test_options_of_convert_arrive(photo: Path, out: Path):
    found = called(
        "convert", "-q", photo, out / "a.ome.zarr", "--chunks", "y=128,x=256", "--shards", "256", "--codec", "zstd",
        "--levels", "2", "--method", "max", "--spacing", "y=0.5,x=0.4um", "--workers", "1", "--kind", "image",
    )  # fmt: skip
    assert found.exit_code == 0
    root = json.loads((out / "a.ome.zarr" / "zarr.json").read_text())["attributes"]["ome"]
    axes = root["multiscales"][0]["axes"]
    scale = root["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
    assert [axis.get("unit") for axis in axes] == ["micrometer", "micrometer"]
    assert scale == [0.5, 0.4]
    first = zarr.open_array(out / "a.ome.zarr" / "0", mode="r")
    assert (first.chunks, first.shards) == ((128, 256), (256, 256))
    assert "zstd" in (out / "a.ome.zarr" / "0" / "zarr.json").read_text()
    pixels = np.asarray(Image.open(photo))
    coarse = pixels.reshape(350, 2, 450, 2).max((1, 3))
    np.testing.assert_array_equal(zarr.open_array(out / "a.ome.zarr" / "1", mode="r")[...], coarse)
    assert not (out / "a.ome.zarr" / "2").exists()


def test_channel_names_arrive(out: Path, tmp_path: Path):
    pixels = np.zeros((2, 8, 9), np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata={"axes": "CYX"}, photometric="minisblack")
    found = called("convert", "-q", tmp_path / "a.ome.tif", out / "a.zarr", "--channels", "DAPI,GFP")
    assert found.exit_code == 0
    assert json.loads(called("info", "--json", out / "a.zarr").stdout)["channels"] == ["DAPI", "GFP"]
    refused = bigimg(
        "convert", tmp_path / "a.ome.tif", out / "b.zarr", "--channels", "DAPI", scratch=tmp_path
    )
    assert refused.code == 2
    assert "channel" in refused.line


def test_info(photo: Path, store: Path):
    for source in (photo, store):
        found = json.loads(called("info", "--json", source).stdout)
        assert set(found) == INFO_KEYS
        assert found["shape"] == [700, 900]
        assert str(source) in called("info", source).stdout
    assert len(found["levels"]) == 2


def test_there_is_no_spacing_along_channels(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.zeros((40, 30, 3), np.uint8))
    found = json.loads(called("info", "--json", tmp_path / "a.npy").stdout)
    planned = json.loads(called("plan", "--json", tmp_path / "a.npy", tmp_path / "a.ome.zarr").stdout)
    small = json.loads(
        called("downsample", "--json", "--factor", 2, tmp_path / "a.npy", tmp_path / "b.npy").stdout
    )
    for spacing in (
        found["spacing"],
        found["levels"][0]["spacing"],
        planned["levels"][0]["spacing"],
        small["spacing"],
    ):
        assert (spacing[0], None in spacing[1:]) == (None, False)


def test_stats(photo: Path, store: Path):
    pixels = np.asarray(Image.open(photo))
    for source in (photo, store):
        (row,) = json.loads(called("stats", "--json", source).stdout)["channels"]
        assert (row["count"], row["min"], row["max"]) == (pixels.size, pixels.min(), pixels.max())
        assert row["mean"] == pytest.approx(pixels.mean(), rel=1e-12)
        assert row["std"] == pytest.approx(pixels.std(), rel=1e-12)


def test_pictures(store: Path, out: Path):
    assert called("thumbnail", store, out / "small.png", "--max", "128").exit_code == 0
    with Image.open(out / "small.png") as small:
        assert max(small.size) <= 128


def test_slice_at_an_index_and_at_a_position(tmp_path: Path, out: Path):
    volume = np.zeros((7, 30, 40), np.uint8)
    volume[4, :15] = 255
    np.save(tmp_path / "a.npy", volume)
    assert (
        called("convert", "-q", tmp_path / "a.npy", out / "a.zarr", "--spacing", "z=2,y=1,x=1mm").exit_code
        == 0
    )
    assert called("slice", out / "a.zarr", out / "i.png", "--at", "4").exit_code == 0
    assert called("slice", out / "a.zarr", out / "mm.png", "--at", "8", "--mm").exit_code == 0
    for name in ("i.png", "mm.png"):
        with Image.open(out / name) as picture:
            assert picture.size == (40, 30)
            pixels = np.asarray(picture.convert("L"))
        assert pixels[:15].min() == 255
        assert pixels[15:].max() == 0
    beyond = bigimg("slice", out / "a.zarr", out / "no.png", "--at", "7", scratch=tmp_path)
    assert beyond.code == 2
    assert "7" in beyond.line
    assert not (out / "no.png").exists()


def test_a_position_needs_a_unit(tmp_path: Path, out: Path):
    np.save(tmp_path / "a.npy", np.zeros((7, 30, 40), np.uint8))
    for verb, plane in (("slice", "y"), ("export", "z")):
        words = (verb, tmp_path / "a.npy", out / "a.png", "--plane", plane, "--at", "3", "--mm")
        said = bigimg(*words, scratch=tmp_path)
        assert (said.code, said.out) == (2, "")
        assert f"gives no unit along {plane}" in said.line
        assert f"or give it one by bigimg convert --spacing {plane}=2mm" in said.line
    assert called("slice", tmp_path / "a.npy", out / "a.png", "--at", "3").exit_code == 0


def test_three_planes(tmp_path: Path, out: Path):
    volume = np.arange(7 * 30 * 40, dtype=np.uint16).reshape(7, 30, 40)
    np.save(tmp_path / "a.npy", volume)
    np.save(tmp_path / "m.npy", volume > 4000)
    for words in ((), ("--at", "0,1,2", "--no-crosshair"), ("--at", "z=4", "--overlay", tmp_path / "m.npy")):
        done = called("ortho", tmp_path / "a.npy", out / "o.png", *words, "--overwrite")
        assert (done.exit_code, done.stderr.strip()) == (0, str(out / "o.png"))
        with Image.open(out / "o.png") as drawn:
            assert drawn.size[0] >= 300
    with pytest.raises(UsageError, match="is outside the image"):
        called("ortho", tmp_path / "a.npy", out / "p.png", "--at", "z=99")
    assert called("ortho", tmp_path / "a.npy", out / "p.png", "--at", "1,2").exit_code == 2
    assert not (out / "p.png").exists()


def test_version():
    assert "0." in called("--version").stdout


def test_a_closed_pipe_is_no_error(store: Path):
    """``bigimg info … | head -0``."""
    child = subprocess.run(
        f"{sys.executable} -m bigimg.cli info {store} | true", shell=True, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert "Traceback" not in child.stderr


# Exit codes, each with one line


@pytest.mark.parametrize(
    "args",
    [
        ("convert", "--nope", "a", "b"),
        ("nope",),
        ("convert", "a.png"),  # no target
        ("convert", "a.png", "b", "--kind", "many"),
        ("convert", "a.png", "b", "--codec", "rar"),
        ("plan", "a.png", "b", "--workers", "two"),
    ],
    ids=" ".join,
)
def test_2_the_command_is_misspelt(args: tuple[str, ...], tmp_path: Path):
    found = bigimg(*args, scratch=tmp_path)
    assert found.code == 2
    assert "Error:" in found.err
    assert "Traceback" not in found.err


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("--memory", "much"), "512MB"),  # the remedy is an example
        (("--memory", "0"), "512MB"),
        (("--workers", "0"), "at least 1"),
        (("--levels", "0"), "at least 1"),
        (("--spacing", "q=2"), "q"),
        (("--series", "7"), "series"),
        (("--chunks", "0"), "chunk"),
    ],
)
def test_2_an_option_cannot_be(args: tuple[str, ...], word: str, photo: Path, out: Path):
    found = bigimg("convert", photo, out / "a.ome.zarr", *args, scratch=out.parent)
    assert found.code == 2
    assert word in found.line
    assert not list(out.iterdir())


def test_2_target_inside_the_source(store: Path, tmp_path: Path):
    before = tree(store)
    found = bigimg("convert", store, store / "inner.zarr", scratch=tmp_path)
    assert found.code == 2
    assert "inside the source" in found.line
    assert tree(store) == before


def test_3_there_is_nothing_to_read(tmp_path: Path, out: Path):
    (tmp_path / "text.tif").write_text("not an image at all, whatever its name says\n" * 9)
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for name, words in (
        ("text.tif", ("begins with", "its name says TIFF", "copy or download")),
        ("empty.png", ("is empty", "copy or download")),
        ("folder", ("is a folder",)),
        ("missing.nii.gz", ("no such file", "check the name")),
    ):
        for verb in (("convert", tmp_path / name, out / "a.zarr"), ("info", tmp_path / name)):
            found = bigimg(*verb, scratch=tmp_path)
            assert found.code == 3, found
            assert name in found.line
            assert all(word in found.line for word in words), found.line
        assert not list(out.iterdir())


def test_4_a_target_that_exists_is_left_alone(photo: Path, store: Path, tmp_path: Path):
    before = tree(store)
    (tmp_path / "file.zarr").write_text("mine")
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "link.zarr").symlink_to(tmp_path / "nowhere")
    for target in (store, tmp_path / "file.zarr", tmp_path / "empty.zarr", tmp_path / "link.zarr"):
        found = bigimg("convert", photo, target, scratch=tmp_path)
        assert found.code == 4
        assert str(target) in found.line
        assert "exists already" in found.line
    assert tree(store) == before
    assert (tmp_path / "file.zarr").read_text() == "mine"
    assert not list((tmp_path / "empty.zarr").iterdir())
    assert not (tmp_path / "nowhere").exists()


def test_4_a_place_that_cannot_be_written(photo: Path, tmp_path: Path):
    """By a file where a folder should be, and by /proc: permission bits do not hold back root."""
    places = [photo / "a.zarr", tmp_path / "no" / "folder" / "a.zarr"]
    if Path("/proc/self").exists():
        places.append(Path("/proc/a.zarr"))
    for target in places:
        found = bigimg("convert", photo, target, scratch=tmp_path)
        assert found.code == 4
        assert str(target) in found.line
    assert photo.is_file()


def test_4_no_permission(photo: Path, out: Path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    out.chmod(0o500)
    found = bigimg("convert", photo, out / "a.zarr", scratch=out.parent)
    assert found.code == 4
    assert "permission" in found.line


def test_4_the_disk_is_full(tmp_path: Path):
    """On a file system of 4 MB."""
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 255, (4000, 4000), np.uint8))
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", small], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        (small / "mine.txt").write_text("stays")
        found = bigimg("convert", tmp_path / "a.npy", small / "a.zarr", scratch=tmp_path)
        assert found.code == 4
        assert str(small / "a.zarr") in found.line
        assert "needs about" in found.line
        assert "4.1" in found.line
        assert "make room" in found.line
        assert [p.name for p in small.iterdir()] == ["mine.txt"]
        subprocess.run(["mount", "-o", "remount,size=64m,nr_inodes=20", small], check=True)
        found = bigimg("convert", tmp_path / "a.npy", small / "a.zarr", scratch=tmp_path)
        assert found.code == 4
        assert "No space left" in found.line
        assert "make room and run the same command again" in found.line
        assert sorted(p.name for p in small.iterdir()) == [".a.zarr.bigimg", "mine.txt"]
        subprocess.run(["mount", "-o", "remount,nr_inodes=2000", small], check=True)
        assert bigimg("convert", tmp_path / "a.npy", small / "a.zarr", scratch=tmp_path).code == 0
        assert sorted(p.name for p in small.iterdir()) == ["a.zarr", "mine.txt"]
    finally:
        subprocess.run(["umount", small], check=True)


def test_4_a_file_may_not_grow(photo: Path, out: Path):
    """As above where nothing can be mounted: the system refuses a write in the middle of an object."""
    np.save(photo.with_suffix(".npy"), np.random.default_rng(0).integers(0, 255, (3000, 3000), np.uint8))
    code = f"from bigimg import cli; import sys; sys.argv[1:] = {['convert', str(photo.with_suffix('.npy')), str(out / 'a.zarr')]}; cli.main()"  # noqa: E501
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    )  # fmt: skip
    assert child.returncode == 4, child.stderr
    assert "File too large" in child.stderr
    assert len(child.stderr.splitlines()) == 1
    assert "run the same command again" in child.stderr
    assert [p.name for p in out.iterdir()] == [".a.zarr.bigimg"]
    assert bigimg("clean", out, "--remove", scratch=out.parent).code == 0
    assert not list(out.iterdir())


def test_5_a_store_that_lost_an_object(store: Path, tmp_path: Path, out: Path):
    (store / "0" / "c" / "0" / "0").unlink()
    found = bigimg("convert", store, out / "a.zarr", scratch=tmp_path)
    assert found.code == 5
    assert "0/c/0/0" in found.line
    assert not list(out.iterdir())


def test_6_over_the_budget_and_what_would_fit(photo: Path, out: Path):
    found = bigimg("convert", photo, out / "a.ome.zarr", "--memory", "1MB", scratch=out.parent)
    assert found.code == 6
    assert "allowed 1.00 MB" in found.line
    assert not list(out.iterdir())
    setting = next(word for word in found.line.split() if word.endswith("MB") and word[:-2].isdigit())
    again = bigimg("convert", photo, out / "a.ome.zarr", "--memory", setting, scratch=out.parent)
    assert again.code == 0, again.err
    assert again.peak_bytes <= int(setting[:-2]) * 10**6


def test_6_budget_from_the_environment(photo: Path, out: Path):
    found = bigimg("convert", photo, out / "a.zarr", scratch=out.parent, env={"BIGIMG_MEMORY": "2MB"})
    assert found.code == 6
    assert "allowed 2.00 MB" in found.line


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
@pytest.mark.parametrize("after", ["the first object", "the start"])
def test_a_signal_ends_it_with_one_line_and_nothing_left(
    number: signal.Signals, code: int, word: str, after: str, out: Path
):
    """A slide of 30 GB would take minutes; the wait for the end is bounded, and generous."""
    child = start("demo", out / "a.zarr", "--size", "100000x100000", "-q", scratch=out.parent)
    deadline = time.monotonic() + 30
    while not list(
        out.glob(".a.zarr.bigimg/store/0/**/*" if after == "the first object" else ".a.zarr.bigimg")
    ):
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(number)
    found = ended(child, out.parent, timeout=10)
    assert found.code == code
    assert found.line == f"bigimg: {word}; nothing is left behind"
    assert not found.out
    assert not list(out.iterdir())


def test_an_interrupted_file_is_gone_on_with(out: Path):
    np.save(out.parent / "a.npy", np.random.default_rng(0).integers(0, 255, (20000, 20000), np.uint8))
    child = start("convert", out.parent / "a.npy", out / "a.zarr", "-q", scratch=out.parent)
    deadline = time.monotonic() + 30
    while not list(out.glob(".a.zarr.bigimg/store/0/c/1/*")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    child.send_signal(signal.SIGINT)
    found = ended(child, out.parent, timeout=10)
    assert found.code == 130
    assert "run the same command again to go on" in found.line
    assert [p.name for p in out.iterdir()] == [".a.zarr.bigimg"]
    again = bigimg("convert", out.parent / "a.npy", out / "a.zarr", scratch=out.parent)
    assert re.search(r"^went on from an interrupted run: [1-9][0-9]* blocks? kept$", again.err, re.MULTILINE)
    assert [p.name for p in out.iterdir()] == ["a.zarr"]


def test_series_by_name(data: Path, tmp_path: Path) -> None:
    slide = data / "wsi/CMU-1-Small-Region.svs"
    assert (
        bigimg("info", "--json", slide, "--series", "Label", scratch=tmp_path).json["shape"]
        == bigimg("info", "--json", slide, "--series", "2", scratch=tmp_path).json["shape"]
    )
    done = bigimg("info", slide, "--series", "none of these", scratch=tmp_path)
    assert (done.code, "Label" in done.line) == (2, True)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs alarms, which this system has not")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_even_when_clearing_up_never_ends(number: signal.Signals) -> None:
    code = f"""\
import os, threading
from bigimg import cli

def hangs(**_):
    try:
        os.kill(os.getpid(), {int(number)})
        threading.Event().wait()
    finally:
        threading.Event().wait()

cli.PATIENCE = 1
cli.cli.main = hangs
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 128 + number
    assert done.stderr.startswith("bigimg: ")
    assert "before all was cleared away; something unfinished may be left" in done.stderr


def test_the_last_resort_ends_it_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(command, "_arrived", [signal.SIGINT])
    monkeypatch.setattr(os, "_exit", sys.exit)
    monkeypatch.setattr(click, "echo", lambda text, err: said.append(text))
    for verb in ("convert", "mask"):
        with pytest.raises(SystemExit, match="130"):
            command._give_up(verb)
    assert "run the same command again to go on" in said[0]
    assert "something unfinished may be left" in said[1]

    def reentrant(*_: object, **__: object) -> None:
        raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>")

    monkeypatch.setattr(click, "echo", reentrant)
    with pytest.raises(SystemExit, match="130"):
        command._give_up("convert")


WARNS = """\
import sys, warnings
from bigimg import cli
from bigimg.faces import convert

def plan(*_, **__):
    warnings.warn("rows are read again;\\n use memory='1GB'", UserWarning)
    sys.exit(0)

convert.plan = plan
cli.main()
"""


@pytest.mark.parametrize(
    ("quiet", "said"), [([], "bigimg: note: rows are read again; use --memory 1GB\n"), (["-q"], "")]
)
def test_a_warning_is_one_line_and_nothing_when_quiet(quiet: list[str], said: str, tmp_path: Path) -> None:
    words = ["convert", "a.npy", str(tmp_path / "a.zarr"), "--dry-run", *quiet]
    found = subprocess.run([sys.executable, "-c", WARNS, *words], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, said)


# ------------------------------------------------------------------------------------------------------------- edits


@pytest.fixture
def two_channels(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 999, (2, 30, 40), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, imagej=True, metadata={"axes": "CYX"})
    called("convert", "-q", tmp_path / "a.tif", tmp_path / "a.ome.zarr", "--channels", "DAPI,GFP")
    return tmp_path / "a.ome.zarr"


def test_edit(two_channels: Path) -> None:
    asked = (
        "--channels",
        "a,b",
        "--colors",
        "0000FF,00FF00",
        "--spacing",
        "y=2,x=0.5um",
        "--window",
        "3,900",
    )
    done = bigimg("edit", two_channels, *asked, scratch=two_channels.parent)
    assert (done.code, done.out) == (0, "")
    assert "  name of channel 1 is b, was GFP\n" in done.err
    found = json.loads(bigimg("info", two_channels, "--json", scratch=two_channels.parent).out)
    assert (found["channels"], found["spacing"], found["window"]) == (["a", "b"], [None, 2, 0.5], [3, 900])
    done = bigimg(
        "edit",
        two_channels,
        "--window",
        "a=5,6",
        "--window",
        "b=7,8.5",
        "--json",
        scratch=two_channels.parent,
    )
    assert set(json.loads(done.out)) == {"store", "changes", "labels", "notes"}
    omero = zarr.open_group(two_channels, mode="r").attrs["ome"]["omero"]["channels"]
    assert [(each["window"]["start"], each["window"]["end"]) for each in omero] == [(5, 6), (7, 8.5)]
    assert bigimg("edit", two_channels, "--channels", "a,b", "-q", scratch=two_channels.parent).err == ""


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ((), "nothing to edit: give --channels, --colors, --spacing or --window"),
        (("--channels", "a"), "channels: 1 for 2 channels"),
        (("--window", "5"), "write 100,4000, or DAPI=100,4000 once for each channel"),
        (("--window", "9,5"), "--window 9,5: give the values that are drawn black and white"),
        (("--window", "5,x"), "write 100,4000, or DAPI=100,4000 once for each channel"),
        (("--window", "5,6", "--window", "7,8"), "write 100,4000"),
        (("--colors", "red,blue"), "'red' is no color"),
        (("--spacing", "t=3"), "t"),
    ],
)
def test_edit_refuses_by_name(two_channels: Path, asked: tuple[str, ...], said: str) -> None:
    done = bigimg("edit", two_channels, *asked, scratch=two_channels.parent)
    assert (done.code, said in done.err) == (2, True), done.err


def test_verify_tells_edits_and_takes_them_over(two_channels: Path) -> None:
    zarr.open_group(two_channels, mode="r+").attrs["stain"] = "H33342"
    done = bigimg("verify", two_channels, scratch=two_channels.parent)
    assert (done.code, done.out) == (0, f"edited: {two_channels}/zarr.json: stain is new\n")
    assert "nothing damaged, 1 edit of the metadata (--accept takes them over)" in done.err
    assert (
        "edited since bigimg wrote it: stain is new"
        in bigimg("info", two_channels, scratch=two_channels.parent).out
    )
    done = bigimg("verify", two_channels, "--accept", "--quick", scratch=two_channels.parent)
    assert (done.code, "1 edit of the metadata (taken over)" in done.err) == (0, True)
    done = bigimg("verify", two_channels, "--json", scratch=two_channels.parent)
    assert (json.loads(done.out)["edits"], json.loads(done.out)["accepted"]) == ([], False)
