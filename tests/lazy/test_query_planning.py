"""All functions with dask's array expressions, ``DASK_ARRAY__QUERY_PLANNING=True``: dask chooses them at import."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import bigimg
from tests.lazy import every_function

ROOT = Path(__file__).parents[2]


def planned(*arguments: str) -> str:
    """Run Python with array expressions, and return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"DASK_ARRAY__QUERY_PLANNING": "True", "MPLBACKEND": "agg"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_every_function_gives_the_same(tmp_path: Path) -> None:
    assert planned("-m", "tests.lazy.every_function", str(tmp_path)).strip().endswith("all of 7")


def test_no_function_is_forgotten() -> None:
    called = set(re.findall(r"bigimg\.(\w+)\(", Path(every_function.__file__).read_text(encoding="utf-8")))
    functions = {name for name in bigimg.__all__ if name.islower() and not name.startswith("_")}
    assert called == functions - every_function.ELSEWHERE


NOT_YET = {
    "mean": "img.mean()", "where": "img.where(img > 3)", "concat": "xarray.concat([img, img], 'z')",
    "any": "img.any('x')", "sum": "img.sum()", "values": "xarray.DataArray(img.values)",
}  # fmt: skip
"""Plain xarray fails in these on dask's expressions, and with it what a person computes so."""


def test_what_plain_xarray_cannot_do_yet() -> None:
    """Notices when it can: then the list of limits in the docs is shorter."""
    found = planned("-c", f"""
import dask.array as da, numpy as np, xarray
img = xarray.DataArray(da.from_array(np.arange(600).reshape(20, 30), chunks=10), dims=("y", "x"))
for name, made in {NOT_YET!r}.items():
    try:
        if eval(made).compute().dtype != object:
            continue
    except NotImplementedError:
        pass
    print(name)
""")  # fmt: skip
    assert found.split() == list(NOT_YET)
