"""bigimg where all is missing that Windows lacks: imported, and through its whole life. Tried so, not on Windows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LIFE = r"""
import os
import shutil
import sys
from pathlib import Path

from tests.system import windows

windows.become()

import numpy as np
import tifffile

import bigimg
from bigimg.cli import cli
from bigimg.conversion import commit
from bigimg.conversion.leftovers import clean
from bigimg.faces.convert import convert_to_store
from bigimg.errors import OutputError, TargetExistsError
from bigimg.system import os_calls

assert os_calls.found == os_calls.OsCalls(), os_calls.found
home = Path(sys.argv[1])
asked = {"memory": "2GB", "chunks": 32, "shards": 64, "progress": False}
pixels = np.random.default_rng(0).integers(0, 4000, (300, 500), np.uint16)
other = np.random.default_rng(1).integers(0, 200, (200, 150), np.uint8)
tifffile.imwrite(home / "a.tif", pixels, tile=(64, 64), compression="zlib")
np.save(home / "b.npy", other)


def refused(kind, work):
    try:
        work()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


# this is no Linux
with open(home / "b.npy", "rb"):
    refused(PermissionError, (home / "b.npy").unlink)
    refused(PermissionError, lambda: (home / "b.npy").rename(home / "c.npy"))
refused(FileExistsError, lambda: (home / "a.tif").rename(home / "b.npy"))
refused(PermissionError, lambda: os.open(home, os.O_RDONLY))

# from end to end
store = home / "a.ome.zarr"
bigimg.convert(home / "a.tif", store, **asked)
assert bigimg.verify(store, source=home / "a.tif").ok
assert np.array_equal(bigimg.open(store), pixels)
assert np.array_equal(bigimg.imread(home / "b.npy"), other)
assert int(bigimg.stats(bigimg.open(store))["max"]) == pixels.max()

# a name that is taken, and the store of that name replaced
assert "overwrite=True" in refused(TargetExistsError, lambda: bigimg.convert(home / "b.npy", store, **asked))
bigimg.convert(home / "b.npy", store, overwrite=True, **asked)
assert np.array_equal(bigimg.open(store), other)

# interrupted, refused meanwhile, gone on with
seen = []
def stop(step):
    seen.append(step)
    if step == "block" and seen.count("block") == 5:
        second = lambda: bigimg.convert(home / "a.tif", home / "c.ome.zarr", **asked)
        assert "another run" in refused(OutputError, second)
        raise KeyboardInterrupt
commit.hook = stop
for resume in (True, False):
    seen.clear()
    refused(
        KeyboardInterrupt,
        lambda: bigimg.convert(home / "a.tif", home / "c.ome.zarr", workers=1, resume=resume, **asked),
    )
commit.hook = commit._no_hook
assert [left.target for left in clean(home).found] == ["c.ome.zarr"]
assert convert_to_store(home / "a.tif", home / "c.ome.zarr", **asked).blocks_resumed > 0
assert np.array_equal(bigimg.open(home / "c.ome.zarr"), pixels)

# a mask beside its image, a picture, a file of another format, bytes
img = bigimg.open(home / "c.ome.zarr")
bigimg.write(bigimg.mask(img, above=2000), home / "c.ome.zarr" / "labels" / "bright", progress=False)
assert np.array_equal(bigimg.open(home / "c.ome.zarr" / "labels" / "bright"), pixels > 2000)
for arguments in (["thumbnail", home / "c.ome.zarr", home / "e.png"], ["convert", home / "e.png", home / "e.ome.zarr"]):
    cli.main([str(each) for each in arguments], standalone_mode=False)
assert bigimg.verify(home / "e.ome.zarr", source=home / "e.png").ok
shutil.make_archive(home / "f.zarr", "zip", home / "c.ome.zarr")
assert np.array_equal(bigimg.open(home / "f.zarr.zip"), pixels)
for name in ("d.tif", "d.npy", "d.png", "d.jpg"):
    bigimg.export(home / "b.npy", home / name, progress=False)
    assert (home / name).stat().st_size
assert np.array_equal(tifffile.imread(home / "d.tif"), other)
assert np.array_equal(bigimg.imread((home / "b.npy").read_bytes()), other)

del img
print(sorted(path.name for path in home.iterdir() if path.name != "cache"))
"""


def test_the_whole_life_of_a_store(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", LIFE, str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[2],
        env={**os.environ, "HOME": str(tmp_path / "user"), "BIGIMG_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    made = "a.ome.zarr a.tif b.npy c.ome.zarr d.jpg d.npy d.png d.tif e.ome.zarr e.png f.zarr.zip"
    assert child.stdout.splitlines()[-1] == str(made.split())
    assert not list((tmp_path / "cache").rglob("copy-*"))
