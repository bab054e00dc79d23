"""Real images end to end: from the file, by the command in 512 MB, to a store whose every pixel is right.

Expected pixels come from the library that owns the format and from ``pixels_sha256`` of the index; the levels
from plain numpy. Each store is opened with zarr-python and with :func:`bigimg.open`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

import bigimg
from bigimg.omezarr.open import StoreReader
from bigimg.omezarr.shard import ShardFile
from bigimg.types import Array, Shape
from tests.conftest import find_data
from tests.oracles import coarser, fast_mean
from tests.running import bigimg as run

MEMORY = 512_000_000
TO_OURS = {"S": "c", "C": "c", "T": "t", "Z": "z", "I": "z", "Q": "z", "Y": "y", "X": "x"}
"""Axes of tifffile to ours; unnamed pages are planes along z."""


def convert(source: Path, tmp_path: Path, *options: object) -> Path:
    target = tmp_path / "out.ome.zarr"
    found = run("convert", "-q", source, target, "--memory", MEMORY, *options, scratch=tmp_path)
    assert found.code == 0, found.err
    assert 0 < found.peak_bytes <= MEMORY
    return target


def check_pixels(store: Path, expected: Array) -> None:
    """Check level 0 in two readers against ``expected`` in the order t c z y x."""
    level = zarr.open_array(store / "0", mode="r")
    assert level.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(level[...], expected)
    opened = bigimg.open(store, raw=True)
    assert opened.shape == expected.shape
    np.testing.assert_array_equal(opened.values, expected)


def check_levels(store: Path, method: str) -> int:
    """Check that each level is the mean or mode of the one below as stored, and return their number."""
    count = len(ome(store)["datasets"])
    below = zarr.open_array(store / "0", mode="r")[...]
    for number in range(1, count):
        found = zarr.open_array(store / str(number), mode="r")[...]
        pairs = list(zip(below.shape, found.shape, strict=True))
        step = tuple(1 if n == m else 2 for n, m in pairs)
        assert all(-(-n // f) == m for (n, m), f in zip(pairs, step, strict=True))
        if below.dtype.kind == "f":
            np.testing.assert_allclose(found, float_mean(below, step), rtol=float(np.finfo(below.dtype).eps))
        elif below.dtype.kind == "b":
            np.testing.assert_array_equal(found, float_mean(below, step) >= 0.5)
        elif method == "mode":
            np.testing.assert_array_equal(found, coarser(below, step, "mode"))
        else:
            np.testing.assert_array_equal(found, fast_mean(below, step), err_msg=f"level {number}")
        below = found
    return count


def float_mean(image: Array, step: Shape) -> Array:
    """Return the means of the windows in float64."""
    pad = [(0, -n % f) for n, f in zip(image.shape, step, strict=True)]
    split = [k for n, p, f in zip(image.shape, pad, step, strict=True) for k in ((n + p[1]) // f, f)]
    window = tuple(range(1, 2 * image.ndim, 2))
    sums, counts = (
        np.pad(a, pad).reshape(split).sum(window) for a in (image.astype(float), np.ones(image.shape))
    )
    return sums / counts


def ome(store: Path) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads((store / "zarr.json").read_text())["attributes"][
        "ome"
    ]["multiscales"][0]
    return found


def sha256(pixels: Array) -> str:
    return hashlib.sha256(
        np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False))
    ).hexdigest()


def index_sha256(index: dict[str, dict[str, str]], name: str) -> str:
    return index[name]["pixels_sha256"]


def planar(pixels: Array) -> Array:
    """Return ``pixels`` (y, x[, c]) as (c, y, x)."""
    return np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 else pixels


def interleaved(pixels: Array) -> Array:
    return np.moveaxis(pixels, 0, -1) if pixels.ndim == 3 else pixels


def slow(names: list[str]) -> list[object]:
    """Return ``names`` as parameters; 50 megapixels of colour take over ten seconds, most of it the oracle's."""
    nightly = ("big2d/yb10kx5k.png", "big2d/yb10kx5k.zstd.tiff")
    return [pytest.param(n, marks=pytest.mark.nightly) if n in nightly else n for n in names]


