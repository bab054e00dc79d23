"""Rows of the lessons on first looks at an image, on its images, with numpy, Pillow, nibabel and matplotlib beside.

2 shape and slices; 3 pictures with a window; 10 any size; 11 patches; 12 NIfTI as a proxy; 13 planes; 14 true aspect.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import nibabel
import numpy as np
import pydicom
import pytest
from matplotlib.figure import Figure
from PIL import Image

import bigimg
from bigimg.omezarr.shard import ShardFile
from bigimg.opening.data_array import to_labelled
from bigimg.opening.open import open_source
from bigimg.types import Array

CHUNK = 64


@pytest.fixture(autouse=True)
def _no_screen() -> Iterator[None]:
    """Figures of a test are closed with it."""
    import matplotlib.pyplot as plt

    with matplotlib.rc_context():
        matplotlib.use("Agg")
        yield
        plt.close("all")


def as_store(source: Path, folder: Path) -> Path:
    target = folder / "image.ome.zarr"
    chunks = {"y": CHUNK, "x": CHUNK}
    bigimg.convert(source, target, chunks=chunks, memory="4GB", progress=False)
    return target


@pytest.fixture(scope="module")
def axon(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Array]:
    """The first image of the lesson, grey, as a store of many chunks; and its pixels by Pillow."""
    source = data / "lessons" / "axon_slice.jpg"
    return as_store(source, tmp_path_factory.mktemp("axon")), np.asarray(Image.open(source))


@pytest.fixture(scope="module")
def brain(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Array]:
    """The rat brain, RGB, that stands in for the lesson's large one; and its pixels y x c by Pillow."""
    source = data / "lessons" / "rat_brain_low_res.jpg"
    return as_store(source, tmp_path_factory.mktemp("brain")), np.asarray(Image.open(source))


@contextmanager
def decoding() -> Iterator[Counter[tuple[str, tuple[int, ...]]]]:
    """Yield how often each (level, chunk) is decoded meanwhile."""
    seen: Counter[tuple[str, tuple[int, ...]]] = Counter()
    real = ShardFile.encoded

    def noted(self: ShardFile, at: tuple[int, ...]) -> Any:
        level = str(self.path).split(".ome.zarr/")[1].split("/")[0]
        chunk = tuple((s + a * c) // c for s, a, c in zip(self.start, at, self.layout.chunk, strict=True))
        seen[level, chunk] += 1
        return real(self, at)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShardFile, "encoded", noted)
        yield seen


# ------------------------------------------------------------------------------------------------- row 2: slices


