"""CZI files, compared with numpy and with czifile, which owns the format in Python."""

from __future__ import annotations

import collections
import pickle
import re
import sys
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import czifile
import numpy as np
import pytest

import bigimg
from bigimg.errors import BigimgError, InputError, MissingExtraError, UsageError
from bigimg.geometry import holes
from bigimg.geometry.region import full
from bigimg.reader import Reader
from bigimg.readers.registry import find_format, open_file
from bigimg.readers.vendor import czi_tiles
from bigimg.readers.vendor.czi import CziReader, open_czi
from bigimg.testing import check_reader
from bigimg.types import Array
from bigimg.version import install_line
from tests.readers.vendor.czi_files import (
    JPEG,
    JPEG_XR,
    LZW,
    PLAIN,
    ZSTD,
    ZSTD_HEADED,
    Tile,
    coded,
    metadata,
    write_czi,
)  # fmt: skip
from tests.running import bigimg as command

REAL = ("CellDivision_T3_Z5_CH2_X240_Y170_comp1", "DAPI_GFP", "s_1_t_1_c_1_z_1")
KINDS = {"Gray8": "u1", "Gray16": "u2", "Gray32Float": "f4", "Bgr24": "u1", "Bgr48": "u2", "Bgra32": "u1"}
CODECS = {PLAIN: "plain", LZW: "lzw", JPEG_XR: "jpeg xr", ZSTD: "zstd0", ZSTD_HEADED: "zstd1"}


