"""Orthogonal planes and montages: which pixels stand where, on which scale."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import bigimg
from bigimg.errors import UsageError
from bigimg.opening import open as opening
from bigimg.viewing import figure_files
from bigimg.viewing.marks import Letter, ScaleBar
from tests.running import bigimg as run
from tests.viewing.drawn import canvas, numbers, reads, store_of


def body(tmp_path: Path) -> Path:
    """A volume that is different in every direction, turned, with thick slices, origin off the centre."""
    affine = np.array([[-2.0, 0, 0, 9], [0, 0, 3, -4], [0, -1, 0, 7], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(numbers(10, 12, 14, dtype=np.int16), affine), tmp_path / "a.nii")
    return tmp_path / "a.nii"


def test_three_planes_meet_in_one_point(tmp_path: Path) -> None:
    path = body(tmp_path)
    img = nibabel.load(path)
    world = (3.0, 8.0, 2.0)
    i, j, k = np.rint(np.linalg.solve(img.affine, [*world, 1])[:3]).astype(int)
    stored = np.asarray(img.dataobj)
    figure = bigimg.ortho(path, at=world, figure=Figure(figsize=(6, 6)))
    coronal, sagittal, axial, words = figure.axes
    # x runs to the left, y down, z to the front: so turned, up is superior and right is the body's right.
    np.testing.assert_array_equal(coronal.images[0].get_array(), stored[::-1, :, k].T)
    np.testing.assert_array_equal(sagittal.images[0].get_array(), stored[i])
    np.testing.assert_array_equal(axial.images[0].get_array(), stored[::-1, j, ::-1].T)
    letters = ["".join(t.get_text() for t in ax.texts) for ax in (coronal, sagittal, axial)]
    assert letters == ["LRIS", "PAIS", "LRPA"]
    for ax in (coronal, sagittal, axial):
        across, down = (float(line.get_data()[n][0]) for line, n in zip(ax.lines, (0, 1), strict=True))
        left, right, bottom, top = ax.images[0].get_extent()
        shape = ax.images[0].get_array().shape
        row, column = (
            int((down - top) / (bottom - top) * shape[0]),
            int((across - left) / (right - left) * shape[1]),
        )
        assert ax.images[0].get_array()[row, column] == stored[i, j, k]
    text = words.texts[0].get_text()
    assert f"value  {stored[i, j, k]}" in text
    assert "3.0  8.0  2.0 mm" in text
    # One scale: a millimetre is as long in each panel.
    canvas(figure)
    scales = [
        ax.get_window_extent().width / abs(np.diff(ax.get_xlim())[0]) for ax in (coronal, sagittal, axial)
    ]
    assert max(scales) / min(scales) < 1.1


def test_a_volume_of_no_body_is_shown_as_stored(tmp_path: Path) -> None:
    pixels = numbers(6, 8, 10)
    img = bigimg.from_array(pixels, spacing=(3, 1, 1), unit="um")
    figure = img.bigimg.ortho({"z": 6.2}, figure=Figure())
    shown = [ax.images[0].get_array() for ax in figure.axes[:3]]
    for got, want in zip(shown, (pixels[:, 4], pixels[:, :, 5], pixels[2]), strict=True):
        np.testing.assert_array_equal(got, want)
    assert figure.axes[0].get_ylim() == (16.5, -1.5)
    with pytest.raises(UsageError, match="position 99 along z is outside"):
        bigimg.ortho(img, {"z": 99}, figure=Figure())
    with pytest.raises(UsageError, match="give x, y and z"):
        bigimg.ortho(img, (1, 2), figure=Figure())
    with pytest.raises(UsageError, match="a point is given along z, y and x"):
        bigimg.ortho(img, {"t": 1}, figure=Figure())
    with pytest.raises(UsageError, match="only a volume has them; use show"):
        bigimg.ortho(pixels[0], figure=Figure())


def test_planes_evenly_spaced_share_a_window(tmp_path: Path) -> None:
    pixels = numbers(30, 20, 25) // 2
    pixels[10:] += 100
    path = store_of(pixels, tmp_path)
    figure = bigimg.montage(path, "z", n=5, figure=Figure(figsize=(6, 4)))
    assert len(figure.axes) == 5
    low, high = np.percentile(pixels, (0.1, 99.9))
    for ax, index in zip(figure.axes, (3, 9, 15, 21, 27), strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), pixels[index])
        assert ax.images[0].get_clim() == pytest.approx((low, high))
        assert ax.get_title() == f"z {index} of 0-29"
    chosen = bigimg.montage(pixels, "x", indices=[0, -1], titles=["first", "last"], figure=Figure())
    np.testing.assert_array_equal(chosen.axes[1].images[0].get_array(), pixels[:, :, -1])
    assert [ax.get_title() for ax in chosen.axes] == ["first", "last"]


def test_panels_fill_the_figure() -> None:
    volume = numbers(30, 20, 20)

    def grid(figure: Figure) -> tuple[int, int]:
        spec = figure.axes[0].get_subplotspec()
        assert spec is not None
        return spec.get_gridspec().get_geometry()

    assert grid(bigimg.montage(volume, "z", figure=Figure(figsize=(8, 6)))) == (3, 3)
    assert grid(bigimg.montage(volume, "z", n=8, figure=Figure(figsize=(8, 6)))) == (2, 4)
    assert grid(bigimg.montage(volume, "z", n=8, figure=Figure(figsize=(4, 12)))) == (4, 2)
    assert grid(bigimg.montage(volume, "z", n=3, figure=Figure(figsize=(8, 6)))) == (1, 3)
    assert grid(bigimg.montage(volume, "z", n=8, columns=5, figure=Figure(figsize=(8, 6)))) == (2, 5)
    assert grid(bigimg.montage(numbers(9, 20, 100), "z", figure=Figure(figsize=(8, 6)))) == (5, 2)


def test_thin_strips_fill_the_figure_too() -> None:
    strips = bigimg.from_array(numbers(40, 20, 200), spacing=1, unit="mm")
    figure = bigimg.montage(strips, "z", titles=True)
    spec = figure.axes[0].get_subplotspec()
    assert spec is not None
    assert spec.get_gridspec().get_geometry() == (5, 2)
    width, height = figure.get_size_inches()
    assert 0.3 < height / width < 0.75
    canvas(figure)
    assert figure.axes[0].get_window_extent().width > 0.45 * figure.bbox.width


@pytest.mark.parametrize(
    ("shape", "size", "letters", "barred"),
    [
        ((60, 80), (4, 3), "LRPA", True),
        ((20, 200), (8, 3), "LRPA", True),  # the bar stands beside a letter
        ((12, 200), (5, 3), "LR", True),  # one above the other, letters would touch
        ((3, 200), (5, 3), "", False),
        ((200, 4), (3, 3), "", False),
        ((60, 80), (0.6, 0.6), "LRPA", False),
        ((60, 80), (0.3, 0.3), "", False),
    ],
)
def test_marks_are_drawn_where_they_have_room(
    shape: tuple[int, int], size: tuple[float, float], letters: str, barred: bool
) -> None:
    world = np.diag([1.0, 1, 1, 1])
    img = bigimg.with_geometry(
        bigimg.from_array(numbers(3, *shape), dims="zyx", spacing=1, unit="mm"), world=world, origin=0.0
    )
    figure = Figure(figsize=size, dpi=100)
    ax = figure.add_axes((0, 0, 1, 1))
    bigimg.show(img, "axial", ax=ax, colorbar=False)
    canvas(figure)
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    seen = [text for text in ax.texts if isinstance(text, Letter) and text.has_room(renderer)]
    (bar,) = (artist for artist in ax.artists if isinstance(artist, ScaleBar))
    assert "".join(text.get_text() for text in seen) == letters
    assert bar.find_box(renderer) is barred
    boxes = [text.get_window_extent(renderer) for text in seen]
    boxes += [bar.get_window_extent(renderer)] if barred else []
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_images_patches_channels_times() -> None:
    a, b, c = numbers(20, 30), numbers(40, 20, 3), bigimg.from_array(numbers(3, 9, 9))
    figure = bigimg.montage([a, b, c.isel(z=0)], figure=Figure())
    assert [ax.images[0].get_array().shape for ax in figure.axes] == [(20, 30), (40, 20, 3), (9, 9)]
    patches = bigimg.patches(b, (8, 9), n=6, seed=0)
    figure = bigimg.montage(patches, n=4, figure=Figure())
    assert [ax.get_title() for ax in figure.axes] == [f"patch {i}" for i in range(4)]
    for i, ax in enumerate(figure.axes):
        np.testing.assert_array_equal(ax.images[0].get_array(), patches[i].bigimg.to_numpy())
    few = bigimg.montage(patches[[5, 1, 5]], figure=Figure())
    for ax, i in zip(few.axes, (5, 1, 5), strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), patches[i].bigimg.to_numpy())
    with pytest.raises(
        UsageError, match="a montage of no images: there is nothing to show; give at least one"
    ):
        bigimg.montage([])
    colours = bigimg.montage(b, figure=Figure())
    assert [ax.get_title() for ax in colours.axes] == ["R", "G", "B"]
    assert [ax.images[0].get_cmap()(1.0)[:3] for ax in colours.axes] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    times = bigimg.from_array(numbers(4, 2, 9, 9), dims="tzyx")
    assert len(times.bigimg.montage("t", figure=Figure()).axes) == 4
    with pytest.raises(UsageError, match="use show, or give several images"):
        bigimg.montage(a)
    with pytest.raises(UsageError, match="a montage along t"):
        bigimg.montage(a, "t")
    with pytest.raises(UsageError, match="a montage of no images: there is nothing to show"):
        bigimg.montage([])
    with pytest.raises(UsageError, match="2 titles for 3 panels"):
        bigimg.montage([a, a, a], titles=["x", "y"])
    with pytest.raises(UsageError, match="index 9 along z"):
        bigimg.montage(c, "z", indices=[9])
    with pytest.raises(UsageError, match="of one image"):
        bigimg.montage([a, b], "z")


def titles(figure: Figure) -> list[str]:
    return [ax.get_title() for ax in figure.axes]


def test_several_images_bear_their_names(tmp_path: Path) -> None:
    img = bigimg.from_array(numbers(20, 30))
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        bigimg.write(img, tmp_path / folder / "a.ome.zarr", chunks=16, progress=False)
    one, two = tmp_path / "one/a.ome.zarr", tmp_path / "two/a.ome.zarr"
    assert titles(bigimg.montage([one, img], figure=Figure())) == ["a.ome.zarr", "image 1"]
    assert titles(bigimg.montage([one, two], figure=Figure())) == ["one/a.ome.zarr", "two/a.ome.zarr"]
    again = bigimg.open(one)
    named = bigimg.montage([one, again, again.rename("nuclei")], figure=Figure())
    assert titles(named) == ["a.ome.zarr 0", "a.ome.zarr 1", "nuclei"]
    patches = bigimg.patches(one, (8, 9), n=5, seed=0)
    assert titles(bigimg.montage(patches, n=3, figure=Figure())) == ["patch 0", "patch 1", "patch 2"]
    assert titles(bigimg.montage([patches[4], patches[1]], figure=Figure())) == ["patch 4", "patch 1"]
    assert titles(bigimg.montage([one, img], titles=False, figure=Figure())) == ["", ""]
    assert titles(bigimg.montage([one, img], titles=["x", "y"], figure=Figure())) == ["x", "y"]
    long = bigimg.montage([img.rename("n" * 99)] + [img] * 9, columns=10, figure=Figure())
    assert titles(long)[0] == "nnnnnnn…nnnnnn"


def test_a_gz_is_inflated_once_for_all_panels(tmp_path: Path) -> None:
    """A second pass would warn, and warnings are errors here."""
    pixels = numbers(12, 13, 14)
    nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), tmp_path / "a.nii.gz")
    bigimg.montage(tmp_path / "a.nii.gz", "sagittal", n=4, figure=Figure())
    bigimg.ortho(tmp_path / "a.nii.gz", figure=Figure())


def test_panels_of_a_large_store_read_small_levels(tmp_path: Path) -> None:
    path = store_of(numbers(256, 256, 256), tmp_path, chunks=32)
    with reads() as seen:
        bigimg.montage(path, "z", n=4, figure=Figure(figsize=(2, 2), dpi=50))
    assert {level for level, _ in seen} == {2}  # 64 pixels for some 45
    with reads() as seen:
        bigimg.ortho(path, figure=Figure(figsize=(4, 4), dpi=50))
    planes = [region for level, region in seen if level]
    assert {level for level, _ in seen} == {0, 1}  # level 0 for the one pixel whose value is told
    assert len(planes) >= 3


def test_figures_open_their_source_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store_of(numbers(20, 30, 40), tmp_path)
    opened, real = [], opening.open_source
    monkeypatch.setattr(opening, "open_source", lambda *a, **k: opened.append(a) or real(*a, **k))
    figure_files.plane_figure(path, tmp_path / "slice.png", plane="y")
    figure_files.plane_figure(path, tmp_path / "thumb.png", most=512)
    assert len(opened) == 2


def test_from_the_command_line_without_a_display(tmp_path: Path) -> None:
    path = store_of(numbers(20, 30, 40), tmp_path, spacing=2.0, unit="um")
    env = {"DISPLAY": "", "MPLBACKEND": "qtagg"}  # of which there is none: it is not asked
    for words, told in (
        (("slice", path, tmp_path / "slice.png", "--plane", "y", "--at", 3, "--figure"), "slice.png"),
        (("thumbnail", path, tmp_path / "thumb.png", "--figure", "--max", 300), "thumb.png"),
        (("montage", path, tmp_path / "montage.pdf", "--n", 4), "montage.pdf"),
        (("histogram", path, "--plot", tmp_path / "counts.svg", "--json"), None),
    ):
        done = run(*words, scratch=tmp_path, env=env)
        assert (done.code, done.err) == (0, f"{tmp_path / told}\n" if told else ""), done.err
    assert b"<svg" in (tmp_path / "counts.svg").read_bytes()
    done = run("histogram", path, "--plot", tmp_path / "counts.xyz", scratch=tmp_path)
    assert done.code == 2
    assert "no figure format ends in .xyz" in done.line
    with Image.open(tmp_path / "thumb.png") as image:
        assert max(image.size) == 300
    assert (tmp_path / "montage.pdf").read_bytes()[:4] == b"%PDF"
    done = run("slice", path, tmp_path / "no.png", "--at", 99, "--figure", scratch=tmp_path)
    assert (done.code, done.line) == (2, "bigimg: index 99 along z of 20 pixels; give 0 to 19")
