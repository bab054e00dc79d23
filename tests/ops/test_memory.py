"""Inside the budget: operations on images far larger than it, each in a process of its own.

The full table, 64 GiB and every type and layout, is ``benchmarks/memory_of_operations.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HARNESS = ROOT / "benchmarks" / "memory_of_operations.py"
BUDGET = "300MB"

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the high-water mark of memory is Linux's to tell"
)


@pytest.mark.parametrize(
    ("operation", "dtype", "layout"),
    [
        ("stats with a histogram", "u2", "slide, RGB 512²"),
        ("stats where", "u1", "volume 64³"),
        ("percentile", "f4", "slide, RGB 512²"),
        ("downsample by 4, gaussian", "u1", "rows in order"),
        ("apply_mask, then stats", "u2", "slide, RGB 512²"),
    ],
)
def test_two_gibibytes_within_300_megabytes(operation: str, dtype: str, layout: str) -> None:
    """Ended when 128 MiB were read: the peak is that of a few blocks, and comes early."""
    asked = json.dumps([operation, dtype, layout, 1 << 31, BUDGET, 1 << 27])
    done = subprocess.run(
        [sys.executable, str(HARNESS), "--cell", asked], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cell = json.loads(done.stdout.splitlines()[-1])
    assert not cell["error"]
    assert cell["read_bytes"] >= 1 << 27
    assert cell["peak_bytes"] <= cell["budget_bytes"], cell
