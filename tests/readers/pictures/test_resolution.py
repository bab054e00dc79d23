"""The resolution of a picture: that of a print says nothing of its pixels, any other is their size (as in TIFF)."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bigimg

RGB = np.zeros((40, 30, 3), np.uint8)


def png(path: Path, mode: str, x: int, y: int, unit: int) -> None:
    """Write a PNG with a pHYs chunk of ours: Pillow writes only square pixels, in metres."""
    Image.fromarray(RGB).convert(mode).save(path)
    content, body = path.read_bytes(), b"pHYs" + struct.pack(">IIB", x, y, unit)
    chunk = struct.pack(">I", 9) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(content[:33] + chunk + content[33:])


@pytest.mark.parametrize("mode", ["RGB", "P", "L"])
@pytest.mark.parametrize(("x", "y"), [(2_000_000, 2_000_000), (4_000_000, 1_000_000), (123_457, 123_457)])
def test_pixels_a_metre_of_a_png_are_the_spacing(tmp_path: Path, mode: str, x: int, y: int) -> None:
    path = tmp_path / "a.png"
    png(path, mode, x, y, 1)
    image = bigimg.open(path)
    assert image.bigimg.spacing["x"] == pytest.approx(1e6 / x, rel=1e-9)
    assert image.bigimg.spacing["y"] == pytest.approx(1e6 / y, rel=1e-9)
    assert image.bigimg.units["x"] == "micrometer"


@pytest.mark.parametrize(("name", "dpi"), [("a.png", 300), ("a.png", 96), ("a.jpg", 72), ("a.bmp", 600)])
def test_the_resolution_of_a_print_is_said_and_not_taken(tmp_path: Path, name: str, dpi: int) -> None:
    Image.fromarray(RGB).save(tmp_path / name, dpi=(dpi, dpi))
    assert bigimg.open(tmp_path / name).bigimg.units["x"] is None
    assert any(
        f"{dpi} dots an inch is that of a print" in note for note in bigimg.info(tmp_path / name).notes
    )


def test_a_jpeg_in_dots_a_centimetre_and_turned(tmp_path: Path) -> None:
    path, exif = tmp_path / "a.jpg", Image.Exif()
    exif[274] = 6
    Image.fromarray(RGB).save(path, exif=exif)
    content = bytearray(path.read_bytes())
    at = content.index(b"JFIF\0") + 7
    content[at : at + 5] = b"\2" + (20_000).to_bytes(2) + (10_000).to_bytes(2)
    path.write_bytes(content)
    image = bigimg.open(path)
    assert image.sizes["y"] == 30
    assert image.bigimg.spacing["y"] == pytest.approx(0.5, rel=1e-4)
    assert image.bigimg.spacing["x"] == pytest.approx(1.0, rel=1e-4)


def test_a_png_that_gives_only_the_shape_of_its_pixels_has_no_spacing(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    png(path, "RGB", 4, 4, 0)
    assert bigimg.open(path).bigimg.units["x"] is None
    assert not bigimg.info(path).notes or all("print" not in note for note in bigimg.info(path).notes)


@pytest.mark.parametrize(
    ("down", "right", "spacing"),
    [
        ((20, 1, 5), (20, 1, 5), (0.5, 0.5)), ((1, 1, 6), (25, 10, 5), (1.0, 4.0)),
        ((150, 127, 4), (150, 127, 4), None), ((0, 1, 0), (20, 1, 5), None), ((5, 0, 0), (5, 0, 0), None),
    ],
)  # fmt: skip
def test_the_capture_resolution_of_a_jp2_is_the_spacing(
    tmp_path: Path,
    down: tuple[int, int, int],
    right: tuple[int, int, int],
    spacing: tuple[float, float] | None,
) -> None:
    """The box holds pixels a metre as fraction and power of ten; Pillow gives them an inch."""
    path = tmp_path / "a.jp2"
    Image.fromarray(RGB).save(path)
    content = path.read_bytes()
    at = content.index(b"jp2h") - 4
    size = int.from_bytes(content[at : at + 4])
    numbers = struct.pack(">4H2b", *down[:2], *right[:2], down[2], right[2])
    box = struct.pack(">I4sI4s", 26, b"res ", 18, b"resc") + numbers
    path.write_bytes(
        content[:at] + struct.pack(">I", size + 26) + content[at + 4 : at + size] + box + content[at + size :]
    )
    with Image.open(path) as pillow:
        dots = pillow.info.get("dpi")
    image, notes = bigimg.open(path), bigimg.info(path).notes
    if dots and 0 not in dots:
        assert image.bigimg.meta["dpi"] == pytest.approx(list(dots), abs=0.01)
    if spacing is None:
        assert image.bigimg.units["x"] is None
        assert any("300 dots an inch is that of a print" in note for note in notes) == (down[0] == 150)
        return
    assert [image.bigimg.spacing[name] for name in "yx"] == pytest.approx(spacing, rel=1e-9)
    assert image.bigimg.units["x"] == "micrometer"
