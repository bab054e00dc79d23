"""The slide that is made while it is read: the same pixels however it is cut, and a picture worth looking at."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bigimg.errors import UsageError
from bigimg.geometry.region import full
from bigimg.readers.demo import SlideReader, parse_size
from bigimg.testing import check_reader
from tests.oracles import fast_mean
from tests.running import bigimg

HEIGHT, WIDTH = 1300, 1111
READER = SlideReader(HEIGHT, WIDTH)
WHOLE = READER.read(full(READER.spec.shape)).copy()


def test_it_keeps_the_contract_of_readers():
    check_reader(lambda: SlideReader(HEIGHT, WIDTH))


def region(draw: st.DrawFn, size: int) -> slice:
    start = draw(st.integers(0, size - 1))
    return slice(start, draw(st.integers(start + 1, size)))


@st.composite
def regions(draw: st.DrawFn) -> tuple[slice, slice, slice]:
    return region(draw, 3), region(draw, HEIGHT), region(draw, WIDTH)


@settings(max_examples=60)
@given(regions())
def test_pixels_do_not_depend_on_the_cut(cut: tuple[slice, slice, slice]):
    np.testing.assert_array_equal(READER.read(cut), WHOLE[cut])


def test_it_is_tissue_on_glass():
    """Glass is bright at the corners; tissue in the middle takes green light most, and varies."""
    for corner in (WHOLE[:, :40, :40], WHOLE[:, -40:, -40:]):
        assert corner.min() > 235
    middle = WHOLE[:, HEIGHT // 2 - 200 : HEIGHT // 2 + 200, WIDTH // 2 - 200 : WIDTH // 2 + 200]
    red, green, blue = (float(channel.mean()) for channel in middle)
    assert green < blue < red < 235
    assert middle.std() > 15


def test_a_slide_too_large_to_hold_can_be_read_anywhere():
    reader = SlideReader(100_000, 100_000)
    assert reader.spec.nbytes == 3 * 10**10
    part = reader.read((slice(0, 3), slice(99_990, 100_000), slice(50_000, 50_100)))
    assert part.shape == (3, 10, 100)


@pytest.mark.parametrize(
    ("text", "size"), [("32768x32768", (32768, 32768)), ("30 x 40", (30, 40)), ("1X2", (1, 2))]
)
def test_sizes(text: str, size: tuple[int, int]):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "100", "100x", "0x5", "-3x4", "1x2x3", "1e3x1e3"])
def test_what_is_no_size(text: str):
    with pytest.raises(UsageError, match="height x width"):
        parse_size(text)


def test_the_demo_end_to_end(tmp_path: Path):
    target = tmp_path / "demo.ome.zarr"
    found = bigimg("demo", target, "--size", "3000x4000", "--memory", "256MB", scratch=tmp_path)
    assert found.code == 0, found.err
    assert found.peak_bytes <= 256_000_000  # the thumbnail and the table at its end included

    reader = SlideReader(3000, 4000)
    expected = reader.read(full(reader.spec.shape))
    root = json.loads((target / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    for number in range(len(root["datasets"])):
        if number:
            expected = fast_mean(expected, (1, 2, 2))
        stored = zarr.open_array(target / str(number), mode="r")
        np.testing.assert_array_equal(stored[...], expected, err_msg=f"level {number}")
    assert root["datasets"][0]["coordinateTransformations"][0]["scale"] == [1, 0.25, 0.25]

    header, *rows = found.out.splitlines()
    assert header.split()[0] == "channel"
    assert [row.split()[0] for row in rows] == ["R", "G", "B"]
    assert {int(row.split()[1]) for row in rows} == {3000 * 4000}

    with Image.open(f"{target}.png") as picture:
        assert picture.size == (1024, 768)
        assert picture.mode == "RGB"
        small = np.asarray(picture).astype(float)
    # Compared with the slide itself, averaged over the same squares: the right way up, and in its colours.
    reader.close()
    slide = reader.read(full(reader.spec.shape)).reshape(3, 12, 250, 16, 250).mean((2, 4)).transpose(1, 2, 0)
    shown = small.reshape(12, 64, 16, 64, 3).mean((1, 3))
    assert np.abs(shown - slide).max() < 8
    assert small.std() > 15


def test_the_demo_as_json(tmp_path: Path):
    found = bigimg("demo", tmp_path / "a.zarr", "--size", "600x700", "--json", "-q", scratch=tmp_path)
    assert found.json["decoded_bytes"] == 3 * 600 * 700
    assert not found.err
    assert {p.name for p in tmp_path.iterdir()} == {"a.zarr", "a.zarr.png", "peak"}


def test_a_size_that_cannot_be(tmp_path: Path):
    found = bigimg("demo", tmp_path / "a.zarr", "--size", "huge", scratch=tmp_path)
    assert found.code == 2
    assert "32768x32768" in found.line
    assert not (tmp_path / "a.zarr").exists()