def test_02_shape_type_and_a_slice_that_reads_what_it_touches(axon: tuple[Path, Array]) -> None:
    store, pixels = axon
    with decoding() as seen:
        img = bigimg.open(store)
        assert (img.shape, img.dims, img.dtype) == (pixels.shape, ("y", "x"), pixels.dtype)
        assert img.nbytes == pixels.nbytes
        repr(img)
        img._repr_html_()
        assert not seen
        np.testing.assert_array_equal(img[:50, :70].values, pixels[:50, :70])
        assert seen == {("0", (0, 0)): 1, ("0", (0, 1)): 1}
    with decoding() as seen:
        assert int(img[1234, 567]) == pixels[1234, 567]
        assert seen == {("0", (1234 // CHUNK, 567 // CHUNK)): 1}


# ----------------------------------------------------------------------------------------------- row 3: pictures


def test_03_a_picture_of_the_level_that_fits_with_exact_percentiles(axon: tuple[Path, Array]) -> None:
    store, pixels = axon
    ax = Figure(figsize=(4, 3), dpi=100).add_subplot()
    with decoding() as seen:
        bigimg.show(store, ax=ax)
    drawn = ax.images[0].get_array()
    box = ax.get_window_extent()
    scale = min(box.height / pixels.shape[0], box.width / pixels.shape[1])
    level = int(math.log2(1 / scale))  # the smallest with a pixel for each on the screen
    assert level > 1
    assert {name for name, _ in seen} == {str(level)}
    np.testing.assert_array_equal(drawn, bigimg.open(store, level=level).values)
    # The window is that of all pixels at full resolution, and no pixel was read for it.
    assert ax.images[0].get_clim() == pytest.approx(np.percentile(pixels, [0.1, 99.9]))


def test_03_what_imshow_knows_is_passed_on(axon: tuple[Path, Array]) -> None:
    store, _ = axon
    ax = Figure().add_subplot()
    assert bigimg.show(store, ax=ax, cmap="magma", vmin=10, vmax=150, interpolation="bicubic") is ax
    (image,) = ax.images
    assert image.get_cmap().name == "magma"
    assert image.get_clim() == (10, 150)
    assert image.get_interpolation() == "bicubic"
    assert len(ax.figure.axes) == 2  # with its colour bar
    ax.axis("off")
    left, right = Figure().subplots(1, 2)
    bigimg.show(store, ax=left, cmap="gray", colorbar=False)
    bigimg.show(store, ax=right, cmap="viridis", colorbar=False)
    assert [one.images[0].get_cmap().name for one in (left, right)] == ["gray", "viridis"]


def test_03_a_thumbnail_begins_with_the_level_that_fits(brain: tuple[Path, Array]) -> None:
    store, pixels = brain
    with decoding() as seen:
        small = bigimg.thumbnail(store, 200)
    assert {name for name, _ in seen} == {"0"}  # no smaller level is four times finer
    assert small.shape == (186, 200, 3)
    assert small.dtype == np.uint8
    smooth, coarse = (
        np.asarray(Image.fromarray(pixels).resize((200, 186), way)).astype(int)
        for way in (Image.Resampling.BILINEAR, Image.Resampling.NEAREST)  # of all pixels, and of some
    )
    assert np.abs(small - smooth).mean() < np.abs(small - coarse).mean() / 3


# ------------------------------------------------------------------------------------------------ row 10: any size


def area_means(pixels: Array, shape: tuple[int, int]) -> Array:
    """Means of what each new pixel covers, parts of pixels included: differences of integrals along each axis."""
    found = pixels.astype(np.float64)
    for axis, count in enumerate(shape):
        n = found.shape[axis]
        lines = np.moveaxis(found, axis, 0).reshape(n, -1)
        sums = np.vstack([np.zeros(lines.shape[1]), lines.cumsum(axis=0)])
        ends = np.linspace(0, n, count + 1)
        whole = np.minimum(ends.astype(int), n - 1)
        integral = sums[whole] + (ends - whole)[:, None] * lines[whole]
        means = np.diff(integral, axis=0) * count / n
        rest = [size for other, size in enumerate(found.shape) if other != axis]
        found = np.moveaxis(means.reshape(count, *rest), 0, axis)
    return found


def test_10_any_size_without_aliasing_as_an_array(brain: tuple[Path, Array]) -> None:
    """Pillow's resize takes (width, height), ours (height, width)."""
    store, pixels = brain
    theirs = np.asarray(Image.fromarray(pixels).resize((174, 187)))
    with decoding() as seen:
        found = bigimg.resize(store, (187, 174)).bigimg.to_numpy()
    assert {name for name, _ in seen} == {"0"}  # no smaller level is four times finer
    assert sum(seen.values()) <= 1.3 * len(seen)  # blocks of the result straddle chunks
    assert isinstance(found, np.ndarray)
    assert (found.shape, found.dtype) == (theirs.shape, theirs.dtype)
    coarse = np.asarray(Image.fromarray(pixels).resize((174, 187), Image.Resampling.NEAREST)).astype(int)
    assert np.abs(found - theirs.astype(int)).mean() < np.abs(found - coarse).mean() / 2
    exact = bigimg.resize(store, (187, 174), level=0).bigimg.to_numpy()
    np.testing.assert_allclose(exact, area_means(pixels, (187, 174)), rtol=0, atol=0.5 + 1e-6)


# ------------------------------------------------------------------------------------------------- row 11: patches


def windows_of(image: Array, size: tuple[int, int]) -> Array:
    """All windows, row after row, channels last: what scikit-learn's ``extract_patches_2d`` makes, and in its way."""
    found = np.lib.stride_tricks.sliding_window_view(image, size, axis=(0, 1))
    found = np.moveaxis(found, 2, -1) if image.ndim == 3 else found
    return found.reshape(-1, *found.shape[2:])


def test_11_a_hundred_patches_read_a_hundred_windows(
    brain: tuple[Path, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigimg.ops.patches.cutting.PIECE_BYTES", 1)  # small chunks are read some at once
    store, pixels = brain
    chosen = bigimg.patches(store, (174, 187), n=100, seed=0)
    places = chosen.coords.compute()
    corners = list(zip(places.y_index.values.tolist(), places.x_index.values.tolist(), strict=True))
    few = chosen[:4]
    with decoding() as seen:
        stacked = few.stack(channels="last")
    crossed = {
        (row, column)
        for y, x in corners[:4]
        for row in range(y // CHUNK, -(-(y + 174) // CHUNK))
        for column in range(x // CHUNK, -(-(x + 187) // CHUNK))
    }
    assert {chunk[-2:] for _, chunk in seen} == crossed
    assert set(seen.values()) == {1}
    assert stacked.shape == (4, 174, 187, 3)
    everything = chosen.stack(channels="last")
    assert everything.shape == (100, 174, 187, 3)  # as extract_patches_2d(image, (174, 187), max_patches=100)
    for (y, x), patch in zip(corners, everything, strict=True):
        np.testing.assert_array_equal(patch, pixels[y : y + 174, x : x + 187])


def test_11_all_windows_are_those_of_scikit_learn(brain: tuple[Path, Array]) -> None:
    store, pixels = brain
    part = bigimg.crop(store, {"y": (400, 440), "x": (500, 550)})
    for img, image in ((part, pixels[400:440, 500:550]), (part.isel(c=1), pixels[400:440, 500:550, 1])):
        found = bigimg.patches(img, (17, 18), stride=1).stack(channels="last")
        expected = windows_of(image, (17, 18))
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_array_equal(found, expected)


def test_11_grids_masks_and_the_way_back(brain: tuple[Path, Array]) -> None:
    store, pixels = brain
    grid = bigimg.patches(store, 128, overlap=32)
    np.testing.assert_array_equal(
        bigimg.reassemble(grid, grid.stack(channels="last")).bigimg.to_numpy(), pixels
    )
    dark = (pixels < 60).all(-1)
    covered = bigimg.patches(store, 100, where=dark, min_fraction=0.9, edge="drop")
    shares = np.lib.stride_tricks.sliding_window_view(dark, (100, 100))[::100, ::100].mean((2, 3))
    assert 0 < len(covered) == (shares >= 0.9).sum() < shares.size
    figure = bigimg.montage(bigimg.patches(store, (174, 187), n=100, seed=0), columns=10)
    assert len(figure.axes) == 100
    assert len({round(ax.get_position().x0, 6) for ax in figure.axes}) == 10


# --------------------------------------------------------------------------------------------- rows 12 to 14: volumes


@contextmanager
def reading(source: Path) -> Iterator[list[tuple[slice, ...]]]:
    """Yield the regions that are read of files of the kind of ``source`` meanwhile."""
    kind = type(open_source(source))
    regions: list[tuple[slice, ...]] = []
    real = kind.read

    def noted(self: Any, region: Any) -> Any:
        regions.append(tuple(region))
        return real(self, region)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "read", noted)
        yield regions


def pixels_in(region: tuple[slice, ...]) -> int:
    return math.prod(s.stop - s.start for s in region)


@pytest.mark.parametrize("name", ["anatomical.nii", "functional.nii"])
def test_12_a_proxy_that_reads_and_scales_what_is_asked(name: str, data: Path) -> None:
    path = data / "nifti" / name
    theirs: Any = nibabel.load(path)
    with reading(path) as regions:
        img = bigimg.open(path)
        assert img.shape == theirs.shape[::-1]
        assert not regions
        cut = (Ellipsis, slice(1, 2), slice(3, 9), slice(2, 5))
        found = img[cut].values
        assert sum(map(pixels_in, regions)) == found.size
    np.testing.assert_allclose(
        found, np.asarray(theirs.dataobj[2:5, 3:9, 1:2]).T.reshape(found.shape), rtol=1e-6
    )
    scaled = theirs.dataobj.slope != 1
    assert img.dtype == (np.float32 if scaled else theirs.get_data_dtype().newbyteorder("="))
    np.testing.assert_allclose(img.values, theirs.get_fdata(dtype=np.float32).T, rtol=1e-6)
    raw = bigimg.open(path, raw=True)
    np.testing.assert_array_equal(raw.values, theirs.dataobj.get_unscaled().T)
    if scaled:
        assert raw.dtype == np.int16
        assert raw.attrs["scaling"] == pytest.approx([theirs.dataobj.slope, theirs.dataobj.inter])


def test_12_a_compressed_volume_goes_by_in_bands(data: Path) -> None:
    path = data / "nifti" / "ch2.nii.gz"
    with reading(path) as regions:
        img = to_labelled(open_source(path), block_bytes=8 * 217 * 181)  # as a budget does with a large one
        found = bigimg.stats(img).compute()
    starts = [region[0].start for region in regions]
    assert starts == sorted(set(starts))  # one pass, nothing twice
    assert max(map(pixels_in, regions)) <= 8 * 217 * 181
    values = np.asarray(nibabel.load(path).dataobj)  # type: ignore[attr-defined]
    assert found["sum"].item() == values.sum(dtype=int)
    assert float(found["std"]) == pytest.approx(values.astype(float).std(), rel=1e-12)


@pytest.fixture(scope="module")
def head(data: Path) -> tuple[Any, Array, Array]:
    """A head of 1 mm, opened by us; values in the order x y z, all R A S, and affine by nibabel."""
    path = data / "nifti" / "ch2.nii.gz"
    theirs: Any = nibabel.load(path)
    assert nibabel.aff2axcodes(theirs.affine) == ("R", "A", "S")
    img = bigimg.open(
        path
    ).compute()  # several planes of a file that is read in order would be as many passes
    return img, np.asarray(theirs.dataobj), theirs.affine


@pytest.mark.parametrize(
    ("name", "across", "sides"), [("axial", 2, "yx"), ("coronal", 1, "zx"), ("sagittal", 0, "zy")]
)
def test_13_planes_by_index_and_position(
    name: str, across: int, sides: str, head: tuple[Any, Array, Array]
) -> None:
    img, values, _ = head
    plane = bigimg.plane(img, name, index=60)
    assert plane.dims == tuple(sides)
    np.testing.assert_array_equal(plane.values, values.take(60, across).T)
    axis = "xyz"[across]
    place = img.bigimg.origin[axis] + 60.4 * img.bigimg.spacing[axis]
    np.testing.assert_array_equal(bigimg.plane(img, name, position=place).values, plane.values)
    left, right, bottom, top = plane.bigimg.extent
    assert (right - left, bottom - top) == pytest.approx((plane.sizes[sides[1]], plane.sizes[sides[0]]))
    ax = bigimg.show(img, name, index=60, vmax=150, ax=Figure().add_subplot())
    # The lesson's .T and origin="lower": up is superior or anterior, right is the body's right.
    upright = np.flipud(values.take(60, across).T)
    np.testing.assert_array_equal(ax.images[0].get_array(), upright)
    assert ax.images[0].get_clim()[1] == 150


def test_13_three_planes_and_a_grid_of_them_in_one_call(head: tuple[Any, Array, Array]) -> None:
    img, values, affine = head
    figure = bigimg.ortho(img, (10, -20, 30), vmax=150)
    i, j, k = np.rint(np.linalg.solve(affine, [10, -20, 30, 1])).astype(int)[:3]
    shown = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    for plane, drawn in zip((values[:, j].T, values[i].T, values[:, :, k].T), shown, strict=True):
        np.testing.assert_array_equal(drawn, np.flipud(plane))
    for name, across in (("axial", 2), ("coronal", 1), ("sagittal", 0)):
        panels = [ax for ax in bigimg.montage(img, name, n=5, vmax=150).axes if ax.images]
        size = values.shape[across]
        middles = [int((p + 0.5) * size / 5) for p in range(5)]
        for ax, place in zip(panels, middles, strict=True):
            np.testing.assert_array_equal(ax.images[0].get_array(), np.flipud(values.take(place, across).T))
            assert ax.images[0].get_clim()[1] == 150


def test_14_planes_have_the_aspect_of_the_body(data: Path) -> None:
    """The lesson computes it from the sampling, d0/d2 and d0/d1; here it is what every picture has."""
    folder = data / "dicom" / "n2d_mprage_slab"
    tags = pydicom.dcmread(min(folder.iterdir()))
    img = bigimg.open(folder)
    between, (down, across) = img.bigimg.spacing["z"], map(float, tags.PixelSpacing)
    sizes = {"z": len(list(folder.iterdir())), "y": tags.Rows, "x": tags.Columns}
    steps = {"z": between, "y": down, "x": across}
    for plane, (rows, columns) in {"z": "yx", "y": "zx", "x": "zy"}.items():
        ax = bigimg.show(img, plane, colorbar=False, ax=Figure(figsize=(6, 6)).add_subplot())
        ax.figure.draw_without_rendering()
        box = ax.get_window_extent()
        ratio = sizes[rows] * steps[rows] / (sizes[columns] * steps[columns])
        assert box.height / box.width == pytest.approx(ratio, rel=1e-3)
        assert ax.images[0].get_array().shape == (sizes[rows], sizes[columns])
        square = bigimg.show(
            img, plane, colorbar=False, ax=Figure(figsize=(6, 6)).add_subplot(),
            aspect=steps[columns] / steps[rows],
        )  # fmt: skip
        square.figure.draw_without_rendering()
        box = square.get_window_extent()
        assert box.height / box.width == pytest.approx(sizes[rows] / sizes[columns], rel=1e-3)
    squished = bigimg.with_geometry(img, spacing={"z": 5 * between})
    tall = bigimg.thumbnail(bigimg.plane(squished, "x"), 512).shape
    assert tall[0] / tall[1] == pytest.approx(sizes["z"] * 5 * between / (sizes["y"] * down), rel=0.01)
