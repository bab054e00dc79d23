"""What a move draws is what matplotlib draws of the whole figure, and nothing but the plane is drawn for it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from matplotlib.axis import Axis
from matplotlib.backend_bases import ResizeEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import bigimg
from bigimg.viewing.fast_drawing import QuickImage, quick_image
from bigimg.viewing.imshow import ramp
from tests.viewing.drawn import blank, canvas, numbers
from tests.viewing.test_browse import browser, press, shown, window

Y, X = np.mgrid[:150, :210]
SMOOTH = (2000 + 1500 * np.sin(X / 17) * np.cos(Y / 25 + X / 90)).astype(np.uint16)
COLOURS = np.dstack([SMOOTH >> 4, SMOOTH[::-1] >> 4, np.full_like(SMOOTH, 90)]).astype(np.uint8)
WINDOW: dict[str, Any] = {"vmin": 700, "vmax": 3300}


def pixels(figure: Any) -> Any:
    """What is on the canvas, without drawing it."""
    return np.asarray(figure.canvas.buffer_rgba()).copy()


@pytest.mark.parametrize(
    ("values", "look"),
    [
        (SMOOTH, {"cmap": "gray", **WINDOW}),
        (SMOOTH, {"cmap": ramp("00FF00"), **WINDOW}),
        ((SMOOTH >> 4).astype(np.uint8), {"cmap": "viridis", "vmin": 40, "vmax": 200}),
        (SMOOTH / 7, {"cmap": "gray", "vmin": 100, "vmax": 480}),
        (SMOOTH.astype(np.int32) - 2000, {"cmap": "magma", "vmin": -1300, "vmax": 1300}),
        (COLOURS, {}),
        (COLOURS, {"interpolation": "nearest"}),
    ],
)
@pytest.mark.parametrize(
    "view", [(0, 210, 150, 0), (0.3, 208.7, 149.2, 0.4), (60, 80, 50, 30), (-9, 220, 170, -4)]
)
def test_pixels_are_those_of_matplotlib(values: Any, look: dict[str, Any], view: tuple[float, ...]) -> None:
    ax, plain = blank(), blank()
    image = quick_image(ax, values, (0, 210, 150, 0), **look)
    plain.imshow(values, extent=(0, 210, 150, 0), **look)
    for each in (ax, plain):
        each.set(xlim=view[:2], ylim=view[2:])
    canvas(ax)
    assert image._quick(1.0) is not None
    differ = np.abs(canvas(ax).astype(int) - canvas(plain))
    assert differ.mean() < 0.5  # other filters, a little
    assert np.percentile(differ, 99.9) <= 8


def test_whole_factors_repeat_pixels_exactly() -> None:
    values = numbers(20, 30)
    ax, plain = blank(), blank()
    for each in (ax, plain):
        each.set_position((0.1, 0.1, 30 * 8 / 400, 20 * 8 / 300))
    quick_image(ax, values, (0, 30, 20, 0), cmap="gray", vmin=0, vmax=255)
    plain.imshow(values, extent=(0, 30, 20, 0), cmap="gray", vmin=0, vmax=255)
    np.testing.assert_array_equal(canvas(ax), canvas(plain))


def test_what_pillow_cannot_do_is_left_to_matplotlib() -> None:
    """Missing values, other scales, other colour maps."""
    holes = np.where(SMOOTH > 2500, np.nan, SMOOTH / 7)
    for change, values, look in (
        ({}, holes, {"cmap": "gray", "vmin": 100, "vmax": 480}),
        ({"yscale": "symlog"}, SMOOTH, {"cmap": "gray", **WINDOW}),
        ({"xlim": (210, 0)}, SMOOTH, {"cmap": "gray", **WINDOW}),
        ({}, SMOOTH, {"cmap": "tab10", **WINDOW}),
    ):
        ax, plain = blank(), blank()
        image = quick_image(ax, values, (0, 210, 150, 0), **look)
        plain.imshow(values, extent=(0, 210, 150, 0), **look)
        for each in (ax, plain):
            each.set(**change)
        canvas(ax)
        assert image._quick(1.0) is None
        assert np.abs(canvas(ax).astype(int) - canvas(plain)).max() <= 1


def test_a_move_draws_the_plane_alone_and_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = bigimg.from_array(numbers(12, 40, 50), spacing=(2, 0.5, 0.5), unit="um")
    figure = bigimg.browse(volume, figure=window())
    figure.canvas.draw()
    axes_drawn: list[Axis] = []
    draw = Axis.draw
    monkeypatch.setattr(
        Axis, "draw", lambda self, renderer: (axes_drawn.append(self), draw(self, renderer))[1]
    )
    press(figure, "k", "k", "pageup", "j")
    assert axes_drawn == []
    moved = pixels(figure)
    figure.canvas.draw()  # all of it
    assert len(axes_drawn) >= 2
    np.testing.assert_array_equal(moved, pixels(figure))
    press(figure, "k")
    assert (moved != pixels(figure)).any()


def test_another_size_is_drawn_anew() -> None:
    figure = bigimg.browse(numbers(12, 40, 50), figure=window())
    figure.canvas.draw()
    figure.set_size_inches(3, 4)
    ResizeEvent("resize_event", figure.canvas)._process()  # type: ignore[attr-defined]
    press(figure, "k")
    after = pixels(figure)
    assert after.shape == (400, 300, 4)
    figure.canvas.draw()
    np.testing.assert_array_equal(after, pixels(figure))


def test_a_saved_figure_has_the_plane() -> None:
    made = browser(numbers(12, 40, 50))
    made.figure.canvas.draw()
    press(made.figure, "k")
    file = io.BytesIO()
    made.figure.savefig(file, format="png", dpi=100)
    np.testing.assert_array_equal(np.asarray(Image.open(file)), pixels(made.figure))
    press(made.figure, "j")  # and goes on after it
    moved = pixels(made.figure)
    made.figure.canvas.draw()
    np.testing.assert_array_equal(moved, pixels(made.figure))
    made.figure.savefig(io.BytesIO(), format="pdf")
    made.close()
    assert not any(artist.get_animated() for artist in made.blitter.artists)


def test_a_canvas_that_keeps_nothing_draws_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FigureCanvasAgg, "supports_blit", False)
    made = browser(numbers(12, 40, 50))
    assert not made.blitter.artists
    assert not made.image.get_animated()
    drawn: list[int] = []
    monkeypatch.setattr(made.figure.canvas, "draw_idle", lambda: drawn.append(made.at))
    press(made.figure, "k")
    assert drawn == [7]
    assert isinstance(made.image, QuickImage)
    np.testing.assert_array_equal(shown(made.figure), made.picture.pixels)
