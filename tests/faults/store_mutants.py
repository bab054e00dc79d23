"""Seeded mutants of a store: its documents with hostile values, cut, swapped, lost, and its chunks blown up."""

from __future__ import annotations

import gzip
import json
import random
from functools import cache
from typing import Any

from tests.faults.store_seeds import Files

VALUES: list[Any] = [
    None, True, False, -1, 0, 1, 2, 255, 256, -1.5, 0.5, 2**31, 2**32, 2**53, 2**62, 2**63, -(2**63), 2**64, 10**400,
    1e300, -1e300, 1e-300, float("nan"), float("inf"), float("-inf"), "NaN", "Infinity", "0x7fc00000", "", "x", "0",
    "..", "../../../etc", "/etc/passwd", "..\\..\\x", "a/../../b", "\0", "\ud800", "é" * 9, "x" * 100_000, "\n\x1b[31m",
    [], {}, [[]], [None], [[[[[]]]]], {"": {}}, [0] * 40, [1] * 3, ["x"], {"name": "x"}, {"name": []}, {"id": "pickle"},
    {"name": "numcodecs.pickle"}, {"configuration": None}, "uint8", "<f8", "|O", "<U4", "float64", "string", "bool",
]  # fmt: skip
DEEP = 100_000


def _ways(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value inside ``value``."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [above, *(way for key, inner in inside for way in _ways(inner, (*above, key)))]


def _at(value: Any, way: tuple[Any, ...]) -> Any:
    for key in way:
        value = value[key]
    return value


def _edited(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Return a document with one value changed, and what was changed."""
    document = json.loads(data)
    ways = _ways(document)[1:]
    if not ways:
        return b"[]", "a list"
    *above, last = rng.choice(ways)
    parent = _at(document, tuple(above))
    what = "/".join(map(str, [*above, last]))
    match rng.randrange(7):
        case 0:
            del parent[last]
            return json.dumps(document).encode(), f"{what} removed"
        case 1:
            parent[last] = _at(document, rng.choice(ways))
            return json.dumps(document).encode(), f"{what} from elsewhere"
        case 2 if isinstance(parent[last], list):
            parent[last] = parent[last] * 2 if rng.random() < 0.5 else parent[last][:-1]
            return json.dumps(document).encode(), f"{what} of another length"
        case 3:
            parent[last] = "DEEP"
            deep = "[" * DEEP + "]" * DEEP if rng.random() < 0.5 else '{"a":' * DEEP + "1" + "}" * DEEP
            return json.dumps(document).replace('"DEEP"', deep).encode(), f"{what} deep"
    parent[last] = rng.choice(VALUES)
    return json.dumps(document).encode(), f"{what} = {str(parent[last])[:30]!r}"


@cache
def _bomb() -> bytes:
    """Return a gigabyte of zeros in a megabyte."""
    return gzip.compress(bytes(50_000_000), 1) * 20


def _harmed(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Return bytes of anything cut, flipped, repeated or replaced."""
    match rng.randrange(7):
        case 0:
            return data[: rng.randrange(len(data) + 1)], "cut"
        case 1:
            i = rng.randrange(max(len(data), 1))
            return data[:i] + bytes([rng.randrange(256)]) + data[i + 1 :], f"byte {i}"
        case 2:
            return b"", "empty"
        case 3:
            return data * 2, "twice"
        case 4:
            i = rng.randrange(max(len(data) - 8, 1))
            number = rng.choice([0, 2**31, 2**63, 2**64 - 1, 10**9]).to_bytes(8, "little")
            return data[:i] + number + data[i + 8 :], f"a number at {i}"
        case 5:
            return _bomb(), "a bomb of gzip"
        case _:
            return rng.randbytes(rng.randrange(200)), "noise"


def mutant(files: Files, rng: random.Random) -> tuple[Files, str]:
    """Return a store with one harm, two at times, and what was done."""
    files = dict(files)
    documents = [
        key for key in files if key.rpartition("/")[2] in ("zarr.json", ".zattrs", ".zarray", ".zgroup")
    ]
    done = []
    for _ in range(rng.choice([1, 1, 2])):
        key = rng.choice([key for key in documents if key in files] or [*files])
        match rng.randrange(10):
            case 0:
                del files[key]
                what = "lost"
            case 1:
                files[key] = files[rng.choice([*files])]
                what = "another's"
            case 2 | 3:
                key = rng.choice([*files])
                files[key], what = _harmed(files[key], rng)
            case _:
                try:
                    files[key], what = _edited(files[key], rng)
                except (ValueError, RecursionError):  # harmed before
                    continue
        done.append(f"{key}: {what}")
        if not files:
            break
    return files, "; ".join(done)