# Pictures


def pictures(*folders: str) -> list[str]:
    root = find_data()
    if root is None:
        return []
    paths = [path for folder in folders for path in (root / folder).iterdir()]
    return sorted(f"{path.parent.name}/{path.name}" for path in paths if path.suffix in (".png", ".jpg"))


def decoded(path: Path) -> Array:
    """Return a picture as Pillow or imagecodecs decode it: palettes as colours, one bit as true and false."""
    with Image.open(path) as picture:
        if picture.mode == "P":
            return np.asarray(picture.convert("RGBA" if "transparency" in picture.info else "RGB"))
        if picture.mode == "1" or path.suffix == ".jpg":
            return np.asarray(picture)
    pixels: Array = imagecodecs.png_decode(path.read_bytes())
    return pixels


@pytest.mark.parametrize("name", slow(pictures("lessons", "png", "big2d")))
def test_pictures(name: str, data: Path, index: dict[str, dict[str, str]], tmp_path: Path):
    expected = decoded(data / name)
    store = convert(data / name, tmp_path)
    check_pixels(store, planar(expected))
    if digest := index_sha256(index, name):
        assert sha256(interleaved(zarr.open_array(store / "0", mode="r")[...])) == digest
    levels = check_levels(store, "mean")
    longest = max(expected.shape)
    assert levels == 1 + max(0, int(np.ceil(np.log2(longest / 512))))  # until it fits a chunk of 512
    if expected.ndim == 3:
        names = bigimg.info(store).channels
        assert names == {2: ("grey", "A"), 3: ("R", "G", "B"), 4: ("R", "G", "B", "A")}[expected.shape[-1]]


def test_statistics_of_the_lesson_are_those_of_numpy(data: Path, tmp_path: Path):
    pixels = np.asarray(Image.open(data / "lessons" / "rat_cerebellum.jpg")).astype(np.float64)
    store = convert(data / "lessons" / "rat_cerebellum.jpg", tmp_path)
    found = run("stats", "--json", store, scratch=tmp_path).json["channels"]
    for c, row in enumerate(found):
        assert (row["min"], row["max"]) == (pixels[..., c].min(), pixels[..., c].max())
        assert row["mean"] == pytest.approx(pixels[..., c].mean(), rel=1e-12)
        assert row["std"] == pytest.approx(pixels[..., c].std(), rel=1e-12)


# Lesson A, masks and histograms: rows 4 to 7


@pytest.fixture(scope="module")
def brain(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Array]:
    """The rat brain of the lesson as a store, and its pixels c y x by Pillow."""
    source = data / "lessons" / "rat_brain_low_res.jpg"
    store = convert(source, tmp_path_factory.mktemp("brain"), "--spacing", "y=20,x=20um")
    return store, np.asarray(Image.open(source)).transpose(2, 0, 1)


def test_row_4_histograms_of_all_and_of_chosen_pixels(brain: tuple[Path, Array]):
    store, pixels = brain
    img = bigimg.open(store)
    found = bigimg.histogram(img, bins=50)
    ends = (pixels.min(), pixels.max())
    for channel, row in zip(pixels, found.values, strict=True):
        np.testing.assert_array_equal(row, np.histogram(channel, 50, ends)[0])
    mask = img < 125
    chosen = bigimg.histogram(img, bins=25, where=mask & (img != 0)).compute()
    each = [channel[(channel < 125) & (channel != 0)] for channel in pixels]
    ends = (min(c.min() for c in each), max(c.max() for c in each))
    for values, row in zip(each, chosen.values, strict=True):
        np.testing.assert_array_equal(row, np.histogram(values, 25, ends)[0])


def test_row_5_a_mask_keeps_the_type_and_is_saved_as_a_label(brain: tuple[Path, Array]):
    store, pixels = brain
    img = bigimg.open(store)
    mask = bigimg.mask(img, below=125)
    masked = bigimg.apply_mask(img, mask)
    assert masked.dtype == np.uint8
    np.testing.assert_array_equal(masked.values, pixels * (pixels < 125))
    bigimg.write(mask, store / "labels" / "dark", progress=False)
    assert bigimg.info(store).labels == ("dark",)
    np.testing.assert_array_equal(bigimg.open(store / "labels" / "dark").values, pixels < 125)
    assert bigimg.verify(store).ok
    assert bigimg.verify(store / "labels" / "dark").ok


