"""Stores of ours and of others: pixels against zarr and numpy, geometry by hand, and every loss an error."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask.array as da
import google_crc32c
import numcodecs
import numpy as np
import pandas
import pytest
import xarray as xr
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bigimg
from bigimg.errors import (
    BigimgError,
    CorruptChunk,
    InputError,
    InputNotFoundError,
    IntegrityError,
    MissingChunk,
    UsageError,
)
from bigimg.geometry.axes import Axis
from bigimg.geometry.region import full
from bigimg.geometry.spec import RGB, Channel, ImageSpec, Scaling
from bigimg.omezarr.open import Store, StoreReader, is_store, open_store
from bigimg.reader import Reader
from bigimg.types import Array
from tests.omezarr.conftest import RGB_SPEC, MakeStore
from tests.omezarr.test_metadata import OBLIQUE

REAL = [
    "ome-zarr/camera.ome.zarr", "ome-zarr/coins.ome.zarr", "ome-zarr/image-02.zarr", "ome-zarr/image-03.zarr",
    "ome-zarr/image-04.zarr", "ome-zarr/mni152_axial.ome.zarr", "derived/mouse_brain_slab_v05.ome.zarr",
    "derived/nuclei3d_v04.ome.zarr", "derived/nuclei3d_v05_sharded.ome.zarr",
]  # fmt: skip


def read(store: Store, level: int = 0) -> Array:
    reader = StoreReader(store, level)
    try:
        return reader.read(full(reader.spec.shape))
    finally:
        reader.close()


def others(
    root: Path, pixels: Array, dims: str = "zyx", chunk: tuple[int, ...] | None = None, **more: Any
) -> zarr.Array:
    """Write an image as somebody else would: OME-Zarr 0.4, one level."""
    group = zarr.create_group(root, zarr_format=2)
    array = group.create_array(
        "0", shape=pixels.shape, dtype=pixels.dtype, chunks=chunk or pixels.shape, **more
    )
    array[...] = pixels
    axes = [{"name": name, "type": "channel" if name == "c" else "space"} for name in dims]
    scale = [{"type": "scale", "scale": [float(i + 1) for i in range(len(dims))]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    return array


# ------------------------------------------------------------------------------------------------ real stores


@pytest.mark.parametrize("name", REAL)
def test_real_stores_read_as_zarr_reads_them(name: str, data: Path, index: dict[str, dict[str, str]]) -> None:
    store = open_store(data / name)
    for level, stored in enumerate(store.levels):
        theirs = zarr.open_array(data / name / store.group / stored.path, mode="r")[...]
        ours = read(store, level)
        assert (ours.shape, ours.dtype) == (stored.shape, stored.dtype)
        np.testing.assert_array_equal(ours, theirs.transpose(store.order))
    row = next(row for file, row in index.items() if file.startswith(name + "/"))
    if row["pixels_sha256"]:
        pixels = np.ascontiguousarray(read(store).transpose(np.argsort(store.order)))
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == row["pixels_sha256"]
    assert any("no manifest" in note for note in store.notes)
    assert is_store(data / name)


def test_axes_of_mni152_are_turned_and_keep_their_numbers(data: Path) -> None:
    """Stored x y z; the numbers are those of ``ngff_zarr.from_ngff_zarr``, read from the file by hand."""
    store = open_store(data / "ome-zarr/mni152_axial.ome.zarr")
    assert (store.version, store.dims, store.order) == ("0.4", ("z", "y", "x"), (2, 1, 0))
    assert store.levels[0].shape == (1, 256, 207)
    assert store.levels[0].chunk == (1, 128, 128)
    assert store.levels[3].spacing == (0.737463116645813, 5.899704933166504, 5.899704933166504)
    assert store.levels[3].origin == (7.146018385887146, -108.1814141869545, -73.1814141869545)


def test_bioformats2raw_opens_its_series_and_keeps_single_axes(data: Path) -> None:
    store = open_store(data / "ome-zarr/camera.ome.zarr")
    assert (store.group, store.series, store.dims) == ("0", ("0",), tuple("tczyx"))
    assert store.levels[0].shape == (1, 1, 1, 480, 640)
    assert store.spec().channels == (Channel("Channel 0", "808080"),)
    assert store.spec().window == (0.0, 255.0)
    with pytest.raises(UsageError, match="no series 1; there are 1: 0"):
        open_store(data / "ome-zarr/camera.ome.zarr", series=1)


@pytest.mark.parametrize("version", ["v04", "v05_sharded"])
def test_label_images_are_found(version: str, data: Path) -> None:
    path = data / f"derived/nuclei3d_{version}.ome.zarr"
    assert open_store(path).labels == ("nuclei",)
    for inner in ("labels", "labels/nuclei"):
        labels = open_store(path / inner)
        assert (labels.kind, labels.levels[0].shape) == ("labels", (31, 61, 57))


# ---------------------------------------------------------------------------------------------- stores of ours


@pytest.mark.parametrize("version", ["0.5", "0.6"])
def test_what_is_known_of_an_image_survives(version: str, tmp_path: Path, make_store: MakeStore) -> None:
    axes = (
        Axis("t", 2, 0.5, "second"), Axis("c", 2), Axis("z", 9, 3.0, "millimeter", 1.0),
        Axis("y", 40, -0.5, "millimeter"), Axis("x", 50, 0.5, "millimeter", -7.0),
    )  # fmt: skip
    spec = ImageSpec(
        axes, np.dtype(np.int16), (1, 1, 8, 16, 16), channels=(Channel("a", "112233"), Channel("b")), world=OBLIQUE,
        scaling=Scaling(2.0, -1.0), window=(0.5, 9.0), meta={"tag": [1, None]}, notes=("doubtful",),
    )  # fmt: skip
    pixels = make_store(tmp_path / "s", spec, (1, 1, 8, 16, 16), (1, 1, 8, 32, 32), version=version)
    store = open_store(tmp_path / "s")
    assert (store.version, store.has_manifest) == (version, True)
    assert store.spec() == spec
    np.testing.assert_array_equal(read(store), pixels)
    small = store.spec(-1)
    assert [axis.spacing for axis in small.axes] == [0.5, 1.0, 6.0, -4.0, 4.0]
    np.testing.assert_array_equal(read(store, -1), pixels[..., ::2, ::8, ::8])
    assert isinstance(StoreReader(store), Reader)
    with pytest.raises(UsageError, match="level 4 of 4; levels are 0 to 3"):
        store.spec(4)


def test_statistics_come_with_the_store(ours: tuple[Path, Array]) -> None:
    stored = open_store(ours[0]).statistics()
    assert stored is not None
    assert stored.statistics["channels"][0]["count"] == ours[1].size
    assert stored.histogram is not None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(corners=st.tuples(*(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)) for n in RGB_SPEC.shape)))
def test_any_region(corners: tuple[tuple[int, int], ...], ours: tuple[Path, Array]) -> None:
    region = tuple(slice(min(pair), max(pair) + 1) for pair in corners)
    reader = StoreReader(open_store(ours[0]))
    np.testing.assert_array_equal(reader.read(region), ours[1][region])


def test_threads_and_pickles_read_the_same(ours: tuple[Path, Array]) -> None:
    reader = StoreReader(open_store(ours[0]))
    regions = [(slice(0, 3), slice(i, i + 20), slice(0, 70)) for i in range(70)]
    with ThreadPoolExecutor(4) as pool:
        for region, found in zip(regions, pool.map(reader.read, regions), strict=True):
            np.testing.assert_array_equal(found, ours[1][region])
    copy = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(copy.read(regions[3]), ours[1][regions[3]])
    reader.close()
    reader.close()
    np.testing.assert_array_equal(reader.read(regions[3]), ours[1][regions[3]])


def test_our_own_stores_need_no_zarr(ours: tuple[Path, Array]) -> None:
    """zarr takes half a second to load; a command that reads one of our stores does not pay for it."""
    program = (
        "import sys; from bigimg.omezarr.open import *; r = StoreReader(open_store(sys.argv[1]));"
        "r.read(tuple(slice(0, n) for n in r.spec.shape)); assert not {'zarr', 'dask', 'xarray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, str(ours[0])], check=True)


def drop_from_index(path: Path, entry: int, chunks: int) -> None:
    data = path.read_bytes()
    table = bytearray(data[-16 * chunks - 4 : -4])
    table[16 * entry : 16 * entry + 16] = b"\xff" * 16
    path.write_bytes(data[: -len(table) - 4] + table + struct.pack("<I", google_crc32c.value(bytes(table))))


@pytest.mark.parametrize(
    ("harm", "kind", "said"),
    [
        (lambda p: p.unlink(), MissingChunk, "the object is gone"),
        (lambda p: p.write_bytes(b""), CorruptChunk, "0 bytes instead of"),
        (lambda p: p.write_bytes(p.read_bytes()[:-7]), CorruptChunk, "bytes instead of"),
        (lambda p: p.write_bytes(p.read_bytes()[::-1]), CorruptChunk, "checksum of the shard index"),
        (
            lambda p: p.write_bytes(b"\1" + p.read_bytes()[1:]),
            CorruptChunk,
            r"checksum of its chunk \(0, 0, 0\)",
        ),
        (lambda p: drop_from_index(p, 5, 12), MissingChunk, r"chunk \(1, 0, 1\) is not in the shard index"),
        (lambda p: shutil.copy(p.with_name("0"), p), CorruptChunk, "c/0/1/1: "),
    ],
    ids=["lost", "empty", "cut", "index", "flipped", "dropped", "swapped"],
)
def test_harm_to_an_object_raises_and_names_it(
    harm: Any, kind: type[Exception], said: str, ours: tuple[Path, Array]
) -> None:
    root, pixels = ours
    harm(root / "0/c/0/1/1")
    reader = StoreReader(open_store(root))
    with pytest.raises(kind, match=said) as caught:
        reader.read(full(reader.spec.shape))
    assert "0/c/0/1/1" in str(caught.value)
    elsewhere = (slice(0, 3), slice(0, 32), slice(0, 70))
    np.testing.assert_array_equal(reader.read(elsewhere), pixels[elsewhere])


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("bigimg/manifest", "the manifest of this store is gone"),
        ("bigimg/manifest/zarr.json", "the manifest of this store is gone"),
        ("bigimg/manifest/0", "is gone"),
        ("bigimg/manifest/0/c/0/0/0/0", "is gone"),
        ("0/zarr.json", "is gone"),
        ("1", "is gone"),
    ],
)
def test_a_store_without_part_of_its_metadata_is_damaged(
    path: str, said: str, ours: tuple[Path, Array]
) -> None:
    lost = ours[0] / path
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    with pytest.raises(IntegrityError, match=said):
        read(open_store(ours[0]))


@pytest.mark.parametrize("key", ["zarr.json", "1/zarr.json"])
@pytest.mark.parametrize("damage", ["gone", "cut", "no object"])
@pytest.mark.parametrize("place", ["folder", "zip"])
def test_a_document_that_is_lost_or_cut_is_damage(
    key: str, damage: str, place: str, ours: tuple[Path, Array], tmp_path: Path
) -> None:
    """Its manifest still tells that it is a store of ours, and which of its files is to blame."""
    path = str(ours[0])
    if damage == "gone":
        (ours[0] / key).unlink()
    else:
        (ours[0] / key).write_bytes(b"[]" if damage == "no object" else (ours[0] / key).read_bytes()[:50])
    if place == "zip":
        path = shutil.make_archive(str(tmp_path / "cut.zarr"), "zip", ours[0])
    assert is_store(path)
    for ask in (open_store, bigimg.info):
        with pytest.raises(IntegrityError) as error:
            ask(path)
        assert key in str(error.value)
        assert "restore" in str(error.value)


def test_damage_is_told_without_the_manifest_too(ours: tuple[Path, Array]) -> None:
    (ours[0] / "zarr.json").unlink()
    shutil.rmtree(ours[0] / "bigimg/manifest")
    with pytest.raises(IntegrityError, match=r"no zarr\.json.* its manifest is gone too"):
        bigimg.info(ours[0])


def test_arrays_of_others_without_their_group(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "s" / "0", shape=(4, 5), dtype="u1")
    with pytest.raises(InputError, match=r"no zarr\.json, .* here; restore it, or give what is below: 0"):
        bigimg.info(tmp_path / "s")


def test_changed_array_metadata_is_noticed(ours: tuple[Path, Array]) -> None:
    path = ours[0] / "1/zarr.json"
    path.write_text(path.read_text().replace('"fill_value": 0', '"fill_value": 1'))
    with pytest.raises(CorruptChunk, match=r"1/zarr\.json: the checksum is not that of the manifest"):
        open_store(ours[0])


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("0.25", "0.35", "spacing along x is 0.35 µm, was 0.25 µm"),
        ('"bigimg"', '"bigimh"', "bigimg is gone: what bigimg wrote there is kept in the manifest; bigimh is new"),
        ('"manifest"', '"manifesu"', "bigimg was changed, and is not followed"),
        ('"kind": "image"', '"kind": "imagf"', "bigimg was changed, and is not followed"),
    ],
    ids=["spacing", "our block", "the manifest", "kind"],
)  # fmt: skip
def test_a_changed_root_is_told(before: str, after: str, said: str, ours: tuple[Path, Array]) -> None:
    """It may be an edit, so it is no damage; what bigimg alone writes counts as it was written."""
    path, was = ours[0] / "zarr.json", open_store(ours[0])
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after, 1))
    store = open_store(ours[0])
    (note,) = set(store.notes) - set(was.notes)
    assert said in note
    assert "accept=True of verify" in note
    assert (store.image.kind, store.has_manifest, store.image.meta) == ("image", True, was.image.meta)
    np.testing.assert_array_equal(read(store), ours[1])


@pytest.mark.parametrize("place", ["zip", "memory"])
def test_our_stores_elsewhere_still_say_what_is_lost(
    place: str, ours: tuple[Path, Array], tmp_path: Path
) -> None:
    root, pixels = ours
    files = {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }
    if place == "memory":
        fsspec = pytest.importorskip("fsspec")
        url = "memory://bigimg-test-open/ours.ome.zarr"
        fsspec.filesystem("memory").pipe(
            {f"/bigimg-test-open/ours.ome.zarr/{k}": v for k, v in files.items()}
        )
    else:
        url = str(tmp_path / "ours.zarr.zip")
        with zipfile.ZipFile(url, "w") as archive:
            for key, content in files.items():
                archive.writestr(key, content)
    assert is_store(url)
    store = open_store(url)
    np.testing.assert_array_equal(read(store), pixels)
    if place == "memory":
        fsspec.filesystem("memory").rm("/bigimg-test-open/ours.ome.zarr/0/c/0/1/1")
        with pytest.raises(MissingChunk, match=r"0/c/0/1/1: the object is gone"):
            read(store)
        fsspec.filesystem("memory").rm("/bigimg-test-open", recursive=True)


# -------------------------------------------------------------------------------------------- stores of others


@pytest.mark.parametrize("dims", ["xyz", "yxc", "zxy", "cyx"])
def test_foreign_axis_orders_are_turned(dims: str, tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    others(tmp_path / "s", pixels, dims)
    store = open_store(tmp_path / "s")
    assert store.dims == tuple(sorted(dims, key="tczyx".index))
    expected = pixels.transpose([dims.index(name) for name in store.dims])
    np.testing.assert_array_equal(read(store), expected)
    assert store.levels[0].spacing == tuple(dims.index(name) + 1.0 for name in store.dims)
    part = (slice(0, 1), slice(1, 2), slice(0, 2))
    np.testing.assert_array_equal(StoreReader(store).read(part), expected[part])


@pytest.mark.parametrize(
    "codec",
    [numcodecs.LZMA(), numcodecs.Zlib(), numcodecs.Blosc("zlib"), numcodecs.LZ4(), None],
    ids=lambda codec: getattr(codec, "codec_id", "none"),
)
@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<f4", "|b1"])
@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3 specification")
def test_codecs_and_types_of_zarr(codec: Any, dtype: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 2, (3, 20, 30)).astype(dtype)
    others(tmp_path / "s", pixels, chunk=(1, 16, 16), compressors=codec)
    found = read(open_store(tmp_path / "s"))
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found, pixels)


def test_many_stores_from_many_threads_leave_the_settings_of_zarr_alone(tmp_path: Path) -> None:
    """Other code that sees another setting would read wrongly."""
    codecs = [numcodecs.LZMA(), numcodecs.Zstd(1), numcodecs.Zlib(), None]
    filters = [None, [numcodecs.Delta("<u2")], [numcodecs.FixedScaleOffset(0, 1, "<u2")]]
    pixels = np.random.default_rng(0).integers(0, 4000, (3, 20, 30)).astype("<u2")
    for number in range(20):
        others(
            tmp_path / f"{number}", pixels + number, chunk=(1, 16, 16), compressors=codecs[number % 4],
            filters=filters[number % 3], order="CF"[number % 5 == 4],
        )  # fmt: skip
    before = zarr.config.to_dict()
    seen: list[Any] = []

    def whole(number: int) -> Array:
        found = read(open_store(tmp_path / f"{number}"))
        seen.append(zarr.config.to_dict() == before)
        return found

    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(whole, range(20))):
            np.testing.assert_array_equal(found, pixels + number)
    assert all(seen)
    assert zarr.config.to_dict() == before


@pytest.mark.parametrize("fill_value", [None, 0, 7])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<u2", ">i4", "<f8", "|b1"])
def test_orders_and_fill_values(dtype: str, order: Any, fill_value: int | None, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 2, (3, 20, 30)).astype(dtype)
    others(tmp_path / "s", pixels, chunk=(1, 16, 16), order=order, fill_value=fill_value)
    found = read(open_store(tmp_path / "s"))
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("turn", [(2, 1, 0), (0, 2, 1)])
def test_chunks_that_are_stored_transposed(turn: tuple[int, ...], tmp_path: Path) -> None:
    """What zarr 3 has for the order F."""
    pixels = np.arange(3 * 20 * 30, dtype=np.uint16).reshape(3, 20, 30)
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=pixels.shape, chunks=(1, 16, 16), dtype="u2",
        filters=[zarr.codecs.TransposeCodec(order=turn)],
    )  # fmt: skip
    array[...] = pixels
    np.testing.assert_array_equal(read(open_store(tmp_path / "a.zarr")), pixels)


def test_absent_is_fill_value_and_corrupt_is_an_error(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 99, (3, 20, 30), np.uint8)
    others(tmp_path / "s", pixels, chunk=(1, 10, 10), compressors=numcodecs.Blosc("lz4"), fill_value=7)
    names = sorted(path.relative_to(tmp_path / "s/0") for path in (tmp_path / "s/0").rglob("*.*.*"))
    assert len(names) == 18
    (tmp_path / "s/0/2.0.0").unlink()
    store = open_store(tmp_path / "s")
    assert np.all(read(store)[2, :10, :10] == 7)
    (tmp_path / "s/0/1.1.0").write_bytes(b"nonsense of some length")
    with pytest.raises(CorruptChunk, match=r"s/0: chunk \(1, 1, 0\) does not decode"):
        read(store)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_bare_arrays(zarr_format: int, tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.float32).reshape(3, 4)
    array = zarr.create_array(tmp_path / "a.zarr", data=pixels, zarr_format=zarr_format)
    store = open_store(tmp_path / "a.zarr")
    assert (store.version, store.dims) == (None, ("y", "x"))
    assert "taken as y x" in store.notes[0]
    np.testing.assert_array_equal(read(store), pixels)
    if zarr_format == 2:
        array.attrs["_ARRAY_DIMENSIONS"] = ["x", "y"]
        store = open_store(tmp_path / "a.zarr")
    else:
        zarr.create_array(tmp_path / "b.zarr", data=pixels, dimension_names=["x", "y"])
        store = open_store(tmp_path / "b.zarr")
    assert not any("taken as" in note for note in store.notes)
    np.testing.assert_array_equal(read(store), pixels.T)


def test_several_series_and_the_groups_around_images(tmp_path: Path) -> None:
    root = tmp_path / "s"
    zarr.create_group(root, zarr_format=2, attributes={"bioformats2raw.layout": 3})
    for i in (0, 1, 10, 2):
        others(root / str(i), np.full((2, 3, 4), i, np.uint8))
    store = open_store(root)
    assert store.series == ("0", "1", "2", "10")
    assert "one of 4 images" in store.notes[0]
    assert (store.spec().notes, store.spec().of_source) == ((), store.notes)
    assert read(open_store(root, series=3))[0, 0, 0] == 10
    assert read(open_store(root, series="10"))[0, 0, 0] == 10
    zarr.create_group(root / "OME", zarr_format=2, attributes={"series": ["2", "1"]})
    assert open_store(root).series == ("2", "1")
    wells = [{"path": path} for path in ("A/1", "B/2")]  # before 0.4 they had no indices
    sides = {"rows": [{"name": "A"}, {"name": "B"}], "columns": [{"name": "1"}, {"name": "2"}]}
    (root / ".zattrs").write_text(json.dumps({"plate": {"wells": wells, **sides}}))
    with pytest.raises(InputError, match=r"a plate of 2 wells \(A/1, B/2\)"):
        open_store(root)
    (root / ".zattrs").write_text(json.dumps({"well": {"images": [{"path": "1"}, {"path": "2"}]}}))
    assert open_store(root).series == ("1", "2")


def test_group_of_arrays_without_multiscales(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "s")
    with pytest.raises(InputError, match="with neither multiscales nor arrays"):
        open_store(tmp_path / "s")
    group.create_array("raw", data=np.ones((3, 4), np.uint8))
    np.testing.assert_array_equal(read(open_store(tmp_path / "s")), np.ones((3, 4)))
    group.create_array("seg", data=np.ones((3, 4), np.uint8))
    with pytest.raises(InputError, match="give one of its arrays: raw, seg"):
        open_store(tmp_path / "s")


def test_levels_that_cannot_be_of_one_image(tmp_path: Path) -> None:
    root = tmp_path / "s"
    others(root, np.ones((2, 3, 4), np.uint8))
    path = root / ".zattrs"
    attributes = json.loads(path.read_text())
    datasets = attributes["multiscales"][0]["datasets"]
    datasets.append({"path": "1", "coordinateTransformations": datasets[0]["coordinateTransformations"]})
    path.write_text(json.dumps(attributes))
    with pytest.raises(InputError, match="s/1: multiscales names this array, and it is missing"):
        open_store(root)
    for pixels, said in [
        (np.ones((2, 3, 4), np.uint16), "level 1 is uint16, the first uint8"),
        (np.ones((2, 3, 5), np.uint8), "larger than the one before it"),
        (np.ones((3, 4), np.uint8), r"shape \(3, 4\), and its axes are z y x"),
    ]:
        zarr.create_array(root / "1", data=pixels, zarr_format=2, overwrite=True)
        with pytest.raises(InputError, match=said):
            open_store(root)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no zarr.json, .zgroup or .zarray here"),
        ({"zarr.json": "{"}, r"zarr\.json: not JSON"),
        ({"zarr.json": "[1]"}, r"zarr\.json: not JSON .*it is no object"),
        ({".zgroup": "{}", ".zattrs": "\0"}, r"\.zattrs: not JSON"),
        ({".zattrs": '{"multiscales": [{}]}'}, "incomplete"),
        ({"zarr.json": '{"node_type": "array", "zarr_format": 3}'}, "not a zarr array that can be read"),
        (
            {".zarray": '{"zarr_format": 2, "shape": [9], "chunks": [9], "dtype": "|u1"}'},
            "1 axes without names",
        ),
        (
            {".zarray": '{"zarr_format": 2, "shape": [9, 0], "chunks": [9, 1], "dtype": "|u1"}'},
            r"shape is \[9, 0\]",
        ),
        (
            {"zarr.json": '{"attributes": {"ome": {"bioformats2raw.layout": 3}}}'},
            "s/0: the group of this series is missing",
        ),
    ],
)
def test_what_is_no_image_is_said_in_one_line(files: dict[str, str], said: str, tmp_path: Path) -> None:
    root = tmp_path / "s"
    root.mkdir()
    for name, text in files.items():
        (root / name).write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        open_store(root)
    assert str(root) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", [0, 1, 5])
@pytest.mark.parametrize(
    ("first", "count"), [(2**63, 16), (0, 2**63), (2**64 - 2, 2**64 - 2), (300, 400), (2**63, 2**63)]
)
def test_a_shard_index_that_leads_out_of_the_shard(
    first: int, count: int, place: int, tmp_path: Path
) -> None:
    root = tmp_path / "a.zarr"
    array = zarr.create_array(
        root, shape=(16, 16), shards=(16, 16), chunks=(4, 4), dtype="u1", compressors=None
    )
    array[...] = pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(read(open_store(root)), pixels)
    content = bytearray((root / "c/0/0").read_bytes())
    at = len(content) - 260 + 16 * place
    content[at : at + 16] = struct.pack("<QQ", first, count)
    content[-4:] = struct.pack("<I", google_crc32c.value(bytes(content[-260:-4])))
    (root / "c/0/0").write_bytes(content)
    with pytest.raises(
        InputError, match=rf"c/0/0: the shard index has chunk \({place // 4}, {place % 4}\) at byte {first}"
    ):
        read(open_store(root))


def test_nothing_there_and_not_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="no such file or folder"):
        open_store(tmp_path / "absent.zarr")
    (tmp_path / "file.zarr").write_bytes(b"")
    with pytest.raises(InputError, match="an OME-Zarr store is a folder"):
        open_store(tmp_path / "file.zarr")
    (tmp_path / "broken.zip").write_bytes(b"PK")
    assert [is_store(tmp_path / name) for name in ("", "absent", "file.zarr", "broken.zip")] == [False] * 4


def test_colours_of_ours_are_told_to_everybody(ours: tuple[Path, Array]) -> None:
    assert open_store(ours[0]).spec().channels == RGB
    entries = json.loads((ours[0] / "zarr.json").read_text())["attributes"]["ome"]["omero"]["channels"]
    assert [entry["color"] for entry in entries] == ["FF0000", "00FF00", "0000FF"]


# ---------------------------------------------------------------------------------- groups of xarray, arrays of dask


@pytest.mark.filterwarnings("ignore:Consolidated metadata", "ignore:The data type")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_groups_of_xarray_open_with_their_coordinates(zarr_format: Any, tmp_path: Path) -> None:
    pixels = np.arange(2 * 30 * 40, dtype=np.uint16).reshape(2, 30, 40)
    img = bigimg.from_array(pixels, dims="cyx", spacing=(2, 3), unit="um", channels=["DAPI", "GFP"])
    img = bigimg.with_geometry(img, world=np.diag([1e-3, 1e-3, 1, 1]))[:, 5:, 7:]
    img.to_dataset(name="image").to_zarr(tmp_path / "image.zarr", zarr_format=zarr_format)
    img.rename("scan").to_dataset().to_zarr(tmp_path / "scan.zarr", zarr_format=zarr_format)
    img.to_zarr(tmp_path / "array.zarr", zarr_format=zarr_format)
    bigimg.open_pyramid(img).to_zarr(tmp_path / "tree.zarr", zarr_format=zarr_format)
    for name in ("image", "scan", "array", "tree", "tree.zarr/scale0"):
        found = bigimg.open(tmp_path / (name if "/" in name else f"{name}.zarr"))
        np.testing.assert_array_equal(found.values, pixels[:, 5:, 7:])
        assert found.bigimg.channels == ("DAPI", "GFP")
        assert found.bigimg.spacing == {"y": 2.0, "x": 3.0}
        assert found.bigimg.origin == {"y": 10.0, "x": 21.0}
        assert set(found.bigimg.units.values()) == {"micrometer"}
        np.testing.assert_allclose(found.bigimg.affine, img.bigimg.affine)


@pytest.mark.filterwarnings("ignore:Consolidated metadata", "ignore:The data type")
def test_the_side_of_left_survives_to_zarr(tmp_path: Path) -> None:
    img = bigimg.from_array(
        np.arange(24.0).reshape(2, 3, 4), dims="zyx", affine=np.diag([1, 2, 3, 1]), unit="mm"
    )
    img.assign_attrs(convention="radiological").to_dataset(name="image").to_zarr(tmp_path / "a.zarr")
    assert bigimg.open(tmp_path / "a.zarr").attrs["convention"] == "radiological"


@pytest.mark.parametrize(("kind", "count"), [("labels", 12), ("image", 11)])
def test_the_background_of_labels_is_no_fill_value(kind: str, count: int, tmp_path: Path) -> None:
    ids = xr.DataArray(np.arange(12).reshape(3, 4), dims=("y", "x"), attrs={"kind": kind}, name="image")
    ids.encoding["_FillValue"] = 0
    ids.to_dataset().to_zarr(tmp_path / "a.zarr", zarr_format=2)
    assert bigimg.stats(bigimg.open(tmp_path / "a.zarr"))["count"] == count


@pytest.mark.filterwarnings("ignore:Consolidated metadata", "ignore:The data type")
def test_groups_of_xarray_by_others(tmp_path: Path) -> None:
    """Other names of axes, latitudes that fall, packed values, an uneven axis, a coordinate of two axes."""
    values = np.arange(2 * 5 * 6, dtype=np.int16).reshape(2, 5, 6)
    data = xr.Dataset(
        {"reflectance": (("time", "y", "x"), values, {"scale_factor": 0.5, "add_offset": 3.0})},
        {
            "time": [0, 1],
            "y": [50.0, 40, 30, 20, 10],
            "x": [1.0, 2, 4, 8, 16, 32],
            "lon": (("y", "x"), values[0]),
        },
    )
    data.to_zarr(tmp_path / "a.zarr")
    img = bigimg.open(tmp_path / "a.zarr")
    assert img.dims == ("t", "y", "x")
    np.testing.assert_array_equal(img.values, values * 0.5 + 3)
    np.testing.assert_array_equal(img.y, data.y)
    assert img.bigimg.spacing["x"] == 1.0
    assert any("x is not evenly spaced" in note for note in bigimg.info(tmp_path / "a.zarr").notes)


PACKED = {"scale_factor": 0.1, "add_offset": 5.0}


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("dtype", "encoding", "attrs"),
    [
        ("i2", {"_FillValue": -999}, {}),
        ("i2", {"_FillValue": -999}, PACKED),
        ("i2", {"missing_value": -999}, {}),
        ("i2", {"_FillValue": None}, PACKED),
        ("u1", {"_FillValue": 0}, {}),
        ("f4", {"_FillValue": -999}, {}),
        ("f4", {}, {}),  # xarray's own is NaN
    ],
)
def test_no_data_of_xarray(dtype: str, encoding: Any, attrs: Any, zarr_format: Any, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 200, (20, 30)).astype(dtype)
    values[:5] = np.nan if not encoding else 0 if dtype == "u1" else -999
    data = xr.Dataset({"image": (("y", "x"), values, attrs, encoding)})
    data.to_zarr(tmp_path / "a.zarr", zarr_format=zarr_format)
    wanted, found = xr.open_zarr(tmp_path / "a.zarr")["image"].astype("f8"), bigimg.stats(tmp_path / "a.zarr")
    assert int(found["count"]) == int(wanted.count())
    for name in ("min", "max", "mean"):
        np.testing.assert_allclose(float(found[name]), float(getattr(wanted, name)()), rtol=1e-6)
    says = [note for note in bigimg.info(tmp_path / "a.zarr").notes if "no data (fill value)" in note]
    assert len(says) == (None not in encoding.values() and bool(encoding))


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_one_of_several_values_of_no_data_is_left_out_and_the_others_are_named(tmp_path: Path) -> None:
    data = xr.Dataset({"image": (("y", "x"), np.arange(12, dtype="i2").reshape(3, 4))})
    data.to_zarr(tmp_path / "a.zarr")
    zarr.open_array(tmp_path / "a.zarr/image").attrs["missing_value"] = [0, 7]
    assert int(bigimg.stats(tmp_path / "a.zarr")["min"]) == 1
    notes = bigimg.info(tmp_path / "a.zarr").notes
    assert any(note.startswith("pixels of 7 are declared as no data too") for note in notes)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_packed_coordinates_of_xarray(zarr_format: Any, tmp_path: Path) -> None:
    coords = {
        "y": ("y", np.arange(4, dtype="i2"), {"scale_factor": 2}),
        "x": ("x", np.arange(5), {"scale_factor": 0.5, "add_offset": -3.0}),
        "z": ("z", np.array([7]), {"add_offset": 1.5, "spacing": "abc"}),
    }
    data = xr.Dataset({"image": (("z", "y", "x"), np.zeros((1, 4, 5), "u2"))}, coords)
    data.to_zarr(tmp_path / "a.zarr", zarr_format=zarr_format)
    img, wanted = bigimg.open(tmp_path / "a.zarr"), xr.open_zarr(tmp_path / "a.zarr")
    assert img.bigimg.spacing == {"z": 1.0, "y": 2.0, "x": 0.5}
    assert img.bigimg.origin == {name: float(wanted[name][0]) for name in "zyx"}
    np.testing.assert_allclose(img.x, wanted.x)
    np.testing.assert_allclose(img.y, wanted.y)


@pytest.mark.filterwarnings("ignore:Consolidated metadata", "ignore:The data type")
@pytest.mark.parametrize(("every", "unit"), [("3D", "day"), ("2h", "hour"), ("30s", "second")])
def test_dates_have_the_unit_in_which_they_are_counted(every: str, unit: str, tmp_path: Path) -> None:
    times = pandas.date_range("2001-02-03", periods=4, freq=every)
    xr.Dataset({"a": (("time", "y", "x"), np.zeros((4, 5, 6), "u1"))}, {"time": times}).to_zarr(
        tmp_path / "a.zarr"
    )
    said = xr.open_zarr(tmp_path / "a.zarr", decode_times=False).time
    img = bigimg.open(tmp_path / "a.zarr")
    assert (said.units.split()[0].rstrip("s"), img.bigimg.units["t"]) == (unit, unit)
    np.testing.assert_array_equal(img.t, said)
    epoch = said.units.partition(" since ")[2]
    assert f"coordinate time counts from {epoch}, which is not kept" in bigimg.info(tmp_path / "a.zarr").notes


@pytest.mark.filterwarnings("ignore:Consolidated metadata", "ignore:The data type")
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("kind", ["O", "U"])
def test_long_names_of_channels_are_whole_or_refused(zarr_format: Any, kind: str, tmp_path: Path) -> None:
    for letters in (200, 999, 1000):
        names = np.array(["a" * (letters - 1) + end for end in "bc"], kind)
        path = tmp_path / f"{letters}.zarr"
        xr.Dataset({"a": (("c", "y", "x"), np.zeros((2, 5, 6), "u1"))}, {"c": names}).to_zarr(
            path, zarr_format=zarr_format
        )
        if letters < 1000:
            assert bigimg.open(path).bigimg.channels == tuple(names)
        else:
            with pytest.raises(BigimgError, match="1000"):
                bigimg.open(path)


@pytest.mark.filterwarnings("ignore:Consolidated metadata", "ignore:The data type")
def test_levels_of_a_tree_that_xarray_wrote(tmp_path: Path) -> None:
    pixels = np.arange(64 * 80, dtype=np.uint16).reshape(64, 80)
    tree = bigimg.write(
        bigimg.from_array(pixels, spacing=(2, 2), unit="um"),
        tmp_path / "a.ome.zarr",
        chunks=16,
        progress=False,
    )
    tree.to_zarr(tmp_path / "b.zarr")
    again = bigimg.open_pyramid(tmp_path / "b.zarr")
    assert len(again.children) == len(tree.children) > 2
    for name in tree.children:
        xr.testing.assert_equal(again[name]["image"], tree[name]["image"])


@pytest.mark.filterwarnings("ignore:Consolidated metadata", "ignore:The data type")
def test_several_variables_are_named(tmp_path: Path) -> None:
    image = bigimg.from_array(np.zeros((8, 9), np.uint8))
    xr.Dataset({"red": image, "green": image}).to_zarr(tmp_path / "a.zarr")
    with pytest.raises(InputError, match="give one of its arrays: green, red"):
        bigimg.open(tmp_path / "a.zarr")


def test_a_component_of_dask_is_found(tmp_path: Path) -> None:
    pixels = np.arange(1200).reshape(30, 40)
    array = da.from_array(pixels, chunks=10)
    array.to_zarr(tmp_path / "c.zarr", component="deep/er/data")
    for place in ("c.zarr", "c.zarr/deep", "c.zarr/deep/er", "c.zarr/deep/er/data"):
        np.testing.assert_array_equal(bigimg.open(tmp_path / place).values, pixels)
    array.to_zarr(tmp_path / "c.zarr", component="other/data")
    with pytest.raises(InputError, match="give one of the arrays in it: deep/er/data, other/data"):
        bigimg.open(tmp_path / "c.zarr")
    np.testing.assert_array_equal(bigimg.open(tmp_path / "c.zarr/other").values, pixels)


def test_one_array_of_a_store_of_ours_is_said_to_be_one(tmp_path: Path) -> None:
    store = tmp_path / "a.ome.zarr"
    bigimg.write(np.ones((8, 9), np.uint8), store, progress=False)
    said = "one array of a store of bigimg"
    assert any(note.startswith(said) for note in bigimg.info(store / "0").notes)
    zarr.create_array(tmp_path / "theirs" / "0", shape=(4, 5), dtype="u1")[...] = 1
    for other in (store, tmp_path / "theirs" / "0"):
        assert not any(note.startswith(said) for note in bigimg.info(other).notes)
