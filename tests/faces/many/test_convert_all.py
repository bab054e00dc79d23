"""Many files, each converted by itself: what is passed by, skipped, gone on with, and said of each."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import re
import shutil
import signal
import time
from collections import namedtuple
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
import zarr

import bigimg
from bigimg.conversion import commit
from bigimg.conversion.identity import fingerprint, request
from bigimg.conversion.progress import Progress
from bigimg.errors import OutputError, UsageError
from bigimg.faces.many.convert_all import plan_all
from bigimg.omezarr.metadata import FORMAT
from bigimg.opening.open import open_source
from bigimg.planning.options import Options
from tests.conversion.sources import noise
from tests.running import bigimg as command
from tests.running import start
from tests.test_docs import DOCS, sections

QUIET: Any = {"progress": False, "memory": "4GB", "sync": False}


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def states(found: Any) -> list[str]:
    return [row.state for row in found.rows]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Five pictures, the second cut in half."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(5):
        tifffile.imwrite(folder / f"{number}.tif", noise((50 + number, 60), "u1", seed=number), tile=(16, 16))
    cut = folder / "1.tif"
    cut.write_bytes(cut.read_bytes()[:1500])
    return folder


def test_each_is_whole_or_absent_and_failures_are_passed_by(files: Path, tmp_path: Path) -> None:
    found = bigimg.convert_all(files, tmp_path / "out", report=tmp_path / "r.csv", **QUIET)
    assert states(found) == ["converted", "failed", "converted", "converted", "converted"]
    assert not found.ok
    for number in (0, 2, 3, 4):
        stored = bigimg.open(tmp_path / "out" / f"{number}.ome.zarr")
        np.testing.assert_array_equal(stored, tifffile.imread(files / f"{number}.tif"))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"{n}.ome.zarr" for n in (0, 2, 3, 4)]
    rows = rows_of(tmp_path / "r.csv")
    assert [*rows[0]] == ["source", "target", "state", "seconds", "bytes", "message"]
    assert [row["state"] for row in rows] == states(found)
    assert str(files / "1.tif") in rows[1]["message"]
    stored_bytes = sum(
        p.stat().st_size for p in (tmp_path / "out" / "0.ome.zarr" / "0" / "c").rglob("*") if p.is_file()
    )
    assert int(rows[0]["bytes"]) >= stored_bytes > 0
    assert found.to_dict()["failed"] == 1
    assert json.loads(json.dumps(found.to_dict()))["files"][2]["state"] == "converted"


def test_a_later_run_skips_what_is_finished_with_these_options(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    bigimg.convert(files / "0.tif", tmp_path / "0.ome.zarr", codec="zstd", **QUIET)
    out.mkdir()
    shutil.move(tmp_path / "0.ome.zarr", out / "0.ome.zarr")  # by convert itself, elsewhere
    first = bigimg.convert_all(files, out, codec="zstd", **QUIET)
    assert states(first) == ["finished", "failed", *["converted"] * 3]
    (files / "0.tif").touch()
    again = bigimg.convert_all(files, out, codec="zstd", workers=1, **{**QUIET, "memory": "1GB"})
    assert states(again) == ["finished", "failed", *["finished"] * 3]
    other = bigimg.convert_all(files, out, **QUIET)
    assert states(other) == ["failed"] * 5
    assert "exists already" in other.rows[0].message
    tifffile.imwrite(files / "2.tif", noise((52, 60), "u1", seed=9), tile=(16, 16))
    replaced = bigimg.convert_all(files, out, codec="zstd", overwrite=True, **QUIET)
    assert states(replaced) == ["finished", "failed", "converted", "finished", "finished"]


def test_what_was_interrupted_is_said_and_gone_on_with(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(files / "2.tif", noise((300, 300), "u1"), tile=(16, 16))
    blocks = iter(range(100))
    how: Any = {"chunks": 32, "shards": 32, "workers": 1, **QUIET}

    def stop(step: str) -> None:
        if step == "block" and next(blocks) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(commit, "hook", stop)
    with pytest.raises(KeyboardInterrupt):
        bigimg.convert_all(files, tmp_path / "out", report=tmp_path / "r.csv", **how)
    monkeypatch.undo()
    rows = [row["state"] for row in rows_of(tmp_path / "r.csv")]
    assert rows == ["converted", "failed", "interrupted", "waiting", "waiting"]
    assert (tmp_path / "out" / ".2.ome.zarr.bigimg").is_dir()
    assert states(bigimg.convert_all(files, tmp_path / "out", **how)) == [
        "finished", "failed", "converted", "converted", "converted",
    ]  # fmt: skip
    assert not (tmp_path / "out" / ".2.ome.zarr.bigimg").exists()


def test_a_store_that_lost_an_object_is_not_finished(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    bigimg.convert_all([files / "0.tif", files / "2.tif"], out, **QUIET)
    next(p for p in (out / "0.ome.zarr" / "0" / "c").rglob("*") if p.is_file()).unlink()
    again = bigimg.convert_all([files / "0.tif", files / "2.tif"], out, **QUIET)
    assert states(again) == ["failed", "finished"]
    assert "exists already" in again.rows[0].message
    assert states(bigimg.convert_all([files / "0.tif"], out, overwrite=True, **QUIET)) == ["converted"]


def test_of_a_file_with_several_images_the_row_says_which_was_converted(tmp_path: Path) -> None:
    path = tmp_path / "two.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(noise((40, 50), "u1"), metadata={})
        file.write(noise((30, 20), "u2"), metadata={})
    found = bigimg.convert_all([path], tmp_path / "out", report=tmp_path / "r.csv", **QUIET)
    assert found.rows[0].message.startswith("the file has 2 series, and this is 0: ")
    assert rows_of(tmp_path / "r.csv")[0]["message"] == found.rows[0].message
    assert f"note: {path}: the file has 2 series" in str(found)


def test_an_error_that_nobody_thought_of_is_passed_by_too(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a library\nbroke")

    monkeypatch.setattr("bigimg.faces.many.convert_all.convert_source", broken)
    found = bigimg.convert_all([files / "0.tif"], tmp_path / "out", **QUIET)
    assert found.rows[0].message == f"{files / '0.tif'}: RuntimeError: a library broke"


def test_once_the_disk_is_full_the_others_wait(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bigimg.convert_all([files / "3.tif"], tmp_path / "out", **QUIET)

    def full(step: str) -> None:
        if step == "swept":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(commit, "hook", full)
    some = [files / f"{n}.tif" for n in (0, 2, 3)]
    found = bigimg.convert_all(some, tmp_path / "out", report=tmp_path / "r.csv", **QUIET)
    assert states(found) == ["failed", "waiting", "finished"]
    assert [row["state"] for row in rows_of(tmp_path / "r.csv")] == states(found)
    assert "0 converted (0 B), 1 finished before, 1 failed, 1 not begun" in str(found)
    assert "make room and run the same command again" in found.rows[0].message


def test_the_disk_for_all_is_compared_with_what_is_free_first(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 9_000))
    with pytest.raises(OutputError, match=r"5 stores .* need about .* of disk, 9.00 kB are free: make room"):
        bigimg.convert_all(files, tmp_path / "out", report=tmp_path / "r.csv", **QUIET)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 900))
        with pytest.raises(OutputError, match=r"out: needs about .* of disk, 900 B are free: make room"):
            bigimg.convert_all(files / "0.tif", tmp_path / "out", **QUIET)
    assert not (tmp_path / "r.csv").exists()
    assert not list((tmp_path / "out").iterdir())
    planned = plan_all(files, tmp_path / "out")
    assert planned.needed_bytes is not None
    assert planned.needed_bytes > 5 * 50 * 60  # noise does not compress
    assert str(planned).endswith("(9.00 kB free)")


def test_a_report_replaces_a_report_alone(files: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.csv"
    notes.write_text("mine\n")
    with pytest.raises(OutputError, match="is no report of bigimg"):
        bigimg.convert_all(files / "0.tif", tmp_path / "out", report=notes, **QUIET)
    assert notes.read_text() == "mine\n"
    for _ in range(2):
        bigimg.convert_all(files / "0.tif", tmp_path / "out", report=tmp_path / "r.csv", **QUIET)
    assert [row["state"] for row in rows_of(tmp_path / "r.csv")] == ["finished"]
    with pytest.raises(OutputError, match="cannot be written"):
        bigimg.convert_all(files / "0.tif", tmp_path / "out", report=tmp_path / "no" / "r.csv", **QUIET)


def test_progress_is_of_all_files(files: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    bigimg.convert_all(files, tmp_path / "out", **{**QUIET, "progress": seen.append})
    done = [each.done for each in seen]
    assert done == sorted(done)
    assert seen[-1].done == seen[-1].total == sum(p.stat().st_size for p in files.iterdir())
    assert seen[-1].stage.startswith("5 of 5 files, ")


def test_options_are_checked_before_anything_is_done(files: Path, tmp_path: Path) -> None:
    for wrong in ({"codec": "gzip"}, {"colour": "red"}):
        with pytest.raises(UsageError, match=r"codec 'gzip'|no option 'colour'"):
            bigimg.convert_all(files, tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_reduced_levels_have_their_own_names(tmp_path: Path) -> None:
    source = tmp_path / "in" / "b" / "x.tif"
    source.parent.mkdir(parents=True)
    tifffile.imwrite(source, noise((200, 200), "u1"), tile=(16, 16))
    bigimg.convert_all(tmp_path / "in", tmp_path / "out", levels_only=True, chunks=32, **QUIET)
    np.testing.assert_array_equal(
        bigimg.open(tmp_path / "out" / "b" / "x.levels.ome.zarr"), tifffile.imread(source)
    )


def test_on_the_command_line(files: Path, tmp_path: Path) -> None:
    asked = ("convert", files, "--into", tmp_path / "out", "--report", tmp_path / "r.csv")
    plan = command(*asked, "--dry-run", scratch=tmp_path)
    assert plan.out.splitlines()[0] == f"{files / '0.tif'} -> {tmp_path / 'out' / '0.ome.zarr'}"
    assert not (tmp_path / "out").exists()
    done = command(*asked, scratch=tmp_path)
    assert done.code == 3
    assert "5 files: 4 converted" in done.err
    assert done.err.count("failed: ") == 1
    assert len(rows_of(tmp_path / "r.csv")) == 5
    (files / "1.tif").unlink()
    again = command(*asked, "--json", "-q", scratch=tmp_path)
    assert (again.code, again.json["finished"], again.err) == (0, 4, "")


def test_ctrl_c_ends_with_130_and_a_whole_report(files: Path, tmp_path: Path) -> None:
    tifffile.imwrite(files / "2.tif", noise((3000, 4000), "u2"), tile=(256, 256))
    process = start(
        "convert", files, "--into", tmp_path / "out", "--report", tmp_path / "r.csv", "--chunks", 16, "--shards", 16,
        "--workers", 1, scratch=tmp_path,
    )  # fmt: skip
    journal = tmp_path / "out" / ".2.ome.zarr.bigimg" / "journal"
    while process.poll() is None and not (journal.exists() and journal.stat().st_size):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "run the same command again to go on" in err
    assert [row["state"] for row in rows_of(tmp_path / "r.csv")][1:] == [
        "failed",
        "interrupted",
        "waiting",
        "waiting",
    ]


def test_the_json_page_has_the_keys_that_are_printed(files: Path, tmp_path: Path) -> None:
    page = sections((DOCS / "reference" / "json.md").read_text(encoding="utf-8"))
    for name, found in {
        "convert --into --dry-run": plan_all(files, tmp_path / "out").to_dict(),
        "convert --into": bigimg.convert_all(files, tmp_path / "out", **QUIET).to_dict(),
    }.items():
        each: Any = found["files"]
        keys = {*found, *(f"files[].{key}" for key in each[0])}
        assert set(re.findall(r"^\| `([^`]+)` \|", page[name], re.MULTILINE)) == keys


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a.tif",), "Missing argument 'TARGET'"),
        (("a.tif", "b", "c"), "Got 3 paths"),
        (("a.tif", "b", "--report", "r.csv"), "--report is of many sources"),
        ((), "Missing argument"),
    ],
)
def test_source_and_target_stay_as_they_were(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    ended = command("convert", *words, scratch=tmp_path)
    assert ended.code == 2
    assert message in ended.err


@pytest.mark.nightly
def test_memory_and_open_files_do_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    from bigimg.system.memory import resident_bytes

    (tmp_path / "in").mkdir()
    for number in range(240):
        path = tmp_path / "in" / f"{number:03}.tif"
        tifffile.imwrite(path, noise((600, 500), "u1", seed=number), tile=(128, 128))
        if number % 8 == 0:
            path.write_bytes(path.read_bytes()[:100_000])
    held: dict[str, tuple[int, int]] = {}

    def look(progress: Progress) -> None:
        held.setdefault(
            progress.stage.partition(",")[0], (resident_bytes(), len(list(Path("/proc/self/fd").iterdir())))
        )

    bigimg.convert_all(tmp_path / "in", tmp_path / "out", **{**QUIET, "progress": look})
    values = list(held.values())
    assert len(values) > 200
    assert values[-1][0] <= values[40][0] + 20_000_000
    assert values[-1][1] <= values[40][1] + 2


def test_plates_and_patterns_are_one_source_each(tmp_path: Path) -> None:
    """A folder of Micro-Manager in a folder, and a pattern: one row each, and skipped where nothing changed."""
    (tmp_path / "in/run").mkdir(parents=True)
    wells = {"A01": 1, "B02": 2}
    for well, value in wells.items():
        tifffile.imwrite(tmp_path / f"in/{well}.tif", np.full((40, 50), value, np.uint8))
        stack = tmp_path / f"in/run/scan_MMStack_{well}-Site_0.ome.tif"
        tifffile.imwrite(stack, np.full((40, 50), 10 * value, np.uint8))
    asked = ([tmp_path / "in/run", tmp_path / "in/{well}.tif"], tmp_path / "out")
    plan = str(plan_all(*asked, memory="4GB"))
    assert f"{asked[0][1]} -> {tmp_path}/out/in.ome.zarr" in plan
    found = bigimg.convert_all(*asked, report=tmp_path / "r.csv", **QUIET)
    assert [(row.state, Path(row.target).name) for row in found.rows] == [
        ("converted", "run.ome.zarr"), ("converted", "in.ome.zarr"),
    ]  # fmt: skip
    assert all(row.bytes > 0 for row in found.rows)
    for name, factor in (("run", 10), ("in", 1)):
        plate = bigimg.open_plate(tmp_path / f"out/{name}.ome.zarr")
        assert {well: int(plate[well].max()) for well in wells} == {w: factor * v for w, v in wells.items()}
    assert states(bigimg.convert_all(*asked, **QUIET)) == ["finished", "finished"]
    tifffile.imwrite(tmp_path / "in/B02.tif", np.full((40, 50), 7, np.uint8))
    assert states(bigimg.convert_all(*asked, **QUIET)) == ["finished", "failed"]
    assert states(bigimg.convert_all(*asked, overwrite=True, **QUIET)) == ["finished", "converted"]
    through = bigimg.convert_all(tmp_path / "in", tmp_path / "all", **QUIET)
    assert [Path(row.source).name for row in through.rows] == ["A01.tif", "B02.tif", "run"]
    assert through.ok


def collection(path: Path) -> dict[str, Any]:
    """Write images side by side as bioformats2raw does, by zarr itself, and return their pixels."""
    root = zarr.open_group(path, mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    root.create_group("OME").attrs["series"] = ["0", "1"]
    axes = [{"name": name, "type": "space"} for name in "yx"]
    scale = {"type": "scale", "scale": [0.5, 0.5]}
    datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    pixels = {name: noise((40, 50), "u1", seed=int(name)) for name in "01"}
    for name, each in pixels.items():
        image = root.create_group(name)
        image.create_array("0", data=each)
        image.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    return pixels


def test_each_image_of_a_collection_becomes_a_store(tmp_path: Path) -> None:
    pixels = collection(tmp_path / "in/run.zarr")
    for _ in range(2):
        found = bigimg.convert_all(tmp_path / "in", tmp_path / "out", **QUIET)
        assert [Path(row.target).relative_to(tmp_path).as_posix() for row in found.rows] == [
            "out/run/0.ome.zarr", "out/run/1.ome.zarr",
        ]  # fmt: skip
    assert states(found) == ["finished", "finished"]
    for name, each in pixels.items():
        np.testing.assert_array_equal(bigimg.open(tmp_path / f"out/run/{name}.ome.zarr"), each)
    alone = bigimg.convert_all(tmp_path / "in/run.zarr", tmp_path / "one", series=1, **QUIET)
    assert [Path(row.target).name for row in alone.rows] == ["run.ome.zarr"]
    np.testing.assert_array_equal(bigimg.open(tmp_path / "one/run.ome.zarr"), pixels["1"])
    told = command("convert", tmp_path / "in/run.zarr", tmp_path / "a.ome.zarr", scratch=tmp_path)
    assert "choose with --series NAME, or make a store of each with --into FOLDER" in told.err


def test_a_plate_with_a_damaged_field_is_absent_and_passed_by(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for well in ("A01", "A02"):
            tifffile.imwrite(tmp_path / folder / f"{well}.tif", noise((40, 50), "u1"), tile=(16, 16))
    cut = tmp_path / "one/A02.tif"
    cut.write_bytes(cut.read_bytes()[:1500])
    sources = [tmp_path / folder for folder in ("one", "two")]
    found = bigimg.convert_all(sources, tmp_path / "out", pattern="{well}.tif", **QUIET)
    assert states(found) == ["failed", "converted"]
    assert "A02.tif" in found.failed[0].message
    assert not (tmp_path / "out/one.ome.zarr").exists()


def test_the_report_of_the_command_speaks_as_the_command_does(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in/a.npy", np.full((9, 9), 1j))
    done = command(
        "convert",
        tmp_path / "in",
        "--into",
        tmp_path / "out",
        "--report",
        tmp_path / "r.csv",
        scratch=tmp_path,
    )
    assert done.code == 3
    assert "--part real" in rows_of(tmp_path / "r.csv")[0]["message"]
    assert "part=" not in done.err
    found = bigimg.convert_all(tmp_path / "in", tmp_path / "out", **QUIET)
    assert "part='real'" in found.failed[0].message


def test_a_change_in_any_file_of_a_source_makes_it_unfinished(tmp_path: Path) -> None:
    pixels = noise((4, 20, 30), "i2")
    spectral = tmp_path / "in" / "v.hdr"
    spectral.parent.mkdir()
    nibabel.save(nibabel.Nifti1Pair(pixels, np.eye(4)), spectral)  # v.hdr says where v.img is
    assert states(bigimg.convert_all(spectral.parent, tmp_path / "out", **QUIET)) == ["converted"]
    assert states(bigimg.convert_all(spectral.parent, tmp_path / "out", **QUIET)) == ["finished"]
    image = spectral.with_suffix(".img")
    image.write_bytes(image.read_bytes()[:-2] + b"\x01\x02")
    assert states(bigimg.convert_all(spectral.parent, tmp_path / "out", **QUIET)) == ["failed"]
    again = bigimg.convert_all(spectral.parent, tmp_path / "out", overwrite=True, **QUIET)
    assert states(again) == ["converted"]


def test_what_is_wrong_with_one_file_does_not_end_the_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigimg.faces.many.convert_all.SURELY", 10**15)  # the room is estimated in any case
    tifffile.imwrite(tmp_path / "small.tif", noise((9, 9), "u1"))
    tifffile.imwrite(tmp_path / "stack.tif", noise((3, 9, 9), "u1"), photometric="minisblack")
    found = bigimg.convert_all([*tmp_path.glob("*.tif")], tmp_path / "out", spacing={"z": 2.0}, **QUIET)
    assert sorted(states(found)) == ["converted", "failed"]


def test_a_failure_names_its_file(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "small.tif", noise((9, 9), "u1"))
    found = bigimg.convert_all(tmp_path / "small.tif", tmp_path / "out", levels_only=True, **QUIET)
    assert f"failed: {tmp_path / 'small.tif'}: " in str(found)


def test_the_commands_to_look_at_a_store_are_quoted(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise((9, 9), "u1"))
    target = tmp_path / "n s.ome.zarr"
    printed = command("convert", tmp_path / "a.tif", target, scratch=tmp_path)
    assert f"bigimg stats '{target}'" in printed.out + printed.err


def test_a_store_of_a_run_before_colours_and_windows_is_finished(files: Path, tmp_path: Path) -> None:
    """What a run is known by, as it was then: each option but memory and workers, and nothing of those two."""
    asked = {
        "memory": 0, "workers": None, "chunks": None, "shards": None, "codec": "lz4", "levels": None, "halve": [],
        "method": None, "kind": None, "spacing": asdict(Options(0))["spacing"], "channels": None,
        "keep_metadata": False, "ome_version": "0.5", "levels_only": False,
    }  # fmt: skip
    known = [fingerprint(str(files / "0.tif"), stamped=False), asked, "{}", FORMAT]
    text = json.dumps(known, sort_keys=True, default=str)
    with closing(open_source(files / "0.tif")) as reader:
        assert request(reader, Options(5), {}) == hashlib.sha256(text.encode()).hexdigest()
        others = [Options(5, colors=("00FF00",)), Options(5, window=((None, (0.0, 9.0)),))]
        assert len({request(reader, each, {}) for each in (Options(5), *others)}) == 3


def test_a_row_says_what_its_source_lacks(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pixels = noise((8, 40, 50), "u1")
    tifffile.imwrite(tmp_path / "in/a.tif", pixels, metadata=None, tile=(16, 16), photometric="minisblack")
    tifffile.imwrite(tmp_path / "in/b.ome.tif", pixels, tile=(16, 16), photometric="minisblack")
    for name in ("a.tif", "b.ome.tif"):
        whole = (tmp_path / "in" / name).read_bytes()
        (tmp_path / "in" / name).write_bytes(whole[: len(whole) * 3 // 4])
    found = bigimg.convert_all(
        tmp_path / "in", tmp_path / "out", report=tmp_path / "r.csv", allow_partial=True, **QUIET
    )
    assert states(found) == ["converted", "converted"]
    rows = rows_of(tmp_path / "r.csv")
    assert all(
        "% of the pixels are missing" in row["message"] or "before the cut" in row["message"] for row in rows
    )
    for well, planes in (("A01", 3), ("A02", 2)):
        for z in (0, 2, 1)[:planes]:
            (tmp_path / "one").mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / f"one/{well}_z{z}.tif", pixels[z])
    found = bigimg.convert_all(
        tmp_path / "one", tmp_path / "out", pattern="{well}_z{z}.tif", on_gap="fill", **QUIET
    )
    assert "33.3 % of the pixels are missing from the source, at z 1" in found.rows[0].message
    assert found.rows[0].message.endswith("(A/02/0)")