def test_row_6_every_channel_in_one_pass(brain: tuple[Path, Array], monkeypatch: pytest.MonkeyPatch):
    store, pixels = brain
    img = bigimg.open(store)
    assert img.bigimg.channels == ("R", "G", "B")
    np.testing.assert_array_equal(img.bigimg.channel("R").values, pixels[0])
    decoded: list[object] = []
    whole = ShardFile.encoded
    monkeypatch.setattr(
        ShardFile, "encoded", lambda self, at: decoded.append((self.path, at)) or whole(self, at)
    )
    found = bigimg.stats(img, bins=256, range=(0, 256), where=np.ones(pixels.shape[1:], bool)).compute()
    assert len(decoded) == len(set(decoded)) > 0
    assert found["sum"].values.tolist() == pixels.sum((1, 2), dtype=int).tolist()
    np.testing.assert_allclose(
        found["std"], pixels.astype(np.longdouble).std((1, 2)).astype(float), rtol=1e-12
    )
    for channel, row in zip(pixels, found["histogram"].values, strict=True):
        np.testing.assert_array_equal(row, np.bincount(channel.ravel(), minlength=256))


def test_row_7_relative_amounts_by_threshold_and_by_resolution(
    brain: tuple[Path, Array], monkeypatch: pytest.MonkeyPatch
):
    store, pixels = brain
    limits = {"R": 40, "G": 60, "B": 50}
    below = np.array(list(limits.values()))[:, None, None]
    tree = bigimg.open_pyramid(store)
    shares = bigimg.fraction(bigimg.mask(tree, below=limits)).compute()
    np.testing.assert_array_equal(shares.sel(level=0), (pixels < below).mean((1, 2)))
    for level in shares.level.values:
        np.testing.assert_array_equal(
            shares.sel(level=level), (tree[f"scale{level}/image"].values < below).mean((1, 2))
        )
    monkeypatch.setattr(StoreReader, "read", None)  # thresholds are changed without reading again
    found = bigimg.sweep(store, [30, 60, 125])
    np.testing.assert_array_equal(found, np.stack([(pixels < t).mean((1, 2)) for t in (30, 60, 125)], 1))


# NIfTI


def niftis() -> list[str]:
    root = find_data()
    return [] if root is None else sorted(f"nifti/{path.name}" for path in (root / "nifti").iterdir())


@pytest.mark.parametrize("name", niftis())
def test_nifti(name: str, data: Path, index: dict[str, dict[str, str]], tmp_path: Path):
    owned = nibabel.load(data / name)
    stored = np.asarray(owned.dataobj.get_unscaled())
    store = convert(data / name, tmp_path)
    check_pixels(store, stored.T)
    if digest := index_sha256(index, name):
        assert (
            sha256(zarr.open_array(store / "0", mode="r")[...].T.astype(stored.dtype.newbyteorder("<")))
            == digest
        )
    kind = bigimg.info(store).kind
    levels = check_levels(store, "mean" if kind == "image" else "mode")

    opened = bigimg.open(store)
    np.testing.assert_allclose(opened.bigimg.affine, owned.affine, rtol=0, atol=1e-9)
    assert "".join(opened.bigimg.orientation) == "".join(nibabel.aff2axcodes(owned.affine))
    zooms = [float(zoom) for zoom in owned.header.get_zooms()]
    for axis, zoom in zip("xyzt", zooms, strict=False):
        assert opened.bigimg.spacing[axis] == pytest.approx(zoom, rel=1e-6), axis
    space, time = owned.header.get_xyzt_units()
    long = {"mm": "millimeter", "sec": "second", "unknown": None}
    assert opened.bigimg.units["x"] == long[space]
    if "t" in opened.dims:
        assert opened.bigimg.units["t"] == long[time]
    np.testing.assert_allclose(opened.values, owned.get_fdata(dtype=np.float32).T, rtol=1e-5, atol=1e-6)

    for number in range(1, levels):  # a window of two has its middle half a pixel further on
        coarse = bigimg.open(store, level=number)
        f = [round(coarse.bigimg.spacing[a] / opened.bigimg.spacing[a]) for a in "xyz"]
        expected = owned.affine @ np.diag([*f, 1.0])
        expected[:3, 3] = owned.affine[:3, :3] @ [(k - 1) / 2 for k in f] + owned.affine[:3, 3]
        np.testing.assert_allclose(coarse.bigimg.affine, expected, rtol=0, atol=1e-9)


