"""What an image declares to be no measurement does not widen the window of a figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image

import bigimg
from bigimg.cli import cli


@pytest.mark.parametrize(("dtype", "value"), [("f4", -9999), ("i2", -32768)])
def test_windows_leave_no_data_out(tmp_path: Path, dtype: str, value: int) -> None:
    height = np.random.default_rng(4).integers(100, 200, (90, 80)).astype(dtype)
    height[:, 50:] = value
    path, store = tmp_path / "dem.tif", tmp_path / "dem.ome.zarr"
    tifffile.imwrite(path, height, metadata=None, extratags=[(42113, 2, None, str(value), True)])
    bigimg.convert(path, store, progress=False)
    expected = np.percentile(height[:, :50], (0.1, 99.9))
    for source in (path, store):
        low, high = bigimg.show(source).images[0].get_clim()
        assert low == pytest.approx(expected[0], abs=1)
        assert high == pytest.approx(expected[1], abs=1)
    done = CliRunner().invoke(cli, ["thumbnail", str(path), str(tmp_path / "a.png"), "--max", "90"])
    assert done.exit_code == 0, done.output
    seen = np.asarray(Image.open(tmp_path / "a.png"))
    assert np.unique(seen[:, :50]).size > 50
