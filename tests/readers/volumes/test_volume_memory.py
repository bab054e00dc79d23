"""Inside the budget: measured peak <= planned <= ``memory`` for the readers of scanned volumes and of text headers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bigimg.types import Array
from tests.conversion import test_memory as pass_memory
from tests.readers.volumes.header_files import metaimage, nrrd
from tests.readers.volumes.volume_files import BUNDLED, afni, ecat, mgh, minc1, minc2, par

pytestmark = pass_memory.pytestmark


EPI = "phantom_EPI_asc_CLEAR_2_1.PAR"


def volume(*shape: int) -> Array:
    return pass_memory.picture(shape, "i2")


CASES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "mgh": ("a.mgh", lambda p: mgh(p, volume(400, 400, 256).astype("f4"))),
    "mgz": ("a.mgz", lambda p: mgh(p, volume(320, 320, 256))),
    "afni, scaled": ("a.HEAD", lambda p: afni(p.with_suffix(""), volume(256, 256, 128, 8), factors=range(1, 9))),
    "ecat": ("a.v", lambda p: ecat(p, volume(6, 256, 256, 128), factors=[1] * 6)),
    "minc 1, scaled": (
        "a.mnc", lambda p: minc1(p, volume(256, 400, 400), ("zspace", "yspace", "xspace"), varied=True),
    ),
    "minc 2": (
        "a.mnc", lambda p: minc2(
            p, volume(256, 400, 400), ("zspace", "yspace", "xspace"), varied=False, chunks=(16, 64, 400),
        ),
    ),
    "minc 2, scaled": (
        "a.mnc", lambda p: minc2(
            p, volume(256, 400, 400), ("zspace", "yspace", "xspace"), varied=True, chunks=(1, 400, 400),
        ),
    ),
    "par and rec": (EPI, lambda p: par(p.parent, EPI, side=1024)),
    "par and rec, scaled": ("phantom_varscale.PAR", lambda p: par(p.parent, "phantom_varscale.PAR", side=1024)),
    "metaimage": ("a.mhd", lambda p: metaimage(p, volume(256, 512, 512))),
    "metaimage, compressed": ("a.mha", lambda p: metaimage(p, volume(160, 400, 400), packed=True)),
    "metaimage, a file a slice": ("a.mhd", lambda p: metaimage(p, volume(256, 512, 512), split=1)),
    "nrrd, bzip2": ("a.nrrd", lambda p: nrrd(p, volume(32, 512, 512), encoding="bzip2")),
    "nrrd, text": ("a.nrrd", lambda p: nrrd(p, volume(16, 400, 400), encoding="ascii")),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose content is gone after the test."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("name", CASES)
def test_measured_within_planned_within_budget(name: str, folder: Path) -> None:
    if name.startswith("par") and not BUNDLED.is_dir():
        pytest.skip("this nibabel comes without its test data")
    source, make = CASES[name]
    pass_memory.check((source, make, {"memory": "512MB"}), name, folder)
