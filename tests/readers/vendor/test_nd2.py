"""ND2 against the library nd2, openreadout and numpy; files made by hand are in :mod:`tests.readers.vendor.nikon`."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest

import bigimg
from bigimg.errors import BigimgError, InputError, MissingExtraError, UsageError
from bigimg.geometry.region import full
from bigimg.geometry.spec import RGB
from bigimg.reader import Reader
from bigimg.readers.registry import open_file
from bigimg.readers.vendor import nd2_frames
from bigimg.testing import check_reader
from bigimg.types import Array
from tests.readers.vendor.nikon import CUSTOM, POSITIONS, TIME, Z, loop, write_nd2

nd2 = pytest.importorskip("nd2")


@pytest.fixture
def cluster(data: Path) -> Path:
    """A real file, beside the real images."""
    path = data.parent / "vendor" / "cluster.nd2"
    if not path.exists():
        pytest.skip("cluster.nd2 is not here")
    return path


def numbers(*shape: int, dtype: str = "u2") -> Array:
    return np.random.default_rng(1).integers(0, 200, shape).astype(dtype)


def whole(reader: Reader) -> Array:
    return reader.read(full(reader.spec.shape))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("row", [0, 32])  # 28 bytes
@pytest.mark.parametrize("order", ["tz", "zt"])
def test_frames(tmp_path: Path, packed: bool, row: int, order: str) -> None:
    sizes = {"t": 3, "z": 2}
    loops = [loop({"t": TIME, "z": Z}[name], sizes[name]) for name in order]
    frames = numbers(6, 5, 7, 2)
    path = str(write_nd2(tmp_path / "a.nd2", frames, loops, row=row, packed=packed))
    shaped = frames.reshape(*(sizes[name] for name in order), 5, 7, 2)
    expected = (shaped if order == "tz" else shaped.swapaxes(0, 1)).transpose(0, 4, 1, 2, 3)
    check_reader(lambda: open_file(path), expected=expected)
    with nd2.ND2File(path) as file:
        names = "".join(file.sizes).lower()
        theirs = file.asarray().transpose([names.index(name) for name in "tczyx"])
    assert np.array_equal(whole(open_file(path)), theirs)


def test_spacing_names_and_colours(tmp_path: Path) -> None:
    path = write_nd2(tmp_path / "a.nd2", numbers(6, 5, 7, 2), [loop(TIME, 3), loop(Z, 2)])
    spec = open_file(path).spec
    t, c, z, y, x = spec.axes
    assert [(axis.spacing, axis.unit) for axis in (t, c, z, y, x)] == [
        (2.0, "second"), (1.0, None), (0.5, "micrometer"), (0.25, "micrometer"), (0.25, "micrometer"),
    ]  # fmt: skip
    with nd2.ND2File(path) as file:
        theirs = [
            (each.channel.name, each.channel.color.as_hex()[1:].upper()) for each in file.metadata.channels
        ]
    assert [(channel.name, channel.color) for channel in spec.channels] == theirs == [
        ("DAPI", "FF0000"), ("GFP", "00FF00"),
    ]  # fmt: skip
    assert spec.meta["emissionLambdaNm"] == [525.0, 525.0]


def test_time_step_that_was_not_planned(tmp_path: Path) -> None:
    path = write_nd2(tmp_path / "a.nd2", numbers(6, 5, 7, 1), [loop(TIME, 3, dPeriod=0.0), loop(Z, 2)])
    spec = open_file(path).spec
    assert (spec.axes[0].spacing, spec.axes[0].unit) == (3.0, "second")  # a frame each 1.5 s
    assert any("mean of the recorded times" in note for note in spec.notes)


@pytest.mark.parametrize(("components", "planes"), [(1, 1), (3, 1), (6, 2)])
def test_components(tmp_path: Path, components: int, planes: int) -> None:
    frames = numbers(2, 5, 7, components, dtype="u1")
    path = str(write_nd2(tmp_path / "a.nd2", frames, [loop(Z, 2)], planes=planes))
    expected = frames.transpose(3, 0, 1, 2) if components > 1 else frames[..., 0]
    check_reader(lambda: open_file(path), expected=expected)
    spec = open_file(path).spec
    if components == 3:
        assert spec.channels == RGB
    assert [channel.name for channel in spec.channels][3:4] == (["GFP R"] if components == 6 else [])
    with nd2.ND2File(path) as file:
        theirs = file.asarray()
    shaped = frames.reshape(2, 5, 7, planes, -1)
    assert np.array_equal(theirs, shaped.transpose(0, 3, 1, 2, 4).squeeze())


def test_positions_are_series(tmp_path: Path) -> None:
    frames = numbers(12, 5, 7, 1)
    loops = [loop(TIME, 2), loop(POSITIONS, 3, names=["A01", "A02", "B01"]), loop(Z, 2)]
    path = write_nd2(tmp_path / "a.nd2", frames, loops)
    shaped = frames.reshape(2, 3, 2, 5, 7)
    assert np.array_equal(whole(open_file(path)), shaped[:, 0])
    assert np.array_equal(whole(open_file(path, series="B01")), shaped[:, 2])
    assert "0 A01 (2 x 2 x 5 x 7), 1 A02 (2 x 2 x 5 x 7)" in open_file(path).spec.of_source[0]
    with pytest.raises(UsageError, match="no series 'C01'"):
        open_file(path, series="C01")


def test_other_loops_are_chosen(tmp_path: Path) -> None:
    frames = numbers(6, 5, 7, 1)
    path = write_nd2(tmp_path / "a.nd2", frames, [loop(CUSTOM, 3), loop(Z, 2)])
    with pytest.raises(InputError, match=r"has the axis U \(0 to 2\), of which one must be chosen"):
        open_file(path)
    assert np.array_equal(whole(open_file(path, axis={"U": 1})), frames[2:4, ..., 0])


@pytest.mark.parametrize("packed", [False, True])
def test_frames_that_were_never_recorded(tmp_path: Path, packed: bool) -> None:
    """As of a stopped recording, and of one with every second plane of z."""
    frames = numbers(6, 5, 7, 2)
    path = write_nd2(tmp_path / "a.nd2", frames, [loop(TIME, 2), loop(Z, 3)], packed=packed, without={1, 5})
    with pytest.raises(InputError, match=r"2 of 6 planes were never written \(t = 0, z = 1 is the first\)"):
        open_file(path)
    reader = open_file(path, allow_partial=True)
    expected = frames.reshape(2, 3, 5, 7, 2).transpose(0, 4, 1, 2, 3).copy()
    expected[0, :, 1] = expected[1, :, 2] = 0
    assert np.array_equal(whole(reader), expected)
    rest = (slice(0, 5), slice(0, 7))
    assert reader.spec.missing == tuple(
        (slice(t, t + 1), slice(0, 2), slice(z, z + 1), *rest) for t, z in ((0, 1), (1, 2))
    )


def test_frames_that_no_loop_counts(tmp_path: Path) -> None:
    path = write_nd2(tmp_path / "a.nd2", numbers(4, 5, 7, 1), [loop(Z, 3)])
    reader = open_file(path)
    assert reader.spec.shape == (3, 5, 7)
    assert any("4 frames, and its loops count 3" in note for note in reader.spec.notes)


def test_each_deflated_frame_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are smaller than frames here, so bands of them are read."""
    path = write_nd2(tmp_path / "a.nd2", numbers(2, 100, 70, 2), [loop(Z, 2)], packed=True)
    calls, decode = Counter[bytes](), imagecodecs.deflate_decode

    def counted(data: Any, **more: Any) -> Any:
        calls[bytes(data[:100])] += 1
        return decode(data, **more)

    monkeypatch.setattr(imagecodecs, "deflate_decode", counted)
    bigimg.convert(
        path, tmp_path / "o.ome.zarr", chunks={"y": 64, "x": 64}, shards={"y": 64, "x": 64}, progress=False
    )
    assert len(calls) == 2
    assert set(calls.values()) == {1}