# TIFF


def ordered(pixels: Array, axes: str) -> Array:
    """Return ``pixels`` of tifffile in the order t c z y x."""
    ours = [TO_OURS[axis] for axis in axes]
    return np.transpose(pixels, sorted(range(len(ours)), key=lambda i: "tczyx".index(ours[i])))


TIFFS = [
    "imagej/CH3_Fluorescence_8bit.tif",  # CYX, big-endian
    "imagej/multi_m.tiff",  # TZCYX
    "imagej/sample_ovule.tiff",  # ZYX
    "imagej/zcyx.tiff",  # ZCYX, to be transposed
    "ome-tiff/4D-series.ome.tif",  # TZYX int8
    "ome-tiff/bfconvert_lzw.ome.tiff",  # RGB in tiles
    "ome-tiff/multi-channel-time-series.ome.tif",  # TCYX
    "ome-tiff/multi-channel-z-series.ome.tif",  # CZYX
    "ome-tiff/s_1_t_1_c_1_z_1.ome.tiff",
    "tiff/12bit.cropped.tif",  # packed
    "tiff/16bit.MM.deflate.tif",  # big-endian
    "tiff/BBBC033_C2_z28-lzw.tiff",
    "tiff/D75_08b_3page.tiff",  # IYXS: pages of colour
    "tiff/D75_16b.tiff",
    "tiff/earthlab.tif",  # int16, negative values
    "tiff/flatfield.tif",
    "tiff/hopper_lzma.tif",
    "tiff/img3d.tif",
    "tiff/rgba_geotiff.tiff",
    "tiff/shapes_hyper.tif",  # 7 channels of float32
    "tiff/shapes_lzw_planar_10bps.tif",
    "tiff/spring.tif",  # float16
    "tiff/tiff_strip_cmyk_16l_jpeg.tif",
    "tiff/tiff_tiled_planar_lzw.tiff",
    "wsi/CMU-1-Small-Region.svs",  # JPEG in tiles
    "big2d/yb10kx5k.zstd.tiff",  # 50 megapixels
    "big2d/grey10kx5k.tif",  # 50 megapixels in strips
]


@pytest.mark.parametrize("name", slow(TIFFS))
def test_tiff(name: str, data: Path, index: dict[str, dict[str, str]], tmp_path: Path):
    with tifffile.TiffFile(data / name) as file:
        series = file.series[0]
        owned, axes = series.asarray(), series.axes
        notes = file.ome_metadata or ""
    store = convert(data / name, tmp_path)
    expected = ordered(owned, axes)
    check_pixels(store, expected)
    if digest := index_sha256(index, name):
        back = np.transpose(zarr.open_array(store / "0", mode="r")[...], _inverse(axes))
        assert sha256(back.astype(owned.dtype.newbyteorder("<"), copy=False)) == digest
    check_levels(store, "mean")
    opened = bigimg.open(store, raw=True)
    for axis in "xyz":
        size = re.search(rf'PhysicalSize{axis.upper()}="([\d.eE+-]+)"', notes)
        if size and axis in opened.dims:
            assert opened.bigimg.spacing[axis] == pytest.approx(float(size[1]), rel=1e-9), axis


def _inverse(axes: str) -> list[int]:
    ours = [TO_OURS[axis] for axis in axes]
    order = sorted(range(len(ours)), key=lambda i: "tczyx".index(ours[i]))
    return [order.index(i) for i in range(len(order))]


