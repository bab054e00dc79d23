"""Harm done to a store, one kind a function; each says which file it harmed and can be undone."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import google_crc32c
import numpy as np

type Harm = Callable[[Path, np.random.Generator], list[Path] | None]
"""Harms a store and returns the files concerned; None when it could do nothing, as with a swap of equal files."""


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def shards(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("[0-9]*/c/**/*") if path.is_file())


def flip(root: Path, rng: np.random.Generator) -> list[Path]:
    """Flip one bit, in every object with the same chance, however small it is."""
    path = pick(files(root), rng)
    data = bytearray(path.read_bytes())
    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    return [path]


def lose(root: Path, rng: np.random.Generator) -> list[Path]:
    path = pick(files(root), rng)
    path.unlink()
    return [path]


def swap(root: Path, rng: np.random.Generator) -> list[Path] | None:
    """Exchange two objects: half the time two of the same kind, which may even have the same length."""
    one = pick(files(root), rng)
    alike = (
        [p for p in files(root) if p.suffix == one.suffix and p != one] if rng.random() < 0.5 else files(root)
    )
    other = pick(alike, rng) if alike else one
    first, second = one.read_bytes(), other.read_bytes()
    if first == second:
        return None
    one.write_bytes(second)
    other.write_bytes(first)
    return [one, other]


def truncate(root: Path, rng: np.random.Generator) -> list[Path]:
    path = pick(files(root), rng)
    data = path.read_bytes()
    path.write_bytes(data[: int(rng.integers(len(data)))])
    return [path]


def drop_chunk(root: Path, rng: np.random.Generator) -> list[Path] | None:
    """Take one chunk out of the index of a shard, and make the checksum of the index right again."""
    path = pick(shards(root), rng)
    data = path.read_bytes()
    for chunks in range(1, 200):  # the index is where its checksum says that it is
        table = bytearray(data[-16 * chunks - 4 : -4])
        if struct.unpack("<I", data[-4:])[0] == google_crc32c.value(bytes(table)):
            break
    else:
        raise AssertionError(f"no index in {path}")
    listed = [i for i in range(chunks) if table[16 * i : 16 * i + 16] != b"\xff" * 16]
    entry = pick(listed, rng)
    table[16 * entry : 16 * entry + 16] = b"\xff" * 16
    path.write_bytes(data[: -len(table) - 4] + table + struct.pack("<I", google_crc32c.value(bytes(table))))
    return [path]


def pick[T](items: list[T], rng: np.random.Generator) -> T:
    return items[int(rng.integers(len(items)))]


@contextmanager
def harmed(root: Path, whole: Path, harm: Harm, seed: int) -> Iterator[list[Path] | None]:
    """Harm the store ``root`` and make it whole again from the copy ``whole``."""
    concerned = harm(root, np.random.default_rng(seed))
    try:
        yield concerned
    finally:
        for path in concerned or ():
            shutil.copyfile(whole / path.relative_to(root), path)
