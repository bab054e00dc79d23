"""Sources that the attacks convert, what comes of them unbroken, and the judges of what a fault leaves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import tifffile
import zarr

import bigimg
from bigimg.conversion.commit import staging_folder
from bigimg.types import Array
from tests.conversion.test_run import tree
from tests.faults.nursery import Nursery

WORKERS = 2
NAME = "out.ome.zarr"
"""Of every target: the image is named after it."""


@dataclass(frozen=True)
class Sample:
    """A source, how it is converted, and what that gives."""

    name: str
    source: Path
    asked: tuple[str, ...]
    pixels: Array
    """As stored at level 0."""
    tree: Mapping[str, str]
    """Digest of each file of an unbroken run."""
    steps: tuple[str, ...]
    """Of an unbroken run."""
    moments: tuple[float, ...]
    """When it came to each of them, in seconds after its start."""
    seconds: float
    """Of an unbroken run."""

    def command(self, target: Path, *more: str) -> tuple[str, ...]:
        """Return the arguments of ``bigimg`` that convert it to ``target``."""
        return ("convert", str(self.source), str(target), *self.asked, "--json", "-q", *more)

    @property
    def blocks(self) -> int:
        return self.steps.count("block")


def make_sample(name: str, folder: Path, nursery: Nursery) -> Sample:
    """Make a source in ``folder`` and convert it, once, unbroken."""
    rng = np.random.default_rng(0)
    asked: tuple[str, ...] = ("--memory", "1GB", "--workers", str(WORKERS))
    if name == "2-D":  # any region at any time
        source, pixels = folder / "in.tif", rng.integers(0, 4000, (300, 500), np.uint16)
        tifffile.imwrite(source, pixels, tile=(64, 64), compression="zlib")
        asked += ("--chunks", "32", "--shards", "64")
    elif name == "0.4":  # a file a chunk
        source, pixels = folder / "in.npy", rng.integers(0, 4000, (70, 90), np.uint16)
        np.save(source, pixels)
        asked += ("--chunks", "16", "--ome-version", "0.4")
    elif name == "tiny":  # so few system calls that each can have its turn
        source, pixels = folder / "in.npy", rng.integers(0, 255, (40, 50), np.uint8)
        np.save(source, pixels)
        asked += ("--chunks", "16", "--shards", "32")
    elif name in ("hollow", "hollow, large"):
        side = 300 if name == "hollow" else 4500
        source, pixels = folder / "in.npy", rng.integers(0, 255, (side, side), np.uint8)
        rows, columns = np.arange(side)[:, None], np.arange(side)[None]
        pixels[abs(rows - columns) < 0.24 * side] = 7  # along the diagonal, where samples are taken
        np.save(source, pixels)
        asked += ("--chunks", "32", "--shards", "64") if side == 300 else ()
    elif name == "large":  # blocks of the default size
        source = folder / "in.npy"
        pixels = np.tile(rng.integers(0, 60, (2000, 2000), np.uint8), (3, 4))[:5000, :7000]
        np.save(source, pixels)
    elif name == "3-D":
        source, pixels = folder / "in.npy", rng.normal(100, 10, (60, 50, 70)).astype(np.float32)
        np.save(source, pixels)
        asked += ("--chunks", "8", "--shards", "16")
    elif name == "in order":  # one thread decodes, others encode
        source, pixels = folder / "in.nii.gz", rng.integers(0, 900, (40, 48, 56), np.int16)
        nibabel.Nifti1Image(pixels.transpose(2, 1, 0), np.diag([1, 1, 2, 1])).to_filename(source)
        asked += ("--chunks", "8", "--shards", "16")
    else:
        raise ValueError(name)
    target = folder / NAME
    sample = Sample(name, source, asked, pixels, {}, (), (), 0.0)
    done = [nursery.run(*sample.command(target, "--overwrite")) for _ in range(3)]
    assert [ended.code for ended in done] == [0, 0, 0], done[0].err
    first, _, _ = done  # the others overwrite, which takes a little longer
    seconds = sorted(ended.seconds for ended in done)[1]
    return Sample(name, source, asked, pixels, tree(target), first.steps, first.moments, seconds)


def new_target(place: Path, number: int | str) -> Path:
    """Return a target in a new folder."""
    folder = place / str(number)
    folder.mkdir()
    return folder / NAME


def whole_or_absent(target: Path, sample: Sample) -> bool:
    """Return whether there is a store under the final name; it must then be whole, for us and for zarr-python."""
    if not os.path.lexists(target):
        return False
    assert tree(target) == sample.tree
    np.testing.assert_array_equal(zarr.open_group(target, mode="r")["0"][...], sample.pixels)
    np.testing.assert_array_equal(bigimg.open(target).to_numpy(), sample.pixels)
    return True


def resumed(target: Path, sample: Sample, nursery: Nursery, **asked: object) -> tuple[int, float]:
    """Run the same command again; the store must be that of an unbroken run. Return blocks kept, and seconds."""
    ended = nursery.run(*sample.command(target), **asked)
    assert ended.code == 0, ended.err
    assert whole_or_absent(target, sample)
    assert not staging_folder(target).exists()
    return ended.resumed, ended.seconds
