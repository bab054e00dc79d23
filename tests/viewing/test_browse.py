"""The browser of slices, driven by the events that a window would send; what is read is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backend_bases import CloseEvent, FigureManagerBase, KeyEvent, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import bigimg
from bigimg.errors import UsageError
from bigimg.opening.data_array import to_labelled
from bigimg.ops.levels import levels_of
from bigimg.viewing.browse import Browser
from bigimg.viewing.imshow import Look
from bigimg.viewing.planes import cut_of
from bigimg.viewing.slabs import Slabs
from tests.viewing.drawn import numbers, reads, store_of
from tests.virtual import Virtual


def window() -> Figure:
    """A figure with a manager, as on a screen: matplotlib listens to its keys."""
    figure = Figure(figsize=(5, 5), dpi=100)
    FigureManagerBase(FigureCanvasAgg(figure), 1)
    return figure


def press(figure: Figure, *keys: str) -> None:
    for key in keys:
        KeyEvent("key_press_event", figure.canvas, key)._process()  # type: ignore[attr-defined]


def scroll(figure: Figure, step: int) -> None:
    MouseEvent("scroll_event", figure.canvas, 250, 250, step=step)._process()  # type: ignore[attr-defined]


def shown(figure: Figure) -> Any:
    return figure.axes[0].images[0].get_array()


def test_keys_wheel_and_slider_move() -> None:
    pixels = numbers(30, 20, 25)
    figure = bigimg.browse(pixels, "z", figure=window())
    at = 15
    np.testing.assert_array_equal(shown(figure), pixels[at])
    for key, step in {
        "k": 1,
        "right": 1,
        "up": 1,
        "j": -1,
        "left": -1,
        "down": -1,
        "pageup": 10,
        "pagedown": -10,
    }.items():
        press(figure, key)
        at += step
        np.testing.assert_array_equal(shown(figure), pixels[at])
    scroll(figure, 1)
    np.testing.assert_array_equal(shown(figure), pixels[at + 1])
    scroll(figure, -3)
    np.testing.assert_array_equal(shown(figure), pixels[at - 2])
    press(figure, "home", "j")
    np.testing.assert_array_equal(shown(figure), pixels[0])
    press(figure, "end", "k")
    np.testing.assert_array_equal(shown(figure), pixels[29])
    assert figure.axes[0].get_title() == "z 29 of 0-29"
    x, y = figure.axes[1].transData.transform((7, 0.5))
    MouseEvent("button_press_event", figure.canvas, x, y, button=1)._process()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(shown(figure), pixels[7])


def test_what_all_planes_need_is_computed_once() -> None:
    reader = Virtual((30, 64, 64), "u1", "zyx", (1, 64, 64))
    figure = bigimg.browse(bigimg.rescale(to_labelled(reader, block_bytes=1 << 12)), figure=window())
    press(figure, "k", "k", "home")
    planes = sum(region[0].stop - region[0].start for region in reader.log)
    assert planes < 2 * 30, "once for the range, and then no more than is shown or read ahead"


def test_keys_of_matplotlib_are_held_back_here_alone() -> None:
    before = dict(mpl.rcParams)
    figure, other = bigimg.browse(numbers(5, 6, 7), figure=window()), window()
    axes = other.add_subplot()
    MouseEvent("motion_notify_event", figure.canvas, 250, 250)._process()  # type: ignore[attr-defined]
    press(figure, "k", "l", "home")  # k: logarithmic x axis; l: logarithmic y axis, which is not ours
    assert figure.axes[0].get_xscale() == "linear"
    assert dict(mpl.rcParams) == before
    event = KeyEvent("key_press_event", other.canvas, "k", *axes.transAxes.transform((0.5, 0.5)))
    event._process()  # type: ignore[attr-defined]
    assert axes.get_xscale() == "log"
    CloseEvent("close_event", figure.canvas)._process()  # type: ignore[attr-defined]
    x, y = figure.axes[0].transAxes.transform((0.5, 0.5))
    KeyEvent("key_press_event", figure.canvas, "k", x, y)._process()  # type: ignore[attr-defined]
    assert figure.axes[0].get_xscale() == "log"  # matplotlib has its keys back


def browser(source: Any, axis: str = "z", **options: Any) -> Browser:
    levels = levels_of(source)
    return Browser(levels, cut_of(levels.base, axis), axis, window(), Look(), **options)


def test_play() -> None:
    pixels = numbers(3, 20, 25)
    made = browser(pixels)
    press(made.figure, " ")
    for want in (2, 0, 1):
        made.timer._on_timer()
        np.testing.assert_array_equal(made.picture.pixels, pixels[want])
    press(made.figure, " ")
    made.timer._on_timer()
    assert made.at == 1


def test_value_under_the_mouse() -> None:
    pixels = numbers(4, 20, 25)
    img = bigimg.from_array(pixels, spacing=(5, 0.5, 0.5), unit="um")
    axes = bigimg.browse(img, figure=window()).axes[0]
    assert axes.format_coord(3.6, 1.1) == f"x 3.6, y 1.1 µm   value {pixels[2, 2, 7]}"
    assert axes.format_coord(-99, 0) == "x -99, y 0 µm"
    assert axes.get_title() == "z 10 µm (2 of 0-3)"


def test_channels_are_switched() -> None:
    pixels = numbers(4, 20, 25, 3)
    figure = bigimg.browse(bigimg.from_array(pixels, dims="zyxc"), figure=window())
    np.testing.assert_array_equal(shown(figure), pixels[2])
    press(figure, "2", "k")
    want = pixels[3].copy()
    want[..., 1] = 0
    np.testing.assert_array_equal(shown(figure), want)
    press(figure, "2")
    np.testing.assert_array_equal(shown(figure), pixels[3])
    press(figure, "9")
    lights = bigimg.from_array(numbers(2, 4, 20, 25), dims="czyx")
    figure = bigimg.browse(lights, figure=window())
    press(figure, "1")
    assert not shown(figure)[..., 1].any()  # the first spare colour is green
    press(figure, "2")
    assert not shown(figure).any()


def test_the_level_that_fits_and_every_plane_of_level_0(tmp_path: Path) -> None:
    pixels = np.repeat(numbers(128), 1)[:, None, None] + np.zeros((128, 128, 128), np.uint8)
    path = store_of(pixels, tmp_path, chunks=16, halve="zyx")
    for source in (path, bigimg.open(path), bigimg.open_pyramid(path)):
        figure = Figure(figsize=(0.8, 0.8), dpi=100)
        FigureCanvasAgg(figure)
        bigimg.browse(source, figure=figure)
        assert shown(figure).shape == (64, 64)
        assert figure.axes[0].get_title() == "z 32 of 0-63, level 1"
    figure = bigimg.browse(path, level=0, figure=window())
    press(figure, "k")
    np.testing.assert_array_equal(shown(figure), pixels[65])


def read_ahead(slabs: Slabs) -> None:
    """Wait for what the thread does."""
    for future in list(slabs._slabs.values()):
        future.exception(timeout=60)


def test_slabs_are_read_once_and_ahead(tmp_path: Path) -> None:
    path = store_of(numbers(128, 64, 64), tmp_path, chunks=16)
    image = bigimg.open(path)
    with reads() as seen:
        slabs = Slabs(image, "z", {}, cache_bytes=1 << 18)
        assert slabs.thickness == 16
        for index in range(128):
            np.testing.assert_array_equal(slabs.plane(index).values, image.isel(z=index).values)
            read_ahead(slabs)
            assert len(slabs._slabs) <= 3
        slabs.close()
    own = [(region[0].start, region[0].stop) for _, region in seen if region[1] == slice(0, 64)]
    alone = [ends for ends in own if ends == (0, 1)]
    assert len(alone) == 2  # the first plane, here and by the comparison
    assert sorted(start for start, stop in own if stop - start == 16) == list(range(0, 128, 16))
    assert len(slabs._slabs) == 0
    slabs = Slabs(image, "z", {}, cache_bytes=64 * 64 * 4 * 5)
    for index in np.random.default_rng(0).integers(0, 128, 20):
        slabs.plane(int(index))
        assert len(slabs._slabs) <= 4
    assert slabs.thickness == 4  # bounded: a quarter of the cache
    slabs.close()


def test_a_jump_reads_one_plane_and_a_step_after_it_the_slab(tmp_path: Path) -> None:
    path = store_of(numbers(128, 64, 64), tmp_path, chunks=16)
    slabs = Slabs(bigimg.open(path), "z", {}, cache_bytes=1 << 18)
    slabs.plane(0)
    read_ahead(slabs)

    def reads_of(index: int) -> list[tuple[int, int]]:
        with reads() as seen:
            slabs.plane(index)
            read_ahead(slabs)
        return sorted((region[0].start, region[0].stop) for _, region in seen)

    for index in (100, 20, 70):
        assert reads_of(index) == [(index, index + 1)]
    assert reads_of(71) == [(64, 80), (71, 72)]
    assert reads_of(72) == [(80, 96)]  # ahead
    assert reads_of(71) == [(48, 64)]  # and back
    assert reads_of(63) == [(32, 48)]
    assert reads_of(62) == []
    assert reads_of(47) == [(16, 32)]
    slabs.close()


def test_a_lost_shard_is_said_and_the_rest_is_shown(tmp_path: Path) -> None:
    pixels = numbers(128, 32, 32)
    path = store_of(pixels, tmp_path, chunks=16, shards=16)
    (path / "0" / "c" / "2" / "0" / "0").unlink()
    made = browser(path, level=0)
    made.move(20)
    np.testing.assert_array_equal(made.picture.pixels, pixels[20])
    made.move(40)
    assert "the object is gone" in made.ax.get_title()
    assert not made.image.get_visible()
    made.move(100)
    assert made.image.get_visible()
    np.testing.assert_array_equal(made.picture.pixels, pixels[100])


def test_along_time_and_what_cannot_be() -> None:
    times = bigimg.from_array(numbers(5, 20, 25), dims="tyx")
    figure = bigimg.browse(times, figure=window())
    press(figure, "home")
    np.testing.assert_array_equal(shown(figure), times.values[0])
    volumes = bigimg.from_array(numbers(5, 4, 20, 25), dims="tzyx")
    figure = bigimg.browse(volumes, "t", index=1, figure=window())
    press(figure, "k")
    np.testing.assert_array_equal(shown(figure), volumes.values[2, 2])
    with pytest.raises(UsageError, match="the image has y x; use show"):
        bigimg.browse(numbers(8, 9))
    with pytest.raises(UsageError, match="its axes are y x"):
        bigimg.browse(numbers(8, 9), "axial")


def test_no_display_says_how_to_write_a_picture() -> None:
    with pytest.raises(UsageError, match=r"draws here with agg.* bigimg slice SOURCE plane\.png"):
        bigimg.browse(numbers(4, 8, 9))
