"""Figures against those that plain matplotlib draws of the same numbers, pixel by pixel of the canvas."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nibabel
import numpy as np
import pytest
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure

import bigimg
from bigimg.errors import InputError, IntegrityError, MissingExtraError, OutputError, UsageError
from bigimg.geometry.spec import Channel
from bigimg.version import install_line
from bigimg.viewing import figures
from bigimg.viewing.canvas import length_text, round_length, save
from tests.viewing.drawn import blank, canvas, numbers, reads, store_of

BARE: dict[str, Any] = {"colorbar": False, "scalebar": False, "title": ""}


def test_grey_as_matplotlib_draws_it() -> None:
    pixels = numbers(30, 40, dtype=np.uint16) * 7
    ax = bigimg.show(pixels, ax=blank(), **BARE)
    plain = blank()
    low, high = np.percentile(pixels, (0.1, 99.9))
    plain.imshow(pixels, cmap="gray", vmin=low, vmax=high)
    plain.set(xlabel="x (px)", ylabel="y (px)")
    np.testing.assert_array_equal(canvas(ax), canvas(plain))


def test_what_is_asked_for_is_passed_on() -> None:
    pixels = numbers(30, 40).astype(np.float32) - 50
    pixels[3, 4] = np.nan
    ax = bigimg.show(pixels, ax=blank(), cmap="magma", vmin=0, vmax=99, interpolation="nearest", **BARE)
    plain = blank()
    plain.imshow(pixels, cmap="magma", vmin=0, vmax=99, interpolation="nearest")
    plain.set(xlabel="x (px)", ylabel="y (px)")
    np.testing.assert_array_equal(canvas(ax), canvas(plain))


def test_colour_true_aspect_and_place() -> None:
    pixels = numbers(20, 30, 3)
    img = bigimg.from_array(pixels, dims="yxc", spacing=(2.0, 0.5), unit="um")
    ax = bigimg.show(img, ax=blank(), scalebar=False)
    plain = blank()
    plain.imshow(pixels, extent=(-0.25, 14.75, 39, -1))
    plain.set(xlabel="x (µm)", ylabel="y (µm)")
    np.testing.assert_array_equal(canvas(ax), canvas(plain))
    assert ax.get_aspect() == 1


@pytest.mark.parametrize("shape", [(300, 300), (200, 400), (400, 150)])
@pytest.mark.parametrize("bar", [True, False])
def test_the_picture_fills_a_figure_of_its_own(shape: tuple[int, int], bar: bool) -> None:
    pixels = numbers(*shape) if bar else numbers(*shape, 3)
    ax = bigimg.show(bigimg.from_array(pixels, spacing=0.5, unit="um"))
    figure = ax.figure
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    width, height = figure.get_size_inches() * figure.dpi
    box = ax.get_window_extent()
    assert box.height / box.width == pytest.approx(shape[0] / shape[1], rel=0.01)
    left, top = box.x0 / figure.dpi, (height - box.y1) / figure.dpi
    assert 0.3 < left < 1.2  # inches: room for ticks, and no more
    assert top < 0.6
    assert box.height > 0.75 * height or box.width > 0.6 * width
    plt.close(figure)


def test_a_colour_bar_and_a_scale_bar() -> None:
    img = bigimg.from_array(numbers(20, 30), spacing=0.5, unit="um")
    ax = bigimg.show(img, ax=blank())
    assert [artist.txt_label.get_text() for artist in ax.artists] == ["2 µm"]  # of 15 µm, a quarter at most
    assert len(ax.figure.axes) == 2
    without = bigimg.show(numbers(20, 30, 3), ax=blank())
    assert not without.artists  # no unit, no length
    assert len(without.figure.axes) == 1  # colours have no scale of values
    assert (round_length(0.99), round_length(1), round_length(61)) == (0.5, 1, 50)
    assert length_text(5000, "nm") == "5 µm"


def test_channels_in_their_colours_each_with_its_window() -> None:
    pixels = numbers(2, 20, 30, dtype=np.uint16)
    pixels[1] *= 100
    img = bigimg.from_array(
        pixels, dims="cyx", channels=[Channel("DAPI", "0000FF"), Channel("GFP", "00FF00")]
    )
    ax = bigimg.show(img, ax=blank(), **BARE)
    shown = ax.images[0].get_array()
    for channel, light in ((0, 2), (1, 1)):
        low, high = np.percentile(pixels[channel], (0.1, 99.9))
        want = np.clip((pixels[channel] - low) / (high - low), 0, 1) * 255
        assert np.abs(shown[..., light] - want).max() <= 1
    assert not shown[..., 0].any()
    one = bigimg.show(img, channel="GFP", ax=blank(), **BARE)
    plain = blank()
    low, high = np.percentile(pixels[1], (0.1, 99.9))
    ramp = LinearSegmentedColormap.from_list("g", ["#000000", "#00FF00"])
    plain.imshow(pixels[1], cmap=ramp, vmin=low, vmax=high)
    plain.set(xlabel="x (px)", ylabel="y (px)")
    np.testing.assert_array_equal(canvas(one), canvas(plain))
    assert len(bigimg.show(img, channel=0, ax=blank()).figure.axes) == 2


def test_bodies_are_upright_with_letters(tmp_path: Path) -> None:
    pixels = numbers(5, 6, 7)  # R A S
    first = nibabel.Nifti1Image(pixels, np.eye(4))
    want = {
        "axial": (pixels[:, ::-1, 3].T, "LRPA"),
        "coronal": (pixels[:, 3, ::-1].T, "LRIS"),
        "sagittal": (pixels[2, :, ::-1].T, "PAIS"),
    }
    for codes in (("R", "A", "S"), ("L", "P", "S"), ("S", "R", "A"), ("P", "I", "L")):
        turn = nibabel.orientations.ornt_transform(
            nibabel.io_orientation(first.affine), nibabel.orientations.axcodes2ornt(codes)
        )
        path = tmp_path / f"{''.join(codes)}.nii"
        nibabel.save(first.as_reoriented(turn), path)
        for plane, (values, letters) in want.items():
            axis = {"axial": "IS", "coronal": "PA", "sagittal": "LR"}[plane]
            at = next(i for i, code in enumerate(codes) if code in axis)
            middle = {"axial": 3, "coronal": 3, "sagittal": 2}[plane]
            size = bigimg.open(path).sizes["xyz"[at]]
            index = middle if codes[at] in "RAS" else size - 1 - middle
            for ax in (
                bigimg.show(path, plane, index=index, ax=blank()),
                bigimg.show(bigimg.plane(path, plane, index=index), ax=blank()),
            ):
                np.testing.assert_array_equal(ax.images[0].get_array(), values)
                assert "".join(text.get_text() for text in ax.texts) == letters


def test_the_level_that_fits_is_read(tmp_path: Path) -> None:
    y, x = np.mgrid[:1024, :2048]
    pixels = ((x // 32 + y // 32) % 200).astype(np.uint8)
    path = store_of(pixels, tmp_path, chunks={"y": 128, "x": 128}, spacing=2.0, unit="um")
    for source in (path, bigimg.open(path), bigimg.open_pyramid(path)):
        ax = blank((4, 3))  # 310 x 231 pixels for the axes
        with reads() as seen:
            bigimg.show(source, ax=ax)
        assert {level for level, _ in seen} == {2}  # 512 pixels; level 3 has 256
        assert sum(np.prod([s.stop - s.start for s in region]) for _, region in seen) == 512 * 256
        assert ax.get_xlim() == (-1, 4095)
        low, high = np.percentile(pixels, (0.1, 99.9))  # of all pixels, though few were read
        assert ax.images[0].get_clim() == pytest.approx((low, high))
    with reads() as seen:
        bigimg.show(bigimg.with_geometry(bigimg.open(path), spacing=5.0), ax=(other := blank()))
    assert other.get_xlim() == (-2.5, 2048 * 5 - 2.5)  # what the person says of the geometry holds
    with reads() as seen:
        bigimg.show(path, level=0, ax=blank())
    assert {level for level, _ in seen} == {0}


def test_a_plane_of_a_volume_reads_what_it_crosses(tmp_path: Path) -> None:
    pixels = numbers(64, 64, 64)
    path = store_of(pixels, tmp_path, chunks=16)
    with reads() as seen:
        ax = bigimg.show(path, "y", index=20, ax=blank())
    np.testing.assert_array_equal(ax.images[0].get_array(), pixels[:, 20])
    assert sum(np.prod([s.stop - s.start for s in region]) for _, region in seen) == 64 * 64


def test_labels_masks_and_overlays() -> None:
    ids = np.zeros((20, 30), np.uint16)
    ids[2:9, 3:11], ids[12:18, 5:9] = 1, 2
    labels = bigimg.from_array(ids)
    labels.attrs["kind"] = "labels"
    colours = bigimg.show(labels, ax=blank()).images[0].get_array()
    assert not colours[ids == 0].any()
    assert len({tuple(c) for c in colours[ids > 0]}) == 2
    mask = bigimg.show(ids > 0, ax=blank(), **BARE)
    plain = blank()
    plain.imshow(ids > 0, cmap="gray", vmin=0, vmax=1)
    plain.set(xlabel="x (px)", ylabel="y (px)")
    np.testing.assert_array_equal(canvas(mask), canvas(plain))

    pixels = numbers(20, 30)
    ax = bigimg.show(
        pixels,
        overlay=ids > 0,
        overlay_color="00FF00",
        overlay_alpha=0.5,
        vmin=0,
        vmax=255,
        ax=blank(),
        **BARE,
    )
    plain = blank()
    plain.imshow(pixels, cmap="gray", vmin=0, vmax=255)
    cover = np.zeros((20, 30, 4), np.uint8)
    cover[ids > 0] = (0, 255, 0, 128)
    plain.imshow(cover, interpolation="nearest")
    plain.set(xlabel="x (px)", ylabel="y (px)")
    np.testing.assert_array_equal(canvas(ax), canvas(plain))
    with pytest.raises(UsageError, match="on the same grid"):
        bigimg.show(pixels, overlay=ids[:9] > 0, ax=blank())
    with pytest.raises(UsageError, match="give booleans, or labels"):
        bigimg.show(pixels, overlay=pixels, ax=blank())


def test_an_overlay_lies_right_on_a_coarser_level(tmp_path: Path) -> None:
    pixels = np.zeros((512, 512), np.uint8)
    pixels[128:256, 256:512] = 200
    path = store_of(pixels, tmp_path, chunks={"y": 64, "x": 64})
    ax = bigimg.show(path, overlay=bigimg.open(path) > 100, ax=blank())
    shapes = [image.get_array().shape[:2] for image in ax.images]
    assert shapes == [(256, 256), (512, 512)]
    assert ax.images[1].get_extent() == [-0.5, 511.5, 511.5, -0.5]
    assert ax.images[0].get_extent() == ax.images[1].get_extent()


def test_histogram_as_numpy_counts(tmp_path: Path) -> None:
    pixels = numbers(40, 50, 3)
    path = store_of(pixels, tmp_path, dims="yxc")
    with reads() as seen:
        ax = figures.histogram(path, bins=20, range=(0, 255), ax=blank(), title="")
    assert not seen
    plain = blank()
    for channel, (name, color) in enumerate((("R", "#FF0000"), ("G", "#00FF00"), ("B", "#0000FF"))):
        counts, edges = np.histogram(pixels[..., channel], 20, (0, 255))
        plain.stairs(counts, edges, label=name, color=color, linewidth=1.4)
    plain.set(xlabel="value", ylabel="pixels", xlim=(0, 255))
    plain.legend(frameon=False)
    np.testing.assert_array_equal(canvas(ax), canvas(plain))
    assert figures.histogram(pixels[..., 0], log=True, ax=blank()).get_yscale() == "log"


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32])
def test_sweep_is_the_share_below(kind: Any) -> None:
    pixels = (numbers(40, 50) - 100).astype(kind)
    places = [-30.0, 0.0, 7.0, 7.5, 99.0, 300.0]
    ax = figures.sweep(pixels, thresholds=places, ax=blank())
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [(pixels < t).mean() for t in places])
    with pytest.raises(UsageError, match="give at least two"):
        figures.sweep(pixels, thresholds=[2], ax=blank())


def test_graphs_tell_channels_apart_and_say_of_what_they_are(tmp_path: Path) -> None:
    names = ["R", "G", "B", "extra 1", "again"]
    channels = [Channel(n, {"R": "FF0000", "B": "0000FF"}.get(n, "00FF00")) for n in names]
    channels[3] = Channel("extra 1")
    path = store_of(numbers(5, 20, 30), tmp_path, dims="cyx", channels=channels)
    for draw in (figures.histogram, figures.sweep):
        ax = draw(path, ax=blank())
        drawn = ax.lines or ax.patches
        found = [to_hex(line.get_edgecolor() if ax.patches else line.get_color()) for line in drawn]
        assert found[:3] == ["#ff0000", "#00ff00", "#0000ff"]
        assert len(set(found)) == 5
        assert ax.get_title() == "a.ome.zarr"
        assert draw(numbers(8, 9), ax=blank()).get_title() == ""
        assert draw(path, ax=blank(), title="cells").get_title() == "cells"


def test_no_such_plane_or_place() -> None:
    flat, volume = numbers(8, 9), bigimg.from_array(numbers(4, 8, 9))
    with pytest.raises(UsageError, match="the image has no z; its axes are y x, which is one plane"):
        bigimg.show(flat, "axial")
    with pytest.raises(UsageError, match="it is one plane"):
        bigimg.show(flat, index=2)
    with pytest.raises(UsageError, match="index 9 along z of 4 pixels; give 0 to 3"):
        bigimg.show(volume, "z", index=9)
    with pytest.raises(UsageError, match="give one"):
        bigimg.show(volume, "z", index=1, position=2)
    with pytest.raises(UsageError, match="without channels"):
        bigimg.show(volume, channel="DAPI")
    for draw in (bigimg.show, lambda img, **how: bigimg.montage([img], **how)):
        with pytest.raises(UsageError, match="cmap='nocmap': matplotlib has no such colour map"):
            draw(flat, cmap="nocmap")
    with pytest.raises(UsageError, match="window 9 to 1 is empty"):
        bigimg.show(flat, vmin=9, vmax=1, ax=blank())
    with pytest.raises(UsageError, match="without levels"):
        bigimg.show(flat, level=2, ax=blank())


def test_a_store_that_lost_a_shard(tmp_path: Path) -> None:
    path = store_of(numbers(64, 64), tmp_path)
    next((path / "0").glob("c/*/*")).unlink()
    with pytest.raises(IntegrityError, match="the object is gone"):
        bigimg.show(path, ax=blank())
    with pytest.raises(InputError, match="no such file"):
        bigimg.show(tmp_path / "none.png")


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # its import fails
    for draw in (lambda: figures.show(numbers(4, 4)), lambda: figures.histogram(numbers(4, 4))):
        with pytest.raises(MissingExtraError, match=re.escape(install_line("plot"))):
            draw()


def test_a_figure_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    ax = bigimg.show(numbers(20, 30), ax=blank())
    for name in ("a.png", "a.pdf", "a.svg", "plain"):
        save(ax.figure, tmp_path / name)
    assert (tmp_path / "plain").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(UsageError, match=r"ends in \.xyz"):
        save(ax.figure, tmp_path / "a.xyz")
    with pytest.raises(OutputError, match="none does not exist: make it first"):
        save(ax.figure, tmp_path / "none" / "a.png")


def test_images_of_others_and_their_shapes() -> None:
    """Numpy, dask, four axes, a single channel, thin and single pixels."""
    import dask.array as da

    for array in (numbers(1, 1), numbers(1, 40), numbers(3, 2, 4, 20, 30), da.ones((40, 50), chunks=16)):
        assert bigimg.show(array, ax=blank()).images
    assert bigimg.from_array(numbers(20, 30)).bigimg.show(ax=blank()).images
