"""Left and right of an asymmetric phantom: one rule in every figure, picture and layer, whatever the axes are."""

from __future__ import annotations

import base64
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure
from PIL import Image

import bigimg
from bigimg.cli import cli
from bigimg.errors import UsageError
from bigimg.types import Array
from bigimg.viewing.napari.layers import layers_of
from tests.viewing.drawn import blank

RAS = np.arange(1, 106, dtype=np.uint8).reshape(5, 7, 3)
"""Each voxel has another value, so that a plane shows how it lies."""
CODES = ["RAS", "LPS", "LAI", "PRS"]
"""Axes of which z is across the axial planes."""
MIDDLE = {"axial": RAS[:, ::-1, 1].T, "coronal": RAS[:, 3, ::-1].T, "sagittal": RAS[2, :, ::-1].T}
"""As nibabel's orthoview draws the middle planes: superior or anterior up, right at the right."""


def phantom(folder: Path, codes: str) -> Path:
    first = nibabel.Nifti1Image(RAS, np.diag([2.0, 2, 2, 1]))
    turn = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(first.affine), nibabel.orientations.axcodes2ornt(tuple(codes))
    )
    image = first.as_reoriented(turn)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, folder / f"{codes}.nii")
    return folder / f"{codes}.nii"


def wanted(plane: str, convention: str) -> Array:
    flat = MIDDLE[plane]
    return flat[:, ::-1] if convention == "radiological" and plane != "sagittal" else flat


def array_of(drawn: Any) -> Array:
    """Return the pixels in axes or the first axes of a figure, as they are seen."""
    ax = drawn.axes[0] if isinstance(drawn, Figure) else drawn
    (image,) = ax.images
    left, right, bottom, top = image.get_extent()
    low, high = ax.get_xlim(), ax.get_ylim()
    assert (low[1] > low[0]) == (right > left)  # the axes run as the picture does
    assert (high[1] > high[0]) == (top > bottom)
    return np.asarray(image.get_array())


def letters(ax: Any) -> str:
    return "".join(text.get_text() for text in ax.texts)


@pytest.mark.parametrize("convention", ["neurological", "radiological"])
@pytest.mark.parametrize("codes", CODES)
def test_every_figure_shows_one_body(codes: str, convention: str, tmp_path: Path) -> None:
    path = phantom(tmp_path, codes)
    img = bigimg.with_geometry(bigimg.open(path), convention=convention)
    store = tmp_path / "a.ome.zarr"
    bigimg.write(img, store)
    for source in (img.compute(), bigimg.open(store)):
        axial = wanted("axial", convention)
        for drawn in (
            bigimg.show(source, ax=blank()),
            bigimg.show(source, "z", ax=blank()),
            bigimg.show(source, "axial", ax=blank()),
            bigimg.show(source[1], ax=blank()),
            bigimg.show(source.isel(z=1), ax=blank()),
            bigimg.show(bigimg.plane(source, "z"), ax=blank()),
            bigimg.montage(source, "z", indices=[1], figure=Figure()),
            bigimg.montage(source, indices=[1], figure=Figure()),
            bigimg.montage([source], figure=Figure()),
        ):
            np.testing.assert_array_equal(array_of(drawn), axial)
        assert letters(bigimg.show(source, "z", ax=blank()))[:2] == (
            "LR" if convention == "neurological" else "RL"
        )
        np.testing.assert_array_equal(bigimg.thumbnail(source), axial)
        for plane in ("coronal", "sagittal"):
            np.testing.assert_array_equal(
                array_of(bigimg.show(source, plane, ax=blank())), wanted(plane, convention)
            )
        figure = bigimg.ortho(source, figure=Figure())
        for ax, plane in zip(figure.axes, ("coronal", "sagittal", "axial"), strict=False):
            np.testing.assert_array_equal(np.asarray(ax.images[0].get_array()), wanted(plane, convention))
        assert convention in figure.axes[-1].texts[0].get_text()
        np.testing.assert_array_equal(array_of(bigimg.browse(source, figure=Figure())), axial)
        (data,) = re.findall("base64,([^']+)", source.bigimg.preview()._repr_html_())
        with Image.open(BytesIO(base64.b64decode(data))) as image:
            ranks = np.argsort(np.argsort(np.asarray(image), axis=None, kind="stable"))
        np.testing.assert_array_equal(ranks, np.argsort(np.argsort(axial, axis=None)))


