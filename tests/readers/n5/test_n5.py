"""N5 and precomputed volumes that tensorstore wrote: pixels, axes, spacing, levels, and chunks that are not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigimg
from bigimg.errors import BigimgError, InputError, MissingExtraError, UsageError
from bigimg.geometry.region import full
from bigimg.reader import Reader
from bigimg.readers.n5 import datasets
from bigimg.readers.registry import open_file
from bigimg.testing import check_reader
from bigimg.types import Array

ARRAY = np.random.default_rng(0).integers(0, 250, (13, 40, 50)).astype("u2")


def tensorstore() -> Any:
    return pytest.importorskip("tensorstore", reason="N5 needs the extra n5")


def n5(path: Path, array: Array = ARRAY, *, chunks: tuple[int, ...] = (16, 16, 8), **attributes: Any) -> Path:
    """Write ``array``, slowest axis first; ``chunks`` have the fastest first, as the attributes."""
    place = {"driver": "n5", "kvstore": {"driver": "file", "path": str(path)}}
    kind = {"dimensions": array.shape[::-1], "blockSize": chunks, "dataType": array.dtype.name}
    packing = {"compression": attributes.pop("compression", {"type": "gzip"})}
    tensorstore().open(place | {"metadata": kind | packing}, create=True).result()[...] = array.transpose()
    document = json.loads((path / "attributes.json").read_text())
    (path / "attributes.json").write_text(json.dumps(document | attributes))
    return path


def precomputed(
    path: Path,
    array: Array = ARRAY[None],
    *,
    kind: str = "image",
    offset: tuple[int, ...] = (0, 0, 0),
    **scale: Any,
) -> Path:
    """Write ``array`` (c, z, y, x)."""
    place = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": str(path)}}
    described = {
        "size": array.shape[:0:-1], "resolution": [4, 8, 40], "encoding": "raw", "chunk_size": [16, 16, 8],
        "voxel_offset": offset,
    }  # fmt: skip
    several = {"type": kind, "data_type": array.dtype.name, "num_channels": len(array)}
    made = place | {"multiscale_metadata": several, "scale_metadata": described | scale}
    tensorstore().open(made, create=True).result()[...] = array.transpose()
    return path


def whole(reader: Reader) -> Array:
    try:
        return reader.read(full(reader.spec.shape)).copy()
    finally:
        reader.close()


@pytest.mark.parametrize(
    "packing",
    [{"type": "gzip"}, {"type": "raw"}, {"type": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}],
)
@pytest.mark.parametrize("dtype", ["u1", "i2", "u8", "f4"])
def test_pixels(tmp_path: Path, dtype: str, packing: dict[str, Any]) -> None:
    array = ARRAY.astype(dtype)
    path = n5(tmp_path / "a.n5", array, compression=packing)
    check_reader(lambda: open_file(path), expected=array)
    np.testing.assert_array_equal(bigimg.imread(path), array)


def test_axes_and_spacing(tmp_path: Path) -> None:
    path = n5(tmp_path / "a", axes=["x", "y", "z"], resolution=[4, 5, 40], units=["nm"] * 3)
    axes = open_file(path).spec.axes
    assert [(axis.name, axis.spacing, axis.unit) for axis in axes] == [
        ("z", 40, "nanometer"), ("y", 5, "nanometer"), ("x", 4, "nanometer"),
    ]  # fmt: skip
    transform = {
        "axes": ["z", "y", "x"],
        "scale": [3.0, 2.0, 1.0],
        "translate": [1.0, 0, -1],
        "units": ["nm"] * 3,
    }
    axes = open_file(n5(tmp_path / "b", transform=transform)).spec.axes
    assert [(axis.spacing, axis.origin) for axis in axes] == [(3.0, 1.0), (2.0, 0.0), (1.0, -1.0)]
    five = ARRAY.reshape(13, 1, 4, 10, 50)
    path = n5(tmp_path / "c", five, chunks=(16, 10, 4, 1, 13), axes=["x", "y", "c", "z", "t"])
    reader = open_file(path)
    assert reader.spec.dims == ("t", "c", "z", "y", "x")
    np.testing.assert_array_equal(whole(reader), five.transpose(0, 2, 1, 3, 4))
    reader = open_file(n5(tmp_path / "d", ARRAY.reshape(13, 4, 10, 50), chunks=(16, 10, 4, 13)))
    assert "t z y x are assumed" in reader.spec.notes[0]


def test_levels_and_groups_are_series(tmp_path: Path) -> None:
    (tmp_path / "a.n5" / "raw").mkdir(parents=True)
    (tmp_path / "a.n5" / "attributes.json").write_text('{"n5": "2.5.1"}')
    about = {"pixelResolution": {"dimensions": [1.0, 1.0, 2.0], "unit": "um"}}
    (tmp_path / "a.n5" / "raw" / "attributes.json").write_text(json.dumps(about))
    n5(tmp_path / "a.n5" / "raw" / "s1", ARRAY[::2, ::2, ::2], downsamplingFactors=[2, 2, 2])
    n5(tmp_path / "a.n5" / "raw" / "s0", ARRAY)
    n5(tmp_path / "a.n5" / "labels" / "s0", ARRAY + 1)
    np.testing.assert_array_equal(whole(open_file(tmp_path / "a.n5")), ARRAY + 1)
    np.testing.assert_array_equal(bigimg.imread(tmp_path / "a.n5", series="raw/s0"), ARRAY)
    reader = open_file(tmp_path / "a.n5", series=2)
    np.testing.assert_array_equal(whole(reader), ARRAY[::2, ::2, ::2])
    assert [axis.spacing for axis in reader.spec.axes] == [4.0, 2.0, 2.0]
    assert "raw/s1 (7 x 20 x 25)" in reader.spec.of_source[0]
    assert "micrometer" in bigimg.open(tmp_path / "a.n5" / "raw").x.attrs["units"]
    with pytest.raises(UsageError, match="no series 3"):
        open_file(tmp_path / "a.n5", series=3)


@pytest.mark.parametrize("make", [n5, precomputed])
def test_chunks_that_were_never_written(tmp_path: Path, make: Any) -> None:
    path = make(tmp_path / "a")
    lost = path / "1" / "0" / "1" if make is n5 else next(path.glob("*/16-32_0-16_8-13"))
    lost.unlink()
    with pytest.raises(
        InputError, match=r"1 of 24 chunks were never written \(z = 8, y = 0, x = 16 is the first\)"
    ):
        open_file(path)
    reader = open_file(path, allow_partial=True)
    assert reader.spec.missing == ((slice(8, 13), slice(0, 16), slice(16, 32)),)
    expected = ARRAY.copy()
    expected[8:, :16, 16:32] = 0
    np.testing.assert_array_equal(whole(reader), expected)


def test_precomputed(tmp_path: Path) -> None:
    path = precomputed(tmp_path / "a", offset=(3, 2, 1))
    check_reader(lambda: open_file(path), expected=ARRAY)
    axes = open_file(path).spec.axes
    assert [(axis.name, axis.spacing, axis.unit, axis.origin) for axis in axes] == [
        ("z", 40, "nanometer", 40), ("y", 8, "nanometer", 16), ("x", 4, "nanometer", 12),
    ]  # fmt: skip
    channels = np.stack([ARRAY, ARRAY + 1, ARRAY + 2])
    path = precomputed(tmp_path / "b", channels)
    check_reader(lambda: open_file(path), expected=channels)
    labels = {"encoding": "compressed_segmentation", "compressed_segmentation_block_size": [8, 8, 8]}
    path = precomputed(tmp_path / "c", ARRAY[None].astype("u4"), kind="segmentation", **labels)
    reader = open_file(path)
    assert reader.spec.kind == "labels"
    np.testing.assert_array_equal(whole(reader), ARRAY)
    sharding = {
        "@type": "neuroglancer_uint64_sharded_v1", "preshift_bits": 1, "minishard_bits": 1, "shard_bits": 1,
        "hash": "identity", "data_encoding": "gzip", "minishard_index_encoding": "gzip",
    }  # fmt: skip
    path = precomputed(tmp_path / "d", sharding=sharding)
    np.testing.assert_array_equal(whole(open_file(path)), ARRAY)
    assert "shards" in open_file(path).spec.notes[0]
    np.testing.assert_array_equal(bigimg.imread(path), ARRAY)
    next(path.glob("*/*.shard")).unlink()
    with pytest.raises(InputError, match="cannot be read"):
        whole(open_file(path))


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    path = n5(tmp_path / "a")
    good = json.loads((path / "attributes.json").read_text())
    for change in (
        {"dataType": "string"}, {"blockSize": [16, 16]}, {"blockSize": [16, 16, 0]}, {"dimensions": [1, 2]},
        {"compression": {"type": "nothing"}}, {"dimensions": "many"},
    ):  # fmt: skip
        (path / "attributes.json").write_text(json.dumps(good | change))
        with pytest.raises(InputError, match=str(path)):
            open_file(path)
    (path / "attributes.json").write_text('{"dimensions": ')
    with pytest.raises(InputError, match=r"attributes\.json: is no JSON"):
        open_file(path)
    path = precomputed(tmp_path / "b")
    good = json.loads((path / "info").read_text())
    for change in ({"scales": []}, {"data_type": "text"}, {"scales": [good["scales"][0] | {"key": "../x"}]}, {
        "scales": [good["scales"][0] | {"key": "../x", "sharding": {"@type": "neuroglancer_uint64_sharded_v1"}}],
    }):  # fmt: skip
        (path / "info").write_text(json.dumps(good | change))
        with pytest.raises(
            InputError, match="outside its own folder" if "../x" in str(change) else str(path)
        ):
            open_file(path)


@pytest.mark.parametrize("key", [".", "./s0", "s0/"])
def test_a_key_that_tensorstore_does_not_take_is_refused_before_pixels(key: str, tmp_path: Path) -> None:
    path = precomputed(tmp_path / "a")
    document = json.loads((path / "info").read_text())
    document["scales"][0]["key"] = key
    (path / "info").write_text(json.dumps(document))
    with pytest.raises(
        InputError, match="a name that tensorstore does not take; give it a folder of its own"
    ):
        open_file(path)


def test_which_chunks_of_a_precomputed_volume_have_a_file(tmp_path: Path) -> None:
    """Files are looked at, and not a name for each of 64 million chunks; other files and names count for nothing."""
    path = precomputed(tmp_path / "a", np.ones((1, 9, 20, 37), np.uint8), offset=(-5, 2, 1))
    folder = path / json.loads((path / "info").read_text())["scales"][0]["key"]
    names = sorted(each.name for each in folder.iterdir())
    assert len(names) == 2 * 2 * 3
    for name in ("-5-11_2-18_1-9", "27-32_18-22_9-10"):
        (folder / name).unlink()
    for name in (
        "-5-11_2-18_1-8",
        "-5-11_2-18_1-09",
        "a_b_c",
        "-21--5_2-18_1-9",
        "27-43_18-34_9-17",
        "0-0_0-0_0-0",
    ):
        (folder / name).touch()
    with pytest.raises(
        InputError, match=r"2 of 12 chunks were never written \(z = 0, y = 0, x = 0 is the first\)"
    ):
        open_file(path)
    reader = open_file(path, allow_partial=True)
    assert sorted(reader.spec.missing) == [
        (slice(0, 8), slice(0, 16), slice(0, 16)), (slice(8, 9), slice(16, 20), slice(32, 37)),
    ]  # fmt: skip
    (folder / "-5-11_2-18_1-9.gz").touch()
    with pytest.raises(InputError, match=r"packed as \.gz files"):
        open_file(path)
    document = json.loads((path / "info").read_text())
    document["scales"][0] |= {"size": [400 * 16, 400 * 16, 400 * 8], "voxel_offset": [0, 0, 0]}
    (path / "info").write_text(json.dumps(document))
    with pytest.raises(InputError, match="64000000 of 64000000 chunks were never written"):
        open_file(path)


def test_damage_is_named_or_the_pixels_are_the_same(tmp_path: Path) -> None:
    path, rng = n5(tmp_path / "a"), np.random.default_rng(1)
    files = sorted(each for each in path.rglob("*") if each.is_file())
    for number in range(20):
        file = files[int(rng.integers(len(files)))]
        good = file.read_bytes()
        bad = bytearray(good)
        if number % 2:
            del bad[int(rng.integers(len(bad))) :]
        else:
            bad[int(rng.integers(len(bad)))] ^= 1 << int(rng.integers(8))
        file.write_bytes(bad)
        try:
            found = whole(open_file(path))
            assert found.shape != ARRAY.shape or (found == ARRAY).all()
        except BigimgError as error:
            assert str(path) in str(error)  # noqa: PT017
        file.write_bytes(good)


def test_without_tensorstore_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = n5(tmp_path / "a")
    monkeypatch.setitem(__import__("sys").modules, "tensorstore", None)
    with pytest.raises(MissingExtraError, match=r"read by tensorstore.*\[n5\]"):
        open_file(path)


def test_a_search_that_ends_at_its_limit_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.n5").mkdir()
    (tmp_path / "a.n5" / "attributes.json").write_text('{"n5": "2.5.1"}')
    for name in ("s0", "s1", "s2"):
        n5(tmp_path / "a.n5" / name, ARRAY)
    assert not any("searched" in note for note in open_file(tmp_path / "a.n5").spec.notes)
    monkeypatch.setattr(datasets, "MOST_FOLDERS", 2)
    spec = open_file(tmp_path / "a.n5").spec
    assert "its first 2 folders were searched for datasets: open others by their folders" in spec.notes
