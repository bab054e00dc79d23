"""What each verb may not import: a second of waiting, or a hundred megabytes, that it has no use for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

LABELLED = {"xarray", "dask", "pandas"}
"""1.2 s together."""
PLOTTING = {"matplotlib", "numba", "napari"}
STORES = {"zarr", "fsspec", "asyncio"}
"""0.5 s; a store of ours is written, and read where its manifest is there, without."""
CHILD = """\
import json, sys
from bigimg import cli
try:
    cli.main()
finally:
    with open({out!r}, "w") as file:
        json.dump(sorted(sys.modules), file)
"""


def imported(*args: object, folder: Path) -> set[str]:
    """Return the modules that a verb brought in."""
    out = folder / "modules.json"
    child = subprocess.run(
        [sys.executable, "-c", CHILD.format(out=str(out)), *map(str, args)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    return set(json.loads(out.read_text()))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One small file of each format that has a library of its own."""
    folder = tmp_path_factory.mktemp("sources")
    pixels = np.arange(64 * 80, dtype=np.uint8).reshape(64, 80)
    Image.fromarray(pixels).save(folder / "a.png")
    Image.fromarray(pixels).save(folder / "a.jpg")
    Image.fromarray(pixels).save(folder / "a.bmp")
    tifffile.imwrite(folder / "a.tif", pixels, compression="zlib", tile=(16, 16))
    np.save(folder / "a.npy", pixels)
    volume = nibabel.Nifti1Image(np.zeros((8, 9, 10), np.int16), np.eye(4))
    volume.to_filename(folder / "a.nii")
    volume.to_filename(folder / "b.nii.gz")
    return {path.suffix[1:]: path for path in folder.iterdir()}


DECODERS = {"tifffile", "pyvips", "nibabel"}
NEEDED = {
    "png": set(),  # plain; others want it
    "jpg": {"pyvips"},
    "bmp": set(),
    "tif": {"tifffile"},
    "npy": set(),
    "nii": {"nibabel"},
    "gz": {"nibabel"},
}


@pytest.mark.parametrize("verb", [(), ("info",), ("plan",), ("convert",), ("stats",), ("demo",)], ids=str)
def test_help_imports_no_array_library(verb: tuple[str, ...], tmp_path: Path):
    found = imported(*verb, "--help", folder=tmp_path)
    assert not found & {"numpy", "PIL", "psutil", "rich", *DECODERS, *LABELLED, *PLOTTING, *STORES}


@pytest.mark.parametrize("name", NEEDED)
def test_info_plan_and_convert(name: str, sources: dict[str, Path], tmp_path: Path):
    target = tmp_path / "a.ome.zarr"
    of_other_formats = DECODERS - NEEDED[name]
    for verb, allowed in (
        (("info", sources[name]), set()),
        (("plan", sources[name], target), set()),
        (("convert", "-q", sources[name], target), {"pyvips"}),  # its histogram of 16-bit pixels
    ):
        forbidden = LABELLED | PLOTTING | STORES | of_other_formats - allowed
        if verb[0] == "info":  # a tenth of its time each
            forbidden |= {"bigimg.omezarr", "bigimg.pyramid", "bigimg.conversion", "psutil"}
        assert imported(*verb, folder=tmp_path) & forbidden == set(), verb


def test_a_store_of_ours(sources: dict[str, Path], tmp_path: Path):
    """Its metadata and statistics are read without zarr, and so are its chunks when it is converted again."""
    store = tmp_path / "a.ome.zarr"
    imported("convert", "-q", sources["tif"], store, folder=tmp_path)
    forbidden = LABELLED | PLOTTING | STORES | DECODERS
    for verb in ("info", "stats", "verify"):
        assert imported(verb, store, folder=tmp_path) & forbidden == set(), verb
    again = imported("convert", "-q", store, tmp_path / "b.ome.zarr", folder=tmp_path)
    assert not again & (LABELLED | PLOTTING)


def test_the_demo(tmp_path: Path):
    """The pass and the table load no labelled arrays; the thumbnail at its end does."""
    found = imported("demo", tmp_path / "a.zarr", "--size", "600x700", "-q", folder=tmp_path)
    assert not found & (PLOTTING | {"zarr"})


def test_the_package_itself():
    code = (
        "import sys, bigimg; assert bigimg.__all__; print(*(name for name in sys.modules if '.' not in name))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not set(found.split()) & {"numpy", "PIL", "click", *DECODERS, *LABELLED, *PLOTTING, *STORES}


def test_numbers_of_a_file_need_no_xarray(sources: dict[str, Path]):
    """``info``, ``plan`` and ``imread`` from Python, as from the command line."""
    code = (
        "import sys, bigimg; bigimg.info(sys.argv[1]); bigimg.imread(sys.argv[1]);"
        "bigimg.plan(sys.argv[1], sys.argv[1] + '.zarr'); print(*sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(sources["tif"])], capture_output=True, text=True, check=True
    )
    assert not set(ran.stdout.split()) & (LABELLED | PLOTTING | STORES)