@pytest.mark.parametrize("codes", ["RAS", "LPS"])
def test_pictures_of_the_command_line(codes: str, tmp_path: Path) -> None:
    path = phantom(tmp_path, codes)
    for number, (how, convention) in enumerate(
        [([], "neurological"), (["--convention", "radiological"], "radiological")]
    ):
        for verb, plane in (("slice", "z"), ("slice", "axial"), ("slice", "coronal"), ("thumbnail", "axial")):
            target = tmp_path / f"{number}{verb}{plane}.png"
            named = ["--plane", plane] if verb == "slice" else []
            done = CliRunner().invoke(cli, [verb, str(path), str(target), *named, *how])
            assert done.exit_code == 0, done.output
            with Image.open(target) as image:
                np.testing.assert_array_equal(
                    np.asarray(image), wanted("axial" if plane == "z" else plane, convention)
                )
    assert CliRunner().invoke(cli, ["slice", str(path), "a.png", "--convention", "left"]).exit_code == 2


def test_an_overlay_lies_on_its_image(tmp_path: Path) -> None:
    img = bigimg.open(phantom(tmp_path, "LPS"))
    mask = img.values > 50
    for over in (mask, bigimg.mask(img, above=50)):
        ax = bigimg.show(img, "z", overlay=over, convention="radiological", ax=blank())
        cover = np.asarray(ax.images[1].get_array())[..., 3] > 0
        np.testing.assert_array_equal(cover, wanted("axial", "radiological") > 50)


def test_dicom_is_radiological(data: Path, tmp_path: Path) -> None:
    img = bigimg.open(data / "dicom" / "ge_epi")
    assert img.attrs["convention"] == "radiological"
    for source in (img, bigimg.mask(img, above=1)):
        ax = bigimg.show(source, "z", ax=blank())
        assert letters(ax) == "RLPA"
        assert ax.get_xlabel().endswith("radiological")
    assert letters(bigimg.show(img, convention="neurological", ax=blank())) == "LRPA"


def test_no_letters_without_a_body(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(RAS, None)
    nibabel.save(image, tmp_path / "a.nii")
    guessed = bigimg.open(tmp_path / "a.nii")
    (tmp_path / "b.nrrd").write_bytes(
        b"NRRD0005\ntype: uint8\ndimension: 3\nsizes: 5 7 3\nencoding: raw\nspace dimension: 3\n"
        b"space directions: (1,0,0) (0,1,0) (0,0,1)\n\n" + RAS.tobytes(order="F")
    )
    bigimg.convert(tmp_path / "a.nii", tmp_path / "a.ome.zarr")
    for img in (guessed, bigimg.open(tmp_path / "b.nrrd"), bigimg.open(tmp_path / "a.ome.zarr")):
        ax = bigimg.show(img, ax=blank())
        assert not letters(ax)
        assert "logical" not in ax.get_xlabel()


def test_a_convention_that_is_none(tmp_path: Path) -> None:
    img = bigimg.open(phantom(tmp_path, "RAS"))
    for ask in (lambda c: bigimg.show(img, convention=c), lambda c: bigimg.with_geometry(img, convention=c)):
        with pytest.raises(UsageError, match=r"convention 'left'.*radiological"):
            ask("left")


def test_layers_know_their_convention(tmp_path: Path, data: Path) -> None:
    ((_, options, _),) = layers_of(phantom(tmp_path, "LPS"))
    assert options["metadata"]["bigimg"]["convention"] == "neurological"
    ((_, options, _),) = layers_of(data / "dicom" / "ge_epi")
    assert options["metadata"]["bigimg"]["convention"] == "radiological"
