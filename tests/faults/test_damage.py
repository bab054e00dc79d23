"""Bits flipped, objects lost, swapped, cut, chunks dropped: never other pixels, and ``verify`` finds each one."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest

import bigimg
from bigimg.errors import BigimgError, CorruptChunk
from bigimg.omezarr.open import open_store
from tests.conversion.faults import Harm, drop_chunk, flip, harmed, lose, shards, swap, truncate
from tests.conversion.sources import CountingReader, noise
from tests.faults.conftest import Tell
from tests.faults.times import SEED, times
from tests.verification.test_store import STORES, made

EDITED = "edited"
"""What reading a store ends with whose root differs: it may be an edit of somebody, and ``info`` says which."""
LEFT_OUT = {"bigimg/manifest/zarr.json", "bigimg/manifest/.zattrs"}
"""The list of objects accuses others when it is itself wrong."""
VERSIONS: dict[str, tuple[str, tuple[int, ...], str, dict[str, Any]]] = {
    "a picture in 0.4": ("cyx", (3, 35, 41), "u1", {"chunks": 8, "ome_version": "0.4"}),
    "a volume in 0.6": ("zyx", (9, 20, 14), "u2", {"chunks": 4, "shards": 8, "ome_version": "0.6"}),
}
"""Beside the stores in 0.5; one in 0.4 has neither shards nor checksums in its chunks, only the manifest."""


def seen(root: Path) -> list[Any]:
    """Return everything that a user gets of a store: of each level pixels, type, names, places, spacing, and so on."""
    found: list[Any] = []
    levels = len(bigimg.open_pyramid(root).children)
    for level in range(levels):
        image = bigimg.open(root, level=level)
        found += [image.dims, image.dtype.str, image.to_numpy().tobytes()]
        found += [(name, values.to_numpy().tolist()) for name, values in sorted(image.coords.items())]
        found += [image.bigimg.spacing, image.bigimg.units, image.bigimg.channels, sorted(image.attrs)]
        found.append(np.asarray(image.bigimg.affine).tolist())
    return [levels, *found]


def told_or_same(root: Path, whole: list[Any]) -> str:
    """Return the kind of error that reading all of a store ends with, "same", or "edited"; anything else is a lie."""
    try:
        got = seen(root)
    except BigimgError as error:
        return type(error).__name__
    if any("edited since bigimg wrote it" in note for note in open_store(root).notes):
        assert pixels_of(got) == pixels_of(whole)
        return EDITED
    assert got == whole
    return "same"


def pixels_of(found: list[Any]) -> list[Any]:
    """Return of what was seen the axes, types and pixels of the levels, which no edit may change."""
    return [found[0], *(each for each in found[1:] if isinstance(each, bytes | str))]


@pytest.fixture(scope="module")
def stores(room: Path) -> list[tuple[Path, Path, list[Any]]]:
    """Each a store to be harmed, a copy of it, and what it says."""
    found = []
    for i, name in enumerate((*STORES, *VERSIONS)):
        (room / f"damage{i}").mkdir()
        root = room / f"damage{i}" / "a.ome.zarr"
        if name in STORES:
            made(root, name)
        else:
            dims, shape, dtype, asked = VERSIONS[name]
            bigimg.convert(CountingReader(noise(shape, dtype), dims), root, progress=False, **asked)
        shutil.copytree(root, room / f"damage{i}" / "whole")
        found.append((root, room / f"damage{i}" / "whole", seen(root)))
    return found


def attack(
    harm: Harm, n: int, stores: list[tuple[Path, Path, list[Any]]], tell: Callable[[str], None]
) -> None:
    results: Counter[str] = Counter()
    files: Counter[str] = Counter()
    done, seed = 0, SEED * 1_000_000
    fitting = [store for store in stores if harm is not drop_chunk or shards(store[0])]
    with dask.config.set(scheduler="synchronous"):
        while done < n:
            root, whole, said = fitting[seed % len(fitting)]
            with harmed(root, whole, harm, seed) as concerned:
                seed += 1
                if concerned is None:  # two equal files were to be swapped
                    continue
                done += 1
                results[told_or_same(root, said)] += 1
                names = {path.relative_to(root).as_posix() for path in concerned}
                files["metadata" if any("/c/" not in name and "." in name for name in names) else "data"] += 1
                report = bigimg.verify(root)
                assert not report.ok or report.edits, (seed, names)
                if not names & LEFT_OUT and not report.edits:
                    assert names <= {finding.file for finding in report.findings}, (seed, report)
        for root, _, said in stores:
            assert bigimg.verify(root).findings == ()
            assert told_or_same(root, said) == "same"
    tell(f"{harm.__name__}: {done} in {len(fitting)} stores (metadata {files['metadata']}), seed {SEED}; 0 silent "
         f"differences, open {dict(results.most_common())}; verify found all, and nothing in intact ones")  # fmt: skip


@times(24, 3000)
def test_flipped_bits(n: int, stores: list[tuple[Path, Path, list[Any]]], tell: Tell) -> None:
    attack(flip, n, stores, tell)


@times(12, 500)
def test_lost_objects(n: int, stores: list[tuple[Path, Path, list[Any]]], tell: Tell) -> None:
    attack(lose, n, stores, tell)


@times(12, 300)
def test_swapped_objects(n: int, stores: list[tuple[Path, Path, list[Any]]], tell: Tell) -> None:
    attack(swap, n, stores, tell)


@times(6, 100)
def test_chunks_dropped_from_an_index(n: int, stores: list[tuple[Path, Path, list[Any]]], tell: Tell) -> None:
    attack(drop_chunk, n, stores, tell)


@times(12, 200)
def test_cut_objects(n: int, stores: list[tuple[Path, Path, list[Any]]], tell: Tell) -> None:
    attack(truncate, n, stores, tell)


@times(60, 2000)
def test_every_bit_of_small_metadata(n: int, stores: list[tuple[Path, Path, list[Any]]], tell: Tell) -> None:
    """The root and the metadata of level 0, bit for bit: what spacing, type and shape hang on."""
    results: Counter[str] = Counter()
    with dask.config.set(scheduler="synchronous"):
        picture, old, new = stores[0], stores[-2], stores[-1]
        documents = [
            (picture, "zarr.json"),
            (picture, "0/zarr.json"),
            (new, "zarr.json"),
            (new, "0/zarr.json"),
        ]
        documents += [(old, name) for name in (".zattrs", ".zgroup", "0/.zarray", "0/.zattrs")]
        for (root, whole, said), name in documents:
            data = (whole / name).read_bytes()
            bits = 8 * len(data)
            for bit in range(SEED % 7, bits, max(1, math.ceil(len(documents) * bits / n))):
                changed = bytearray(data)
                changed[bit // 8] ^= 1 << bit % 8
                (root / name).write_bytes(changed)
                results[told_or_same(root, said)] += 1
            (root / name).write_bytes(data)
    # Some bits say nothing of the image: blanks, names of dimensions that nobody asks.
    assert results["same"] <= sum(results.values()) // 8
    tell(
        f"bits of the root and level 0 in 0.5, 0.4 and 0.6: {sum(results.values())} flipped; open {dict(results)}"
    )


def test_objects_swapped_under_an_open_image(tmp_path: Path) -> None:
    """Without compression two shards differ in their pixels alone, and each chunk is whole: the first touch knew."""
    root = tmp_path / "a.ome.zarr"
    bigimg.convert(noise((64, 64)), root, chunks=8, shards=32, codec="none", progress=False)
    image = bigimg.open(root)
    whole = image.to_numpy()
    one, other = root / "0/c/0/0", root / "0/c/1/1"
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    for opened in (image, bigimg.open(root)):
        with pytest.raises(CorruptChunk, match="holds other pixels"):
            opened.to_numpy()
    one.write_bytes(first)
    other.write_bytes(second)
    np.testing.assert_array_equal(image.to_numpy(), whole)