def noise(shape: Sequence[int], dtype: str = "u2", seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


def read(reader: Any) -> Array:
    pixels: Array = reader.read(full(reader.spec.shape))
    reader.close()
    return pixels


def owners(path: Path, scene: int = 0) -> Array:
    """Return an image as czifile composes it, in the order of the tiles, with channels before the plane."""
    with czifile.CziFile(path) as file:
        pixels: Array = file.scenes[scene].asarray(maxworkers=1)
        return np.moveaxis(pixels, -1, -3) if file.scenes[scene].axes.endswith("S") else pixels


def grid(step: int = 25, dtype: str = "u2", *, samples: int = 1, **options: Any) -> list[Tile]:
    """Return 3 x 4 tiles of 30 x 40 pixels, each with noise of its own."""
    shape = (30, 40, samples) if samples > 1 else (30, 40)
    places = [(i * step, j * (step + 10)) for i in range(3) for j in range(4)]
    return [Tile(noise(shape, dtype, m), y, x, {"M": m}, **options) for m, (y, x) in enumerate(places)]


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_as_their_owner_reads_them(name: str, data: Path) -> None:
    path = data / "vendor" / f"{name}.czi"
    assert find_format(path).name == "czi"
    expected = owners(path)
    check_reader(lambda: open_file(path), expected=expected)
    with czifile.CziFile(path) as file:
        image = next(iter(file.scenes.values()))
        steps = image.coord_scales
    for axis in open_czi(str(path)).spec.axes:
        step = steps.get(axis.name.upper())
        assert axis.spacing == pytest.approx(step * 1e6 if step else 1.0, rel=1e-12)
        assert axis.unit == ("micrometer" if step else None)


def test_names_colours_optics_and_place_of_real_files(data: Path) -> None:
    spec = open_czi(str(data / "vendor" / "DAPI_GFP.czi")).spec
    # The second channel of display has another id; czifile then finds three channels, and ZEN two.
    assert [(each.name, each.color) for each in spec.channels] == [("DAPI", "0000FF"), ("GFP", "00FF00")]
    path = data / "vendor" / "s_1_t_1_c_1_z_1.czi"
    spec = open_czi(str(path)).spec
    with czifile.CziFile(path) as file:
        offsets, optics = file.scenes[0].coord_offsets, file.scenes[0].objective
    assert [axis.origin for axis in spec.axes] == pytest.approx([offsets["Y"] * 1e6, offsets["X"] * 1e6])
    assert [(each.name, each.color) for each in spec.channels] == [("Bright", "FFFFFF")]
    for name in ("LensNA", "NominalMagnification", "WorkingDistance", "Immersion"):
        assert spec.meta[name] == optics[name]
    assert not {"UserName", "CreationDate", "AcquisitionDateAndTime"} & spec.meta.keys()
    assert "AcquisitionDateAndTime" in spec.private


@pytest.mark.parametrize("codec", CODECS, ids=CODECS.get)
@pytest.mark.parametrize("kind", KINDS)
def test_every_type_of_pixels_in_every_codec(kind: str, codec: int, tmp_path: Path) -> None:
    samples = {"Bgra32": 4}.get(kind, 3 if kind.startswith("Bgr") else 1)
    tiles = grid(dtype=KINDS[kind], samples=samples, kind=kind, codec=codec)
    path = tmp_path / "a.czi"
    write_czi(path, tiles, metadata())
    expected = np.zeros((80, 145, samples), KINDS[kind])
    for tile in tiles:
        expected[tile.y : tile.y + 30, tile.x : tile.x + 40] = tile.pixels.reshape(30, 40, samples)
    if samples == 4 and codec != JPEG_XR:
        expected[..., 3] = 255  # as czifile and ZEN have it; a coded picture has its own
    expected = np.moveaxis(expected, -1, 0) if samples > 1 else expected[..., 0]
    np.testing.assert_array_equal(owners(path), expected)
    check_reader(lambda: open_file(path), expected=expected)
    assert [each.name for each in open_czi(str(path)).spec.channels[:4]] in (
        ["Channel:0"], ["R", "G", "B"][:samples], ["R", "G", "B", "A"],
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["Gray8", "Bgr24"])
def test_jpeg(kind: str, tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :80]
    pixels = (100 + 80 * np.sin(y / 7) * np.cos(x / 9)).astype("u1")
    if kind == "Bgr24":
        pixels = np.stack([pixels, pixels // 2, 255 - pixels], axis=-1)
    path = tmp_path / "a.czi"
    write_czi(path, [Tile(pixels, kind=kind, codec=JPEG)])
    found = read(open_czi(str(path)))
    np.testing.assert_array_equal(found, owners(path))
    close = np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 else pixels
    assert np.abs(found.astype(int) - close).max() <= (
        2 if pixels.ndim == 2 else 12
    )  # half the values of colour


def test_later_tiles_lie_over_earlier_ones_by_their_mosaic_index(tmp_path: Path) -> None:
    tiles = grid(step=20)
    order = np.random.default_rng(3).permutation(len(tiles))
    for tile, index in zip(tiles, order.tolist(), strict=True):
        tile.index = {"M": index, "C": 0}
    path = tmp_path / "a.czi"
    write_czi(path, tiles)
    expected = np.zeros((70, 130), "u2")
    for number in np.argsort(order):
        tile = tiles[number]
        expected[tile.y : tile.y + 30, tile.x : tile.x + 40] = tile.pixels
    np.testing.assert_array_equal(owners(path), expected)
    check_reader(lambda: open_file(path), expected=expected)


def test_what_no_tile_covers_is_a_hole(tmp_path: Path) -> None:
    tiles = [tile for tile in grid(step=40, codec=ZSTD) if tile.index["M"] != 5]
    path = tmp_path / "a.czi"
    write_czi(path, tiles)
    reader = open_czi(str(path))
    covered = np.zeros(reader.spec.shape, bool)
    for tile in tiles:
        covered[tile.y : tile.y + 30, tile.x : tile.x + 40] = True
    lost = np.zeros(covered.shape, int)
    for hole in reader.spec.missing:
        lost[hole] += 1
    np.testing.assert_array_equal(lost, ~covered)
    share = 100 * (1 - covered.mean())
    assert reader.spec.notes[0].startswith(f"{share:.3g} % of the pixels were never scanned")
    np.testing.assert_array_equal(read(reader), owners(path))
    found = bigimg.stats(bigimg.open(path))
    assert found["count"] == covered.sum()
    assert found["mean"] == pytest.approx(owners(path)[covered].mean())


def test_very_many_holes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holes, "MOST_HOLES", 2)
    tiles = [Tile(noise((4, 4)), y, x) for y, x in ((0, 0), (0, 5), (5, 0), (9, 20))]
    write_czi(tmp_path / "a.czi", tiles)
    with pytest.raises(
        InputError, match="lacks pixels in more than 2 places, the most that are kept; choose"
    ):
        open_czi(str(tmp_path / "a.czi"))


def test_holes_of_real_numbers_are_no_numbers(tmp_path: Path) -> None:
    write_czi(
        tmp_path / "a.czi",
        [Tile(noise((4, 5), "f4"), kind="Gray32Float"), Tile(noise((4, 5), "f4"), 9, 9, kind="Gray32Float")],
    )
    found = read(open_czi(str(tmp_path / "a.czi")))
    assert np.isnan(found).sum() == found.size - 40


def stack(times: int = 2, channels: int = 2, depth: int = 3, **options: Any) -> list[Tile]:
    return [
        Tile(noise((20, 24), "u2", 100 * t + 10 * c + z), index={"C": c, "Z": z, "T": t}, **options)
        for t in range(times) for c in range(channels) for z in range(depth)
    ]  # fmt: skip


STACK = metadata(
    "<SizeT>2</SizeT><SizeC>2</SizeC><SizeZ>3</SizeZ><Dimensions><Channels>"
    '<Channel Id="Channel:0" Name="DAPI"><Color>#FF0000FF</Color><ExposureTime>2000</ExposureTime></Channel>'
    '<Channel Id="Channel:1" Name="Dr. Smith"/></Channels>'
    "<T><Positions><Interval><Increment>2.5</Increment></Interval></Positions></T></Dimensions>",
    scaling={"X": 5e-7, "Y": 5e-7, "Z": 2e-6},
    more='<DisplaySetting><Channels><Channel Id="Channel:1"><Color>#8000FF00</Color></Channel></Channels>'
    "</DisplaySetting>",
)


def test_a_stack_has_its_axes_spacing_and_channels(tmp_path: Path) -> None:
    tiles = stack()
    path = tmp_path / "a.czi"
    write_czi(path, tiles, STACK)
    expected = np.array([tile.pixels for tile in tiles]).reshape(2, 2, 3, 20, 24)
    check_reader(lambda: open_file(path), expected=expected)
    spec = open_czi(str(path)).spec
    assert [(axis.name, axis.spacing, axis.unit) for axis in spec.axes] == [
        ("t", 2.5, "second"), ("c", 1.0, None), ("z", 2.0, "micrometer"), ("y", 0.5, "micrometer"),
        ("x", 0.5, "micrometer"),
    ]  # fmt: skip
    # A name that may be that of a person is numbered, and kept beside.
    assert [(each.name, each.color) for each in spec.channels] == [
        ("DAPI", "0000FF"),
        ("Channel 1", "00FF00"),
    ]
    assert spec.private["ChannelNames"] == ["DAPI", "Dr. Smith"]
    assert spec.meta["ChannelExposureTime"] == [2000, None]


@pytest.mark.parametrize(
    ("times", "step", "note"),
    [
        ([0.4, 2.9, 5.4], 2.5, None),
        ([43000.0, 43000.25, 43000.5], 21600.0, None),  # days, as some programs write
        ([0.0, 1.0, 5.0], None, "its time points were recorded 1 to 4 s apart"),
        ([0.0, 1.0], None, None),  # of something else than time points
        ([0.0, float("nan"), 2.0], None, None),
    ],
)
def test_the_time_step_follows_from_recorded_times(
    times: list[float], step: float | None, note: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.czi"
    write_czi(path, [Tile(noise((9, 9), "u2", t), index={"T": t}) for t in range(3)], metadata(), times)
    with czifile.CziFile(path) as file:
        np.testing.assert_array_equal(file.timestamps, times)
    spec = open_czi(str(path)).spec
    assert (spec.axes[0].spacing, spec.axes[0].unit) == (
        (1.0, None) if step is None else (pytest.approx(step), "second")
    )
    assert [note in each for each in spec.notes] == ([True] if note else [])
    content = path.read_bytes()
    for place in range(content.index(b"ZISRAWATTACH"), len(content), 9):  # damage there costs the step alone
        path.write_bytes(content[:place] + b"\xff" + content[place + 1 :])
        np.testing.assert_array_equal(read(open_czi(str(path)))[1], noise((9, 9), "u2", 1))


@pytest.mark.parametrize("gone", [[4], [11], [0, 6], [6, 7, 8, 9, 10, 11]])
def test_planes_that_were_never_written(gone: list[int], tmp_path: Path) -> None:
    """The last planes too, which only the metadata name."""
    tiles = stack()
    path = tmp_path / "a.czi"
    write_czi(path, [tile for i, tile in enumerate(tiles) if i not in gone], STACK)
    t, c, z = np.unravel_index(gone[0], (2, 2, 3))
    what = f"{len(gone)} of 12 planes were never written (t = {t}, c = {c}, z = {z} is the first)"
    with pytest.raises(InputError, match=re.escape(f"{what}; what is missing is not known")):
        open_czi(str(path))
    reader = open_czi(str(path), allow_partial=True)
    lost = np.zeros(reader.spec.shape, bool)
    for hole in reader.spec.missing:
        lost[hole] = True
    assert lost.reshape(12, -1).all(axis=1).nonzero()[0].tolist() == gone
    expected = np.array([tile.pixels for tile in tiles]).reshape(reader.spec.shape)
    np.testing.assert_array_equal(read(reader), np.where(lost, 0, expected))


def test_scenes_and_views_are_series_with_names(tmp_path: Path) -> None:
    tiles = [
        Tile(noise((10 + s, 12), "u2", 2 * s + v), 100 * s, 50, {"S": s, "V": v, "C": 0})
        for s in range(2) for v in range(2)
    ]  # fmt: skip
    path = tmp_path / "a.czi"
    scenes = '<Scene Index="1" Name="P2"><ArrayName>B4</ArrayName><Shape Name="B4"/></Scene>'
    write_czi(path, tiles, metadata(f"<Dimensions><S><Scenes>{scenes}</Scenes></S></Dimensions>"))
    for number, (name, tile) in enumerate(
        zip(["scene 0 view 0", "scene 0 view 1", "B4 P2 view 0", "B4 P2 view 1"], tiles, strict=True)
    ):
        for wanted in (number, name):
            np.testing.assert_array_equal(read(open_czi(str(path), series=wanted)), tile.pixels)
    assert (
        "0 scene 0 view 0 (10 x 12), 1 scene 0 view 1 (10 x 12), 2 B4 P2 view 0"
        in open_czi(str(path)).spec.of_source[0]
    )
    with pytest.raises(UsageError, match="there is no series 'B5'; it has 0 scene 0 view 0"):
        open_czi(str(path), series="B5")


def test_channels_of_other_types_are_series(tmp_path: Path) -> None:
    tiles = [
        Tile(noise((10, 12)), index={"C": 0}),
        Tile(noise((10, 12, 3), "u1"), index={"C": 1}, kind="Bgr24"),
    ]
    path = tmp_path / "a.czi"
    write_czi(path, tiles, metadata("<SizeC>2</SizeC>"))
    np.testing.assert_array_equal(read(open_czi(str(path), series="Gray16")), tiles[0].pixels)
    np.testing.assert_array_equal(
        read(open_czi(str(path), series="Bgr24")), np.moveaxis(tiles[1].pixels, -1, 0)
    )


def test_several_channels_of_colours(tmp_path: Path) -> None:
    tiles = [Tile(noise((10, 12, 3), "u1", c), index={"C": c}, kind="Bgr24", codec=ZSTD) for c in range(2)]
    path = tmp_path / "a.czi"
    write_czi(path, tiles)
    expected = np.concatenate([np.moveaxis(tile.pixels, -1, 0) for tile in tiles])
    check_reader(lambda: open_file(path), expected=expected)
    assert [each.name for each in open_czi(str(path)).spec.channels][2:4] == ["Channel:0 B", "Channel:1 R"]


def test_one_index_of_other_axes_is_chosen(tmp_path: Path) -> None:
    tiles = [Tile(noise((10, 12), "u2", h), index={"S": 0, "B": 0, "H": h, "C": 0}) for h in range(5)]
    path = tmp_path / "a.czi"
    write_czi(path, tiles)
    what = "scene 0 has the axis H (0 to 4), of which one must be chosen: axis={'H': 0}"
    with pytest.raises(InputError, match=re.escape(what)):
        open_file(path)
    reader = open_file(path, axis={"H": 3, "B": 0})
    np.testing.assert_array_equal(read(reader), tiles[3].pixels)
    assert "scene 0 has the axis H (0 to 4), and this is 3" in reader.spec.of_source
    with pytest.raises(UsageError, match=re.escape("axis={'H': 5}: scene 0 has the axis H (0 to 4)")):
        open_file(path, axis={"H": 5})
    with pytest.raises(UsageError, match="scene 0 has no axis Q to choose from, it has H and B"):
        open_file(path, axis={"Q": 0})


def test_coarse_levels_of_the_file_are_left_out(tmp_path: Path) -> None:
    tiles = grid(step=40)
    coarse = [Tile(noise((15, 20)), shown=(30, 40), pyramid=2), Tile(noise((15, 20)), 40, 50, shown=(30, 40))]
    path = tmp_path / "a.czi"
    write_czi(path, [*coarse, *tiles])
    expected = np.zeros((110, 190), "u2")
    for tile in tiles:
        expected[tile.y : tile.y + 30, tile.x : tile.x + 40] = tile.pixels
    np.testing.assert_array_equal(read(open_czi(str(path))), expected)
    write_czi(path, coarse[:1])
    with pytest.raises(InputError, match="holds tiles of coarse levels alone"):
        open_czi(str(path))


def test_what_is_not_read_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.czi"
    write_czi(path, [Tile(noise((15, 20)), shown=(30, 40))])
    with pytest.raises(
        InputError, match=r"its tiles are stored at another size than shown \(Fast Airyscan\)"
    ):
        open_file(path)
    write_czi(path, [Tile(noise((15, 20)), part=1)])
    with pytest.raises(InputError, match="is one of a set of 1 or more files"):
        open_file(path)
    write_czi(path, [Tile(noise((15, 20)), codec=100)])
    with pytest.raises(InputError, match="its tiles have the compression of type 100, which is not read"):
        open_file(path)
    write_czi(path, [Tile(noise((15, 20)), mask=np.eye(15, 20) == 0)])
    with pytest.raises(InputError, match="has pixels that were not recorded, by its own mask"):
        open_file(path)
    write_czi(path, [Tile(noise((15, 20)), mask=np.ones((15, 20), bool))])
    np.testing.assert_array_equal(read(open_file(path)), noise((15, 20)))
    path.write_bytes(path.read_bytes()[:84] + bytes(8) + path.read_bytes()[92:])
    with pytest.raises(InputError, match="lacks its directory, which is written last"):
        open_file(path)
    monkeypatch.setitem(sys.modules, "czifile", None)
    with pytest.raises(MissingExtraError, match=re.escape(install_line("bio"))):
        open_file(path)


def test_plain_pixels_that_are_called_coded(tmp_path: Path) -> None:
    """As some programs write them; czifile knows them by their length."""
    tile = Tile(noise((15, 20)), codec=PLAIN)
    path = tmp_path / "a.czi"
    write_czi(path, [tile])
    content = path.read_bytes()
    entry = b"DV" + (1).to_bytes(4, "little")
    assert content.count(entry) == 2
    for at in [found.start() for found in re.finditer(re.escape(entry), content)]:
        content = content[: at + 18] + (JPEG_XR).to_bytes(4, "little") + content[at + 22 :]
    path.write_bytes(content)
    np.testing.assert_array_equal(owners(path), tile.pixels)
    np.testing.assert_array_equal(read(open_file(path)), tile.pixels)


def test_bytes_behind_the_pixels_are_padding_and_fewer_are_damage(tmp_path: Path) -> None:
    path, own = tmp_path / "a.czi", noise((15, 20))
    taller = Tile(np.concatenate([own, own[:1]]))
    write_czi(path, [taller])
    content = path.read_bytes()
    for rows, expected in ((15, own), (22, None)):
        was, now = (b"Y\0\0\0" + bytes(4) + size.to_bytes(4, "little") for size in (16, rows))
        path.write_bytes(content.replace(was, now))
        if expected is not None:
            np.testing.assert_array_equal(read(open_file(path)), expected)
        else:
            with pytest.raises(InputError, match="has 640 bytes of pixels where"):
                read(open_file(path))


def test_a_coded_picture_larger_than_its_place_is_not_decoded(tmp_path: Path) -> None:
    tile = Tile(np.zeros((600, 800), "u1"), kind="Gray8", codec=JPEG)
    path = tmp_path / "a.czi"
    write_czi(path, [tile])
    content = path.read_bytes()
    for name, size in ((b"X\0\0\0", 800), (b"Y\0\0\0", 600)):
        content = content.replace(
            name + bytes(4) + size.to_bytes(4, "little"), name + bytes(4) + (8).to_bytes(4, "little")
        )
    path.write_bytes(content)
    with pytest.raises(InputError, match="600 x 800 of 1 sample, and only 64 values are expected"):
        read(open_file(path))


def mutants(content: bytes, seed: int) -> list[bytes]:
    """Return files that are cut, and files with a flipped byte in their heads, directory and tiles."""
    rng, found = np.random.default_rng(seed), []
    found += [content[: int(cut)] for cut in np.linspace(20, len(content) - 200, 8)]
    for at in rng.integers(0, len(content), 40):
        found.append(content[:at] + bytes([content[at] ^ int(rng.integers(1, 256))]) + content[at + 1 :])
    return found


def whole_or_words(path: Path) -> Array | str:
    """Return the pixels of a file, or what is said of it."""
    try:
        return read(open_file(path))
    except BigimgError as error:
        return str(error)


@pytest.mark.parametrize("codec", [PLAIN, ZSTD_HEADED], ids=["plain", "zstd"])
def test_damage_is_named_or_the_pixels_are_the_same(codec: int, tmp_path: Path) -> None:
    """No codec of a CZI has a checksum, so flips within the pixels of a tile may give others; nothing else may."""
    path = tmp_path / "a.czi"
    tiles = stack(codec=codec)
    starts = write_czi(path, tiles, STACK)
    expected, content = read(open_file(path)), path.read_bytes()
    spec = open_file(path).spec
    ended = collections.Counter[str]()
    for content_of in mutants(content, codec):
        path.write_bytes(content_of)
        found = whole_or_words(path)
        if isinstance(found, str):
            assert found.startswith(f"{path}: ")
            assert "\n" not in found
            ended["named"] += 1
            continue
        assert (found.shape, found.dtype) == (spec.shape, spec.dtype)
        other = (found != expected).reshape(12, -1).any(axis=1).nonzero()[0]
        if len(other):  # within the pixels of that one tile
            flipped = next(i for i, (a, b) in enumerate(zip(content, content_of, strict=True)) if a != b)
            assert len(other) == 1
            assert starts[other[0]] <= flipped < starts[other[0]] + tiles[0].pixels.nbytes + 64
        ended["pixels" if len(other) else "same"] += 1
    assert ended["named"] >= 8
    assert ended["same"]


def outside_holes(path: Path, cut: int) -> tuple[Reader, Array]:
    """Cut a file; return the reader of what is there, and its pixels, masked in holes."""
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match="or take what is there by allow_partial=True"):
        open_file(path)
    reader = open_file(path, allow_partial=True)
    found = np.ma.MaskedArray(read(reader), False)
    for hole in reader.spec.missing:
        assert not found.mask[hole].any()
        assert (found.data[hole] == 0).all()
        found.mask[hole] = True
    return reader, found


@pytest.mark.parametrize("codec", [PLAIN, ZSTD_HEADED], ids=["plain", "zstd"])
@pytest.mark.parametrize("part", [0.05, 0.3, 0.5, 0.8, 0.98])
def test_tiles_behind_the_end_of_a_cut_file_are_holes(part: float, codec: int, tmp_path: Path) -> None:
    """With overlapping tiles: what a lost tile covered is not taken from the tile below it."""
    path = tmp_path / "a.czi"
    tiles = [replace(tile, index={**tile.index, "T": t}) for t in range(2) for tile in grid(20, codec=codec)]
    starts = write_czi(path, tiles, metadata(scaling={"X": 1e-6, "Y": 1e-6}), ahead=True)
    whole = read(open_file(path))
    size = path.stat().st_size
    cut = int(starts[0] + part * (size - starts[0]))
    reader, found = outside_holes(path, cut)
    there = sum(start + len(coded(tile)) <= cut for start, tile in zip(starts, tiles, strict=True))
    assert 0 < there < len(tiles)
    assert found.shape == whole.shape
    np.testing.assert_array_equal(found, np.ma.MaskedArray(whole, found.mask))
    # The expected holes: what the last tile at each place is one that is lost.
    painted = np.full(whole.shape, -1)
    for number, tile in enumerate(tiles):
        height, width = tile.pixels.shape
        painted[tile.index["T"], tile.y : tile.y + height, tile.x : tile.x + width] = number
    np.testing.assert_array_equal(found.mask, painted >= there)
    image = bigimg.open(path, allow_partial=True)
    assert int(bigimg.stats(image)["count"]) == int((~found.mask).sum())
    assert int(bigimg.stats(image)["max"]) == int(found.max())
    assert reader.spec.axes[-1].unit == "micrometer"


@pytest.mark.parametrize("part", [0.05, 0.3, 0.5, 0.8, 0.98])
def test_tiles_of_a_file_whose_directory_is_cut_off_are_found(part: float, tmp_path: Path) -> None:
    path = tmp_path / "a.czi"
    tiles = stack()
    starts = write_czi(path, tiles, STACK)
    cut = int(starts[0] + part * (starts[-1] - starts[0]) + tiles[0].pixels.nbytes)
    there = sum(start + tile.pixels.nbytes <= cut for start, tile in zip(starts, tiles, strict=True))
    reader, found = outside_holes(path, cut)
    planes = {tuple(tile.index.get(name, 0) for name in "TCZ"): tile.pixels for tile in tiles[:there]}
    sizes = {"t": 1, "c": 1, "z": 1} | reader.spec.sizes
    found = found.reshape(sizes["t"], sizes["c"], sizes["z"], *found.shape[-2:])
    kept = {place for place in np.ndindex(found.shape[:3]) if not found.mask[place].any()}
    assert kept == planes.keys()
    for place, pixels in planes.items():
        np.testing.assert_array_equal(found[place], pixels)
    assert any("lacks its directory" in note and "is not known" in note for note in reader.spec.notes)


def test_places_without_a_tile_before_the_cut_are_not_said_to_be_never_scanned(tmp_path: Path) -> None:
    path = tmp_path / "a.czi"
    tiles = grid(20)
    starts = write_czi(path, tiles, metadata(scaling={"X": 1e-6, "Y": 1e-6}))
    path.write_bytes(path.read_bytes()[: starts[-3] - 1])
    with pytest.raises(InputError, match="allow_partial=True"):
        open_file(path)
    notes = open_file(path, allow_partial=True).spec.notes
    assert any(
        "of the pixels lie in no tile before the cut: they were cut off, or never scanned" in note
        for note in notes
    )
    assert not any("were never scanned: no tile" in note for note in notes)
    path.write_bytes(path.read_bytes()[: starts[0] + 5])  # nothing is there to take
    with pytest.raises(InputError) as error:
        open_file(path)
    assert "allow_partial" not in str(error.value)


def test_a_directory_that_ends_before_the_tiles_that_it_names_is_passed_by_on_request(tmp_path: Path) -> None:
    path = tmp_path / "a.czi"
    write_czi(path, stack(), STACK, ahead=True)
    whole, data = read(open_file(path)), bytearray(path.read_bytes())
    data[data.index(b"ZISRAWDIRECTORY") + 32] += 1
    path.write_bytes(data)
    with pytest.raises(
        InputError, match=r"ends before the 13 tiles that it names.*, or take what is there by"
    ):
        open_file(path)
    reader = open_file(path, allow_partial=True)
    assert any("lacks its directory" in note for note in reader.spec.notes)
    np.testing.assert_array_equal(read(reader), whole)


def test_a_file_that_is_cut_before_its_first_tile_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.czi"
    starts = write_czi(path, stack(), STACK, ahead=True)
    for cut, what in ((starts[0] + 5, "all of its 12 tiles lie beyond"), (560, "holds no tile of an image")):
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(InputError, match=what):
            open_file(path, allow_partial=True)


def test_a_recording_that_was_not_finished_is_opened_on_request(tmp_path: Path) -> None:
    """Its header has no place of a directory."""
    path = tmp_path / "a.czi"
    write_czi(path, stack(), STACK, ahead=True)
    whole = read(open_file(path))
    path.write_bytes(path.read_bytes()[:84] + bytes(8) + path.read_bytes()[92:])
    reader = open_file(path, allow_partial=True)
    assert not reader.spec.missing
    np.testing.assert_array_equal(read(reader), whole)


@pytest.mark.parametrize(
    ("step", "kept_bytes", "most"),
    [
        (256, 0, 1.0),  # blocks cut no tile
        (230, 1 << 27, 1.1),  # they do, and a row of tiles is kept; one of two workers may lag behind
        (240, 0, 1.3),  # a row of tiles is too large: as often as the plan says
    ],
)
def test_each_tile_is_decoded_once(
    step: int, kept_bytes: int, most: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigimg.readers.vendor.czi.KEPT_BYTES", kept_bytes)
    shift = np.random.default_rng(1).integers(0, 5, (64, 2)) * (step == 230)  # as of a stage
    tiles = [
        Tile(noise((256, 256), "u2", m), step * (m // 8) + y, step * (m % 8) + x, {"M": m}, codec=ZSTD_HEADED)
        for m, (y, x) in enumerate(shift.tolist())
    ]  # fmt: skip
    path, out = tmp_path / "a.czi", tmp_path / "out.ome.zarr"
    write_czi(path, tiles, metadata(scaling={"X": 1e-6, "Y": 1e-6}))
    decoded = collections.Counter[int]()
    original = czi_tiles.Tiles._decoded

    def counted(self: Any, tile: Any, *rest: Any) -> Any:
        decoded[int(tile["at"])] += 1
        return original(self, tile, *rest)

    monkeypatch.setattr(czi_tiles.Tiles, "_decoded", counted)
    bigimg.convert(path, out, chunks=(64, 64), shards=(256, 256), workers=2, progress=False)
    assert len(decoded) == 64
    assert sum(decoded.values()) / 64 <= most
    np.testing.assert_array_equal(bigimg.imread(out), owners(path))


def test_a_tile_that_is_hidden_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.czi"
    write_czi(
        path,
        [Tile(noise((9, 9)), 2, 2, {"M": 0}, codec=ZSTD), Tile(noise((20, 20)), 0, 0, {"M": 1}, codec=ZSTD)],
    )
    seen = []
    original = czi_tiles.Tiles.copy
    monkeypatch.setattr(
        czi_tiles.Tiles,
        "copy",
        lambda self, tile, *rest: (seen.append(int(tile["M"])), original(self, tile, *rest)),
    )
    np.testing.assert_array_equal(read(open_czi(str(path))), noise((20, 20)))
    assert seen == [1]


def test_converted_inside_the_plan(tmp_path: Path) -> None:
    tiles = [
        Tile(noise((1024, 1024), "u2", m), 1000 * (m // 3), 1000 * (m % 3), {"M": m}, codec=ZSTD_HEADED)
        for m in range(9)
    ]
    path, out = tmp_path / "a.czi", tmp_path / "out.ome.zarr"
    write_czi(path, tiles, metadata(scaling={"X": 1e-6, "Y": 1e-6}))
    planned = command("plan", path, out, "--memory", "400MB", "--json", scratch=tmp_path).json["peak_bytes"]
    done = command("convert", path, out, "--memory", "400MB", "-q", scratch=tmp_path)
    assert done.code == 0, done.err
    assert done.peak_bytes <= planned <= 400e6
    np.testing.assert_array_equal(bigimg.imread(out), owners(path))


def test_opening_many_tiles_takes_what_is_said(tmp_path: Path) -> None:
    places = [(9 * i, 9 * j) for i in range(20) for j in range(50)]
    tiles = [Tile(noise((12, 12)), y, x, {"S": 0, "M": m, "C": 0}) for m, (y, x) in enumerate(places)]
    path = tmp_path / "a.czi"
    write_czi(path, tiles, metadata())
    open_file(path)  # the libraries are loaded
    tracemalloc.start()
    try:
        reader = open_file(path)
        assert tracemalloc.get_traced_memory()[1] <= reader.access.fixed_bytes
    finally:
        tracemalloc.stop()
    assert len(pickle.dumps(reader)) < 300 * len(tiles)


def test_opening_very_many_planes_takes_what_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.czi"
    write_czi(path, [Tile(noise((9, 9)), index={"T": t}) for t in (0, 99_999)])
    tracemalloc.start()
    try:
        reader = open_czi(str(path), allow_partial=True)
        assert tracemalloc.get_traced_memory()[1] <= reader.access.fixed_bytes
    finally:
        tracemalloc.stop()


@pytest.mark.vendors
def test_files_of_another_program_are_as_it_reads_them(tmp_path: Path) -> None:
    rw = pytest.importorskip("pylibCZIrw.czi")
    for kind, samples, dtype in (
        ("g8", 1, "u1"),
        ("g16", 1, "u2"),
        ("b24", 3, "u1"),
        ("b48", 3, "u2"),
        ("f", 1, "f4"),
    ):
        # Not Bgr48 with HiLo: libCZI does not read these as they were written, and czifile does.
        for codec in (
            "uncompressed:",
            "zstd0:ExplicitLevel=2",
            "zstd1:ExplicitLevel=2" + ";PreProcess=HiLoByteUnpack" * (dtype == "u2" and samples == 1),
        ):
            path = tmp_path / f"{kind}{codec[:5]}.czi"
            with rw.create_czi(str(path)) as file:
                for m in range(6):
                    pixels = noise((64, 80, samples), dtype, m)
                    file.write(
                        pixels,
                        location=(70 * (m % 3) - 13, 60 * (m // 3) + 5),
                        plane={"C": 0},
                        compression_options=codec,
                    )
                file.write_metadata("a", channel_names={0: "DAPI"}, scale_x=5e-7, scale_y=5e-7)
            with rw.open_czi(str(path)) as file:
                expected = np.squeeze(np.moveaxis(file.read(plane={"C": 0})[..., ::-1], -1, 0))
            found = read(open_file(path))
            np.testing.assert_array_equal(found, expected, err_msg=path.name)
            np.testing.assert_array_equal(found, owners(path))


@pytest.mark.vendors
@pytest.mark.parametrize("name", REAL)
def test_real_files_are_as_another_program_reads_them(name: str, data: Path) -> None:
    rw = pytest.importorskip("pylibCZIrw.czi")
    path = data / "vendor" / f"{name}.czi"
    reader = open_file(path)
    sizes = {"t": 1, "c": 1, "z": 1} | reader.spec.sizes
    with rw.open_czi(str(path)) as file:
        planes = [
            file.read(plane={"T": t, "C": c, "Z": z})[..., 0]
            for t in range(sizes["t"]) for c in range(sizes["c"]) for z in range(sizes["z"])
        ]  # fmt: skip
    np.testing.assert_array_equal(read(reader), np.array(planes).reshape(reader.spec.shape))


def test_the_reader_is_what_it_says(data: Path) -> None:
    reader = open_czi(str(data / "vendor" / f"{REAL[0]}.czi"))
    assert isinstance(reader, CziReader)
    assert reader.access.why == "tiles of 170 x 240, zstd"
    assert (
        reader.access.fixed_bytes == (4 << 20) + 30 * 1500 + 16 * 745 + 64 * 30
    )  # tiles, bytes of metadata, planes
