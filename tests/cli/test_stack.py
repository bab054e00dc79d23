"""``bigimg stack``: sources in their order along a new axis, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from click.testing import CliRunner

from bigimg.cli import cli
from bigimg.errors import UsageError


def test_sources_in_their_order(tmp_path: Path) -> None:
    volume = np.random.default_rng(4).integers(0, 250, (3, 70, 80)).astype("u1")
    names = ["b.tif", "c.tif", "a.tif"]
    for name, plane in zip(names, volume, strict=True):
        tifffile.imwrite(tmp_path / name, plane, resolution=(2e4, 2e4), resolutionunit="CENTIMETER")
    words = [
        "stack",
        *(str(tmp_path / name) for name in names),
        str(tmp_path / "out.ome.zarr"),
        "--axis",
        "t",
    ]
    planned = CliRunner().invoke(cli, [*words, "--dry-run"], catch_exceptions=False)
    assert "t 3 y 70 x 80" in planned.stdout
    assert not (tmp_path / "out.ome.zarr").exists()
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert (done.exit_code, done.stdout) == (0, "")
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "out.ome.zarr" / "0", mode="r")[...], volume)
    tifffile.imwrite(tmp_path / "d.tif", volume[0, :60])
    with pytest.raises(UsageError, match=r"image 1 is .* bring them to one shape"):
        CliRunner().invoke(
            cli,
            ["stack", words[1], str(tmp_path / "d.tif"), "x.ome.zarr", "--axis", "z"],
            catch_exceptions=False,
        )