def test_lossy_and_old_files_are_refused(tmp_path: Path) -> None:
    path = write_nd2(tmp_path / "a.nd2", numbers(1, 5, 7, 1), attributes={"eCompression": 1})
    with pytest.raises(InputError, match="compressed with loss"):
        open_file(path)
    (old := tmp_path / "old.nd2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(5000))
    with pytest.raises(
        InputError, match="ND2 of before 2010, with JPEG 2000 in it, which is not read; save it again"
    ):
        open_file(old)


def test_damage_is_named(tmp_path: Path) -> None:
    frames = numbers(2, 5, 7, 1)
    data = write_nd2(tmp_path / "a.nd2", frames, [loop(Z, 2)], packed=True).read_bytes()
    frame = data.index(b"ImageDataSeq|1!")
    cases = {
        "no table of its frames": data[:-1],
        "table of its frames makes no sense": data[:-8] + bytes(8),
        "frame 1 does not lie at byte": data[:frame] + b"X" + data[frame + 1 :],
        "frame 1 cannot be inflated": data[: frame + 4110] + b"\xff\xff" + data[frame + 4112 :],
    }
    for said, bad in cases.items():
        (path := tmp_path / "bad.nd2").write_bytes(bad)
        with pytest.raises(InputError, match=said):
            whole(open_file(path))
    path = write_nd2(tmp_path / "b.nd2", frames, [loop(Z, 2)], packed=True, attributes={"uiHeight": 4})
    with pytest.raises(InputError, match="cannot be inflated"):  # more inside than the frame has room for
        whole(open_file(path))
    path = write_nd2(tmp_path / "c.nd2", frames, [loop(Z, 2)], packed=True, attributes={"uiHeight": 6})
    with pytest.raises(InputError, match="inflates to 70 bytes, and it needs 84"):
        whole(open_file(path))
    for packed in (False, True):  # before memory is taken for it
        path = write_nd2(
            tmp_path / "d.nd2", frames, [loop(Z, 2)], packed=packed, attributes={"uiHeight": 50_000}
        )
        with pytest.raises(InputError, match=r"at most \d+ bytes, and 700000 in each are expected"):
            open_file(path)
    path = write_nd2(tmp_path / "e.nd2", frames, [loop(Z, 10**9)])
    with pytest.raises(InputError, match="should have 1000000000 frames, and at most 10000000 are read"):
        open_file(path)


def test_mutants_are_named_or_the_same(tmp_path: Path) -> None:
    frames = numbers(4, 40, 70, 1)
    data = write_nd2(tmp_path / "a.nd2", frames, [loop(TIME, 2), loop(Z, 2)], packed=True).read_bytes()
    expected = frames.reshape(2, 2, 40, 70)
    rng = np.random.default_rng(2)
    path = tmp_path / "mutant.nd2"
    places = [slice(m.start(), m.start() + 4100 + 2000) for m in re.finditer(rb"ImageDataSeq\|\d!\0", data)]
    for i in range(20):
        mutant = bytearray(data)
        if i % 2:
            del mutant[int(rng.integers(len(data))) :]
        else:
            place = places[i % len(places)]
            mutant[int(rng.integers(place.start, min(place.stop, len(data))))] ^= 1 << int(rng.integers(8))
        path.write_bytes(mutant)
        try:
            found = whole(open_file(path))
        except BigimgError:
            continue
        assert np.array_equal(found, expected)


def test_library_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_nd2(tmp_path / "a.nd2", numbers(1, 5, 7, 1))
    monkeypatch.setitem(sys.modules, "nd2", None)
    with pytest.raises(MissingExtraError, match="bio"):
        open_file(path)


def test_real_file(cluster: Path) -> None:
    reader = open_file(cluster)
    with nd2.ND2File(cluster) as file:
        assert np.array_equal(whole(reader), np.moveaxis(file.asarray(), 2, 1))
        sizes = dict(zip("xyz", file.voxel_size(), strict=True))
        names = [each.channel.name for each in file.metadata.channels]
    assert {axis.name: axis.spacing for axis in reader.spec.axes if axis.name in "xyz"} == sizes
    assert [channel.name for channel in reader.spec.channels] == names


@pytest.mark.vendors
def test_real_file_against_openreadout(cluster: Path) -> None:
    openreadout = pytest.importorskip("openreadout")
    with openreadout.File(str(cluster)) as file:
        assert np.array_equal(whole(open_file(cluster)), file.read_image(0))


def test_tables_are_bounded_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_nd2(tmp_path / "a.nd2", numbers(2, 5, 7, 1))
    monkeypatch.setattr(nd2_frames, "MOST_TABLE", 16)
    with pytest.raises(InputError, match="a table has at most 16"):
        open_file(path)