@pytest.mark.parametrize(
    ("name", "turn"),
    [
        ("tiff/g4_orientation_6.tif", lambda a: np.rot90(a, -1)),  # stored lying, shown upright
        ("tiff/test_orient6.tif", lambda a: np.rot90(a, -1)),
    ],
)
def test_orientation(name: str, turn: Callable[[Array], Array], data: Path, tmp_path: Path):
    store = convert(data / name, tmp_path)
    check_pixels(store, turn(tifffile.imread(data / name)))
    check_levels(store, "mean")


def test_labels_keep_their_ids(data: Path, tmp_path: Path):
    store = convert(data / "tiff" / "mask3d.tif", tmp_path, "--kind", "labels", "--chunks", "16")
    check_pixels(store, tifffile.imread(data / "tiff" / "mask3d.tif"))
    assert check_levels(store, "mode") > 2
    assert bigimg.info(store).kind == "labels"


def test_spacing_of_a_slide(data: Path, tmp_path: Path):
    """``MPP = 0.4990`` in the description of an SVS is micrometres a pixel."""
    with tifffile.TiffFile(data / "wsi" / "CMU-1-Small-Region.svs") as file:
        found = re.search(r"MPP = ([\d.]+)", file.pages[0].description)
    assert found
    store = convert(data / "wsi" / "CMU-1-Small-Region.svs", tmp_path)
    scales = [d["coordinateTransformations"][0]["scale"] for d in ome(store)["datasets"]]
    mpp = float(found[1])
    assert scales == [pytest.approx([1, mpp * 2**k, mpp * 2**k]) for k in range(len(scales))]
    assert [axis.get("unit") for axis in ome(store)["axes"]] == [None, "micrometer", "micrometer"]


# Stores of others


STORES = {
    "ome-zarr/camera.ome.zarr": "0/0",
    "ome-zarr/coins.ome.zarr": "0/0",
    "ome-zarr/image-02.zarr": "0",
    "ome-zarr/image-03.zarr": "0",
    "ome-zarr/image-04.zarr": "0",
    "ome-zarr/mni152_axial.ome.zarr": "scale0/nibabel_converted_image",
    "derived/mouse_brain_slab_v05.ome.zarr": "s0",
    "derived/nuclei3d_v04.ome.zarr": "s0",
    "derived/nuclei3d_v05_sharded.ome.zarr": "s0",
}


@pytest.mark.parametrize("name", STORES)
def test_stores_of_others(name: str, data: Path, index: dict[str, dict[str, str]], tmp_path: Path):
    theirs = zarr.open_array(data / name / STORES[name], mode="r")[...]
    store = convert(data / name, tmp_path)
    ours = zarr.open_array(store / "0", mode="r")[...]
    digests = {row["pixels_sha256"] for key, row in index.items() if key.startswith(name + "/")} - {""}
    if name == "ome-zarr/mni152_axial.ome.zarr":  # its axes are in the order x y z
        ours = ours.T
    np.testing.assert_array_equal(ours, theirs)
    if digests:
        assert sha256(ours) in digests
    check_levels(store, "mean")
    before, after = bigimg.open(data / name), bigimg.open(store)
    assert after.bigimg.spacing == pytest.approx(before.bigimg.spacing)
    assert after.bigimg.units == before.bigimg.units
    assert after.bigimg.channels == before.bigimg.channels


def test_a_store_of_ours_again_is_the_same_store(data: Path, tmp_path: Path):
    """Nothing is lost on the way through: pixels, levels, affine, scaling, kind."""
    first = convert(data / "nifti" / "functional.nii", tmp_path)
    second = tmp_path / "second.ome.zarr"
    assert run("convert", "-q", first, second, scratch=tmp_path).code == 0
    for level in ome(first)["datasets"]:
        np.testing.assert_array_equal(
            zarr.open_array(first / str(level["path"]), mode="r")[...],
            zarr.open_array(second / str(level["path"]), mode="r")[...],
        )
    a, b = bigimg.open(first), bigimg.open(second)
    np.testing.assert_array_equal(a.bigimg.affine, b.bigimg.affine)
    assert a.bigimg.units == b.bigimg.units
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a.values, b.values)
