"""Image files, and mutants of them: bits flipped, ends cut, lengths made extreme, blocks put elsewhere.

The samples are those of the readers' contract, one picture of each codec, and small real files where there are some.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image
from pydicom.encaps import encapsulate

from tests.conftest import find_data
from tests.readers.dicom import dicom_files
from tests.readers.test_contract import CASES, COLOUR, PLANE, VOLUME, pixels

MADE_IN_MEMORY = ("numpy", "dask", "labelled")
MOST_BYTES = 400_000
"""Of a real file whose mutants are made."""
PER_KIND = 6
"""Real files of one folder and ending."""
DEEP = pixels(70, 45, dtype="u2") * 20
EXTREMES = (
    0,
    1,
    2,
    0x7F,
    0xFF,
    0x7FFF,
    0xFFFF,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**62,
    2**63 - 1,
    2**64 - 1,
)
WORDS = (
    b"0",
    b"-1",
    b"99999999999",
    b"1e300",
    b"nan",
    b"4611686018427387904",
    b"",
    b"x",
    b"../../etc/passwd",
)

TIFF_CODECS = (
    "lzw",
    "zstd",
    "lzma",
    "packbits",
    "jpeg",
    "jpeg2000",
    "webp",
    "jpegxl",
    "jpegxr",
    "lerc",
    "png",
)
COLOURED = {"webp"}
PICTURES = ("gif", "webp", "avif", "ppm", "pgm", "sgi", "qoi", "tga", "pcx", "ico", "bmp", "jpg")
SYNTAXES: dict[str, tuple[str, Callable[[np.ndarray], bytes]]] = {
    "jpeg": ("1.2.840.10008.1.2.4.50", lambda a: imagecodecs.jpeg8_encode(a)),
    "jpeg, 12 bits": ("1.2.840.10008.1.2.4.51", lambda a: imagecodecs.jpeg8_encode(a, bitspersample=12)),
    "jpeg-ls": ("1.2.840.10008.1.2.4.80", lambda a: imagecodecs.jpegls_encode(a)),
    "jpeg 2000": ("1.2.840.10008.1.2.4.90", lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", reversible=True)),
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A source in a folder of its own."""

    name: str
    folder: Path
    files: tuple[str, ...]
    """Names within the folder that are mutated."""
    source: str
    """Name within the folder that is opened; empty for the folder."""


def samples(into: Path, *, real: bool) -> list[Sample]:
    """Return all samples, made below ``into``; with ``real`` those of real files too."""
    found = []
    for number, (name, make) in enumerate(_makers().items()):
        folder = into / f"made{number}"
        folder.mkdir(parents=True)
        try:
            make(folder)
        except (OSError, RuntimeError, ImportError, KeyError, ValueError):  # a codec that this build lacks
            shutil.rmtree(folder)
            continue
        found.append(_sample(name, folder))
    for number, path in enumerate(_real_files() if real else ()):
        folder = into / f"real{number}"
        folder.mkdir()
        for each in (path, *path.parent.glob(f"{path.stem}.*")):
            if each.is_file():
                shutil.copy(each, folder / each.name)
        found.append(Sample(str(path.name), folder, (path.name,), path.name))
    return found


def _sample(name: str, folder: Path) -> Sample:
    files = tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))
    below = [path.name for path in folder.iterdir() if path.is_dir()]
    heads = (".hdr", ".HEAD", ".PAR", ".mhd", ".nhdr")
    source = below[0] if below else next((each for each in files if each.endswith(heads)), files[0])
    return Sample(name, folder, files, source)


def _makers() -> dict[str, Callable[[Path], object]]:
    made: dict[str, Callable[[Path], object]] = {
        name: make for name, make in CASES.items() if not name.startswith(MADE_IN_MEMORY)
    }
    for codec in TIFF_CODECS:
        array = COLOUR if codec in COLOURED else PLANE
        made[f"tiff, {codec}"] = lambda p, codec=codec, array=array: tifffile.imwrite(
            p / "a.tif", array, compression=codec, tile=(32, 32)
        )  # type: ignore[misc]
    made["tiff, ImageJ"] = lambda p: tifffile.imwrite(p / "a.tif", VOLUME, imagej=True)
    made["tiff, OME"] = lambda p: tifffile.imwrite(p / "a.ome.tif", VOLUME, metadata={"axes": "ZYX"})
    made["tiff, BigTIFF in pages"] = lambda p: tifffile.imwrite(
        p / "a.tif", VOLUME, bigtiff=True, compression="deflate", metadata=None
    )
    for ending in PICTURES:
        array = PLANE if ending == "pgm" else COLOUR
        made[f"picture, {ending}"] = lambda p, e=ending, a=array: Image.fromarray(a).save(p / f"a.{e}")  # type: ignore[misc]
    made["gif of frames"] = lambda p: Image.fromarray(PLANE).save(
        p / "a.gif", save_all=True, append_images=[Image.fromarray(PLANE.T.copy().T[::-1])]
    )
    made["png, interlaced palette"] = lambda p: Image.fromarray(PLANE).convert("P").save(p / "a.png")
    made["jpeg, progressive"] = lambda p: Image.fromarray(COLOUR).save(p / "a.jpg", progressive=True)
    for name, encode in {
        "a.jp2": lambda a: imagecodecs.jpeg2k_encode(a, reversible=True),
        "tiled.jp2": lambda a: imagecodecs.jpeg2k_encode(a, reversible=True, tile=(32, 32)),
        "a.jls": imagecodecs.jpegls_encode,
        "deep.jpg": lambda a: imagecodecs.jpeg8_encode(a, bitspersample=12),
    }.items():
        made[name] = lambda p, n=name, e=encode: (p / n).write_bytes(e(DEEP))  # type: ignore[misc]
    for name in SYNTAXES:
        made[f"dicom, {name}"] = lambda p, name=name: _dicom(p, name)  # type: ignore[misc]
    return made


