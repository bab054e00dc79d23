"""Every benchmark script runs, on images of a few pixels: what it measures of them says nothing, that it ends does."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RUNS = {
    "browse_moves.py .": "| x | all,",
    "check.py data/rgb16k.tif slide.ome.zarr": "levels 3x512x512",
    "cluster.py --mb 1 -n 1 --scratch .": "times as long in pairs",
    "compare.py rgb16k-zstd help -n 1": "1/1 zstd",
    "first_figure.py slide.ome.zarr first.png": '"chunks": 3',
    "first_picture.py make made.ome.zarr": "9920 x 9920, 6 levels, 41 objects",
    "integrity.py -n 1 --only volume --scratch .": "volume, 1 turns, medians: CPU-s default",
    "integrity.py -n 1 --only volume --scratch . --parts": "of 0.",
    "make_data.py": "writing photo.png",
    "many_files.py data/many data/fewer -n 1 --scratch .": "converted at ",
    "memory_of_operations.py --only crop --types u1 --gib 0.01 --layout slide.ome.zarr": "1 of 1 cells inside",
    "patches.py random bigimg slide.ome.zarr": "random bigimg: ",
    "planes.py .": "| sagittal |",
    "reading.py data/stack.lif": "655360 bytes read in ",
    "scale.py 2e3 --scratch .": "| 2000 | 2036 | ",
    "sidecar.py data/slide.svs -n 1 --scratch .": "of the whole (at most 10%)",
    "slide.py 300 virtual.ome.zarr": "",
    "statistics_of_a_store.py data/rgb16k.tif slide.ome.zarr -n 1": "| bigimg, stored |",
    "verify_speed.py -n 1 --scratch .": "volume.ome.zarr zarr-python: ",
}
"""What is called, and what it has to print."""
PEERS = {
    "bioio_write.py": (("bioio", "bioio_lif", "ome_zarr"), "stack.lif"),
    "dask_image_folder.py": (("dask_image", "ome_zarr"), "planes"),
    "ngff_zarr_nifti.py": (("ngff_zarr", "itkwasm_downsample"), "volume.nii"),
    "ngff_zarr_volume.py": (("ngff_zarr", "itkwasm_downsample"), "volume.tif"),
    "ome_zarr_write.py": (("ome_zarr",), "rgb16k.tif"),
    "openreadout_export.py": (("openreadout",), "stack.lif"),
    "simpleitk_series.py": (("SimpleITK",), "ct"),
    "tensorstore_volume.py": (("tensorstore",), "volume.tif"),
    "tiles_alone.py": (("liffile",), "stack.lif"),
    "vips_dzsave.py": (("pyvips",), "rgb16k.tif"),
}
"""What each has to import, and what it reads."""
BY_OTHERS = {"environments.py", "jobs.py", "measure.py", "operations.py", "report.py", "vendor_files.py"}
READ_ONLY = {"simpleitk_series.py", "tiles_alone.py"}
"""Peers that write nothing."""
"""Called or imported by those above, or by a test of their own."""


def run(folder: Path, *command: object, **more: str) -> str:
    """Run a script of the copied benchmarks there; return what it prints."""
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "BIGIMG_BENCH_SHRINK": "32", **more},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the benchmarks, in which each environment is this one, with a slide and its store."""
    copy = tmp_path_factory.mktemp("copy") / "benchmarks"
    shutil.copytree(BENCHMARKS, copy, ignore=shutil.ignore_patterns("data", ".envs"))
    (copy / ".envs").mkdir()
    (copy / ".envs" / "bigimg").symlink_to(sys.prefix)
    run(copy, "make_data.py", "rgb16k.tif", "stack.lif", "slide.svs", "many", "fewer")
    run(copy, "-m", "bigimg", "convert", "-q", "data/rgb16k.tif", "slide.ome.zarr")
    return copy


def test_every_script_is_run_here() -> None:
    assert {path.name for path in BENCHMARKS.glob("*.py")} == {call.split()[0] for call in RUNS} | BY_OTHERS
    assert {path.name for path in (BENCHMARKS / "peers").glob("*.py")} == set(PEERS)


@pytest.mark.parametrize("call", RUNS)
def test_it_runs(call: str, folder: Path) -> None:
    assert RUNS[call] in run(folder, *call.split())


def test_the_report_is_made_of_what_compare_keeps(folder: Path) -> None:
    run(folder, "compare.py", "help", "-n", "1")
    before = (folder / "RESULTS.md").read_text(encoding="utf-8")
    run(folder, "report.py")
    after = (folder / "RESULTS.md").read_text(encoding="utf-8")
    assert "| bigimg --help against importing click | bigimg |" in after
    assert after.split("<!--")[0] == before.split("<!--")[0]


def test_an_environment_is_made_of_the_present_bigimg(folder: Path, tmp_path: Path) -> None:
    """By a ``uv`` that writes down what it is asked for, as no index is asked here."""
    (tmp_path / "uv").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    (tmp_path / "uv").chmod(0o755)
    run(folder, "environments.py", "bigimg", PATH=f"{tmp_path}:{os.environ['PATH']}")
    made, installed = (tmp_path / "asked").read_text().splitlines()
    assert made.split()[0] == "venv"
    assert f"--reinstall-package bigimg-zarr {folder.parent}" in installed


@pytest.mark.validators
@pytest.mark.parametrize("script", PEERS)
def test_a_peer_runs(script: str, folder: Path) -> None:
    modules, source = PEERS[script]
    if missing := [name for name in modules if importlib.util.find_spec(name) is None]:
        pytest.skip(f"{', '.join(missing)} is not installed")
    run(folder, "make_data.py", source)
    target = folder / script.removesuffix(".py")
    run(folder, f"peers/{script}", f"data/{source}", *([] if script in READ_ONLY else [target]))
    if script not in READ_ONLY | {"vips_dzsave.py"}:
        assert "levels " in run(folder, "check.py", f"data/{source}", target)


@pytest.mark.parametrize("call", [("grid", "bigimg"), ("grid", "dask"), ("random", "tensorstore-sorted")])
def test_patches_of_others(call: tuple[str, str], folder: Path) -> None:
    if call[1].startswith("tensorstore") and importlib.util.find_spec("tensorstore") is None:
        pytest.skip("tensorstore is not installed")
    assert " ".join(call) in run(folder, "patches.py", *call, "slide.ome.zarr", f"patches-{call[1]}.ome.zarr")
