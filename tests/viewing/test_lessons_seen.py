"""The lessons' pictures of the lessons' images, drawn by bigimg: rows 3, 13, 14, 19, 20 and 33."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import bigimg
from tests.viewing.drawn import blank, canvas, reads
from tests.viewing.test_browse import press, shown, window


def test_row_3_a_picture_its_window_and_its_colour_map(data: Path, tmp_path: Path) -> None:
    source = data / "lessons" / "axon_slice.jpg"
    pixels = np.asarray(Image.open(source))
    bigimg.convert(source, tmp_path / "a.ome.zarr", progress=False)
    with reads() as seen:
        ax = bigimg.show(tmp_path / "a.ome.zarr", ax=blank())
    assert min(level for level, _ in seen) > 0
    assert ax.images[0].get_clim() == tuple(np.percentile(pixels, (0.1, 99.9)))
    for cmap in ("gray", "viridis", "magma"):
        ax = bigimg.show(source, cmap=cmap, vmin=30, vmax=200, colorbar=False, title="", ax=blank())
        plain = blank()
        plain.imshow(pixels, cmap=cmap, vmin=30, vmax=200)
        ax.set_axis_off(), plain.set_axis_off()
        # Beyond four megapixels the picture is averaged first, which matplotlib does by itself in another way.
        assert np.abs(canvas(ax).astype(float) - canvas(plain)).mean() < 4


def test_rows_13_and_14_fifteen_planes_in_true_aspect(data: Path) -> None:
    path = data / "nifti" / "example4d.nii.gz"  # 2 x 2 x 2.2 mm
    volume = np.asarray(nibabel.as_closest_canonical(nibabel.load(path)).dataobj)[:, ::-1]  # anterior up
    figure = bigimg.montage(path, "z", n=15, t=0, figure=Figure(figsize=(8, 5)))
    assert len(figure.axes) == 15
    for ax, index in zip(figure.axes, [int((i + 0.5) * 24 / 15) for i in range(15)], strict=True):
        want = volume[:, :, index, 0].T * np.float32(1)
        np.testing.assert_allclose(ax.images[0].get_array(), want, rtol=1e-6)
    ax = bigimg.show(path, "sagittal", t=0, ax=blank())
    left, right, bottom, top = ax.images[0].get_extent()
    zooms = nibabel.load(path).header.get_zooms()
    np.testing.assert_allclose(
        [abs(right - left), abs(top - bottom)], [96 * zooms[1], 24 * zooms[2]], rtol=1e-5
    )
    assert ax.get_aspect() == 1


def test_row_19_an_analyze_pair_with_keys_and_wheel(data: Path) -> None:
    path = data / "analyze" / "t00740_tr1_segm.hdr"
    volume = np.asarray(nibabel.as_closest_canonical(nibabel.load(path)).dataobj)[
        :, ::-1, :, 0
    ]  # anterior up
    figure = bigimg.browse(path, "z", figure=window())
    for keys, index in ((("home",), 0), (("k", "k"), 2), (("j",), 1), (("end",), 62)):
        press(figure, *keys)
        np.testing.assert_allclose(shown(figure), volume[:, :, index].T, rtol=1e-6)


def test_row_20_three_arrays_side_by_side(data: Path) -> None:
    images = [np.asarray(Image.open(data / "lessons" / name)) for name in ("chelsea.png", "axon_slice.jpg")]
    figure = bigimg.montage([*images, images[0][..., 0]], figure=Figure(figsize=(9, 3)))
    assert len(figure.axes) == 3
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), images[0])


def test_row_33_the_origin_in_three_planes(data: Path) -> None:
    path = data / "nifti" / "ch2.nii.gz"
    img = nibabel.load(path)
    i, j, k = np.rint(np.linalg.inv(img.affine)[:3, 3]).astype(int)
    volume = np.asarray(img.dataobj)
    figure = bigimg.ortho(path, at=(0, 0, 0), figure=Figure(figsize=(6, 6)))
    coronal, sagittal, axial = (ax.images[0].get_array() for ax in figure.axes[:3])
    np.testing.assert_array_equal(coronal, volume[:, j, ::-1].T)  # RAS already: only up is turned
    np.testing.assert_array_equal(sagittal, volume[i, :, ::-1].T)
    np.testing.assert_array_equal(axial, volume[:, ::-1, k].T)