def _dicom(folder: Path, name: str) -> None:
    syntax, encode = SYNTAXES[name]
    frames = pixels(3, 40, 30) if name == "jpeg" else pixels(3, 40, 30, dtype="u2") * 20
    made = dicom_files.enhanced(
        frames, [(0.0, 0.0, z * 2.0) for z in range(3)], BitsStored=8 if name == "jpeg" else 12
    )
    made.HighBit = made.BitsStored - 1
    made.file_meta.TransferSyntaxUID = syntax
    made.PixelData = encapsulate([encode(frame) for frame in frames])
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    dicom_files.save(made, folder / "a.dcm")


def _real_files() -> Iterator[Path]:
    data, counts = find_data(), dict[tuple[str, str], int]()
    for path in sorted(data.rglob("*")) if data else ():
        kind = path.parent.name, path.suffix.lower()
        small = path.is_file() and path.stat().st_size <= MOST_BYTES
        if (
            not small
            or ".zarr" in str(path)
            or "corrupt" in path.parts
            or path.suffix in (".md", ".csv", ".json", "")
        ):
            continue
        counts[kind] = counts.get(kind, 0) + 1
        if counts[kind] <= PER_KIND:
            yield path


def mutate(sample: Sample, others: list[Sample], into: Path, seed: int) -> str:
    """Make mutant ``seed`` of ``sample`` in the new folder ``into``; return what was done to it."""
    rng = random.Random(seed)
    shutil.copytree(sample.folder, into)
    name = rng.choice(sample.files)
    data = bytearray((into / name).read_bytes())
    kind = rng.choice((_flip, _cut, _number, _number, _splice))
    what = kind(data, rng, others)
    (into / name).write_bytes(data)
    return f"{name} {what}"


def _somewhere(size: int, rng: random.Random) -> int:
    """Return a place in a file: mostly one of its first bytes, or its last, where headers are."""
    least = min(size, 1024)
    return rng.choice(
        (rng.randrange(least), rng.randrange(size), rng.randrange(size), size - 1 - rng.randrange(least))
    )


def _flip(data: bytearray, rng: random.Random, others: list[Sample]) -> str:
    places = [_somewhere(len(data), rng) for _ in range(rng.choice((1, 1, 2, 8)))]
    for at in places:
        data[at] ^= 1 << rng.randrange(8)
    return f"flipped at {places}"


def _cut(data: bytearray, rng: random.Random, others: list[Sample]) -> str:
    end = rng.randrange(len(data))
    del data[end:]
    return f"cut at {end}"


def _number(data: bytearray, rng: random.Random, others: list[Sample]) -> str:
    words = [found for found in re.finditer(rb"-?\d+\.?\d*", bytes(data[:4096])) if data[:4096].isascii()]
    if words and rng.random() < 0.8:
        found, word = rng.choice(words), rng.choice(WORDS)
        data[found.start() : found.end()] = word
        return f"{found[0]!r} at {found.start()} replaced by {word!r}"
    width, at = rng.choice((1, 2, 4, 8)), _somewhere(len(data), rng)
    at -= at % min(width, 2)
    value = rng.choice(EXTREMES) & (1 << 8 * width) - 1
    order = rng.choice(("little", "big"))
    data[at : at + width] = value.to_bytes(width, order)  # type: ignore[arg-type]
    return f"{width} bytes at {at} replaced by {value} {order}"


def _splice(data: bytearray, rng: random.Random, others: list[Sample]) -> str:
    other = rng.choice(others)
    of = bytes(data) if rng.random() < 0.5 else (other.folder / rng.choice(other.files)).read_bytes()
    size = rng.choice((4, 16, 100, 1000))
    start, at = rng.randrange(max(len(of), 1)), _somewhere(len(data), rng)
    block = of[start : start + size]
    end = at + (len(block) if rng.random() < 0.7 else 0)
    data[at:end] = block
    return f"{len(block)} bytes of byte {start} put at {at} to {end}"


def opened(sample: Sample, folder: Path) -> str:
    """Return the path to open of a mutant of ``sample`` in ``folder``."""
    return os.path.join(folder, sample.source)
