"""Inside the budget: measured peak <= planned peak <= ``memory``, in a process of its own for each format.

The sources are made while they are read, so a child's memory is that of the export alone.
``BIGIMG_TEST_MEMORY=1 pytest -s`` prints the table.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the high-water mark of memory is Linux's to tell"
)

CHILD = """\
import json, sys
import numpy as np
from bigimg.exporters.run import export
from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import RGB, ImageSpec
from bigimg.reader import Access

class Virtual:
    '''Texture without end, in chunks as a store would have them.'''

    source = "virtual"

    def __init__(self, dims, shape, dtype, chunks, order):
        self.spec = ImageSpec(
            tuple(Axis(n, s) for n, s in zip(dims, shape)), np.dtype(dtype), tuple(chunks),
            channels=RGB if "c" in dims else (),
        )
        self.access = Access("sequential" if order else "random", "virtual", tuple(order))
        rng = np.random.default_rng(0)
        self.texture = np.concatenate([rng.integers(0, 4000, (64, 64)).astype(dtype)] * 64, 1)

    def read(self, region):
        out = np.empty([s.stop - s.start for s in region], self.spec.dtype)
        rows = out.reshape(-1, out.shape[-1])
        for top in range(0, len(rows), 64):
            part = rows[top : top + 64]
            for left in range(0, part.shape[1], 4096):
                piece = part[:, left : left + 4096]
                piece[...] = self.texture[: len(piece), : piece.shape[1]]
        return out

    def close(self):
        pass

made, target, memory = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
source = made if isinstance(made, str) else Virtual(*made)
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
plan = export(source, target, memory=memory, progress=False).plan
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
print(json.dumps({
    "measured": peak, "planned": plan.peak_bytes, "budget": plan.budget_bytes, "scratch": plan.scratch_bytes,
    "lines": {line.name: round(line.bytes / 1e6) for line in plan.memory},
}))
"""

VOLUME = ("zyx", (192, 1024, 1024), "u2", (64, 64, 64), "")
SLIDE = ("cyx", (3, 12000, 12000), "u1", (3, 512, 512), "")
PLANE = ("yx", (14000, 14000), "u2", (256, 256), "")
ROWS = ("cyx", (3, 10000, 12000), "u1", (3, 1, 12000), "yxc")
FLOATS = ("zyx", (96, 1024, 512), "f8", (1, 1, 64), "")
SERIES = ("tzyx", (40, 40, 256, 256), "f4", (1, 1, 1, 64), "tzyx")

CASES: dict[str, tuple[object, str, str, bool]] = {
    # why: (source, target, budget, whether it goes through scratch)
    "nii": (VOLUME, "a.nii", "256MB", False),
    "nii, floats": (FLOATS, "a.nii", "256MB", False),
    "nii.gz": (VOLUME, "a.nii.gz", "640MB", False),
    "nii.gz through scratch": (VOLUME, "a.nii.gz", "256MB", True),
    "nii.gz, a series in order": (SERIES, "a.nii.gz", "192MB", False),
    "mha, interleaved": (SLIDE, "a.mha", "256MB", False),
    "mhd": (VOLUME, "a.mhd", "256MB", False),
    "npy": (ROWS, "a.npy", "256MB", False),
    "tif": (SLIDE, "a.tif", "384MB", False),
    "tif of a volume": (VOLUME, "a.tif", "256MB", True),
    "ome.tif of floats": (FLOATS, "a.ome.tif", "384MB", False),
    "png": (PLANE, "a.png", "256MB", False),
    "png, colour, in rows": (ROWS, "a.png", "256MB", False),
    "jpg": (SLIDE, "a.jpg", "384MB", False),
}
NIGHTLY = {
    "8 GiB to nii": (("zyx", (1024, 2048, 2048), "u2", (64, 64, 64), ""), "a.nii", "512MB", False),
    "8 GiB to nii.gz": (("zyx", (1024, 2048, 2048), "u2", (64, 64, 64), ""), "a.nii.gz", "512MB", True),
    "8 GiB to ome.tif": (("zyx", (1024, 2048, 2048), "u2", (1, 512, 512), ""), "a.ome.tif", "512MB", False),
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose content is gone after the test: pytest keeps three runs of these gigabytes otherwise."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def check(case: tuple[object, str, str, bool], name: str, folder: Path) -> None:
    source, target, memory, scratch = case
    child = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(source), str(folder / target), memory],
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    found = json.loads(child.stdout)
    if os.environ.get("BIGIMG_TEST_MEMORY"):
        in_mb = (f"{found[key] / 1e6:5.0f}" for key in ("measured", "planned", "budget"))
        print(f"\n| {name:26} | {' | '.join(in_mb)} | {found['lines']} |")
    assert found["measured"] <= found["planned"] <= found["budget"], found
    assert (found["scratch"] > 0) == scratch, found
    assert {path.name for path in folder.iterdir()} <= {target, "a.raw"}


@pytest.mark.parametrize("name", CASES)
def test_measured_within_planned_within_budget(name: str, folder: Path) -> None:
    check(CASES[name], name, folder)


@pytest.mark.nightly
@pytest.mark.parametrize("name", NIGHTLY)
def test_the_same_for_gigabytes(name: str, folder: Path) -> None:
    check(NIGHTLY[name], name, folder)
