"""``--overwrite`` on trees with something else in them: not one byte of anybody's is lost."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr

import bigimg
from bigimg.errors import OutputError, UsageError
from tests.conversion.sources import noise
from tests.faults.conftest import Tell
from tests.faults.times import SEED, times

NAMES = (
    "notes.txt", "README", ".hidden", ".DS_Store", "photo.jpg", "0", "00", "c", "1.5", "9999", "zarr.json.bak", "c.txt",
    "0.0.0.0.0.0", "a b", "ümlaut.txt", "-1", "0x1", "١", "²", "zarr.json~", ".zarray.swp", "5.json", "0.0.x", "",
)  # fmt: skip
"""Some look like a chunk; some are digits to ``str.isdigit`` and its kin alone."""


def ours(root: Path, rng: random.Random) -> None:
    shape = (rng.randint(1, 3), rng.randint(5, 40), rng.randint(5, 40))
    bigimg.convert(noise(shape), root, chunks=8, shards=16, progress=False)


def ours_v2(root: Path, rng: random.Random) -> None:
    bigimg.convert(noise((rng.randint(5, 40), 30)), root, chunks=8, ome_version="0.4", progress=False)


def others_v2(root: Path, rng: random.Random) -> None:
    separator = rng.choice("./")
    group = zarr.create_group(root, zarr_format=2)
    for i in range(rng.randint(1, 3)):
        array = group.create_array(
            str(i), shape=(30 >> i, 20), chunks=(8, 8), dtype="u1",
            chunk_key_encoding={"name": "v2", "separator": separator},
        )  # fmt: skip
        array[...] = 1
    group.attrs["multiscales"] = []


def others_v3(root: Path, rng: random.Random) -> None:
    group = zarr.create_group(root, zarr_format=3)
    group.create_group("deep").create_array("in", shape=(9,), chunks=(2,), dtype="f4")[...] = 1
    array = group.create_array("0", shape=(30, 20), chunks=(4, 4), shards=(8, 8), dtype="u1")
    array[: rng.randint(1, 30)] = 3


def bare_array(root: Path, rng: random.Random) -> None:
    zarr.create_array(
        root, shape=(rng.randint(1, 40), 7), chunks=(8, 8), dtype="u2", zarr_format=rng.choice((2, 3))
    )[...] = 1


def plain_folder(root: Path, rng: random.Random) -> None:
    (root / "0" / "c").mkdir(parents=True)
    (root / "0" / "c" / "0").write_bytes(b"mine")
    if rng.random() < 0.5:
        (root / "zarr.json").write_text(json.dumps({"name": "of something else"}))


def plant(root: Path, rng: random.Random, outside: Path) -> list[Path]:
    """Put one to three things into a tree that no zarr library wrote there; return them."""
    folders = [root, *(path for path in sorted(root.rglob("*")) if path.is_dir())]
    planted: list[Path] = []
    for _ in range(rng.randint(1, 3)):
        folder = rng.choice(folders)
        if rng.random() < 0.3:
            folder = folder / (rng.choice(NAMES) or "sub")
        path = folder / (rng.choice(NAMES) or "x")
        if os.path.lexists(path) or any(
            p.is_symlink() or (p.exists() and not p.is_dir()) for p in path.parents
        ):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = rng.random()
        if kind < 0.15:
            path.symlink_to(outside)
        elif kind < 0.2:
            os.mkfifo(path)
        else:
            path.write_bytes(rng.randbytes(rng.randint(0, 40)))
        planted.append(path)
    return planted


def everything(root: Path) -> dict[str, object]:
    """Return content or kind of all that is in a tree; links are not followed."""
    found: dict[str, object] = {}
    for where, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(where, name)
            mode = os.lstat(path).st_mode
            content: object = stat.S_IFMT(mode)
            if stat.S_ISREG(mode):
                content = Path(path).read_bytes()
            elif stat.S_ISLNK(mode):
                content = os.readlink(path)
            found[os.path.relpath(path, root)] = content
    return found


def is_a_chunk(root: Path, path: Path) -> bool:
    """Return whether zarr-python itself takes a file for a chunk of an array of the tree: that may be replaced."""
    for folder in path.parents:
        try:
            array = zarr.open_array(folder, mode="r")
        except Exception:  # no array, or none that can be opened
            if folder == root:
                return False
            continue
        keys = {
            array.metadata.encode_chunk_key(index)
            for index in np.ndindex(
                *(-(-n // c) for n, c in zip(array.shape, array.shards or array.chunks, strict=True))
            )
        }
        return path.relative_to(folder).as_posix() in keys
    return False


@times(25, 1000)
def test_alien_files(n: int, place: Path, tell: Tell) -> None:
    outside = place / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"not to be followed")
    makers: tuple[Callable[[Path, random.Random], None], ...] = (
        ours, ours_v2, others_v2, others_v3, bare_array, plain_folder,
    )  # fmt: skip
    seen: Counter[str] = Counter()
    done, seed = 0, SEED * 1_000_000
    while done < n:
        rng = random.Random(seed)
        seed += 1
        root = place / f"tree{seed}"
        maker = makers[seed % len(makers)]
        maker(root, rng)
        planted = plant(root, rng, outside)
        if not any(os.path.lexists(path) for path in planted):
            shutil.rmtree(root)
            continue
        done += 1
        before = everything(root)
        alien = [path for path in planted if os.path.lexists(path) and not is_a_chunk(root, path)]
        try:
            bigimg.convert(np.full((5, 5), 9, np.uint8), root, overwrite=True, progress=False)
        except (OutputError, UsageError):
            assert everything(root) == before, seed
            seen[f"{maker.__name__} refused"] += 1
        else:
            assert not alien, (seed, alien)
            assert maker in (ours, ours_v2), seed  # whatever others wrote is left alone
            seen[f"{maker.__name__} replaced"] += 1
        assert everything(outside) == {"precious": b"not to be followed"}
        assert sorted(path.name for path in place.iterdir()) == sorted(["outside", root.name]), seed
        shutil.rmtree(root)
    tell(
        f"overwrite: {done} generated trees with alien entries, seed {SEED}; 0 bytes lost; {dict(sorted(seen.items()))}"
    )
