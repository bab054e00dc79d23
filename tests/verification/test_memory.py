"""A full check inside the budget: measured peak <= planned peak <= ``memory``, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import bigimg
from tests.conversion.test_memory import npy, picture, png

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the high-water mark of memory is Linux's to tell"
)

CHILD = """\
import json, sys
from bigimg.faces.verify import verify

with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
report = verify(sys.argv[1], sys.argv[2] or None, memory=sys.argv[3])
assert report.ok, report
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
print(json.dumps({"measured": peak, "planned": report.peak_bytes, "budget": report.budget_bytes}))
"""


def check(store: Path, source: Path | None, memory: str) -> None:
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(store), str(source or ""), memory],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    found: dict[str, Any] = json.loads(child.stdout)
    print(f"{store.name}: " + ", ".join(f"{name} {value / 1e6:.0f} MB" for name, value in found.items()))
    assert found["measured"] <= found["planned"] <= found["budget"], found


CASES: dict[str, tuple[tuple[int, ...], str, str, dict[str, Any]]] = {
    # why: (shape, type, budget, options)
    "16 bits, shards of 33 MB": ((128, 768, 768), "u2", "256MB", {}),
    "16 bits, smaller blocks": ((128, 768, 768), "u2", "160MB", {}),
    "doubles": ((64, 512, 512), "f8", "256MB", {}),
    "gaussian": ((4000, 5000), "u2", "256MB", {"method": "gaussian"}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_store_of_ours(name: str, tmp_path: Path) -> None:
    shape, dtype, memory, asked = CASES[name]
    npy(tmp_path / "a.npy", shape, dtype)
    bigimg.convert(tmp_path / "a.npy", tmp_path / "a.ome.zarr", progress=False, **asked)
    check(tmp_path / "a.ome.zarr", None, memory)
    check(tmp_path / "a.ome.zarr", tmp_path / "a.npy", memory)


def test_an_ordered_source(tmp_path: Path) -> None:
    """A store and its PNG: the band is a row of chunks, 512 rows of 24 kB."""
    png(tmp_path / "a.png", (6000, 8000, 3))
    bigimg.convert(tmp_path / "a.png", tmp_path / "a.ome.zarr", progress=False)
    check(tmp_path / "a.ome.zarr", tmp_path / "a.png", "384MB")


def test_a_store_of_others(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=picture((256, 512, 512), "u2"), chunks=(64, 128, 128))
    check(tmp_path / "a.zarr", None, "256MB")
    assert np.prod((256, 512, 512)) * 2 > 100_000_000
