"""``browse``: a window in which wheel, keys and slider move through the planes of a volume.

In this figure our keys replace those of matplotlib; other figures and ``rcParams`` are not changed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bigimg.errors import BigimgError, UsageError
from bigimg.geometry.colours import is_picture, lights_of
from bigimg.opening import coordinates
from bigimg.opening.open import Memory, Source
from bigimg.ops.levels import levels_of
from bigimg.ops.slices import index_along
from bigimg.planning.room import room
from bigimg.viewing.canvas import axes_pixels, is_visible, need_matplotlib, pixels_for
from bigimg.viewing.colours import blended
from bigimg.viewing.figures import finish
from bigimg.viewing.imshow import Look, paint, windows_for, windows_of
from bigimg.viewing.levels import Levels, held, level_for, nearest_in
from bigimg.viewing.planes import Cut, cut_of, pictured, position_text, turned, values_of
from bigimg.viewing.slabs import CACHE_BYTES, Slabs
from bigimg.viewing.titles import name_of

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    from bigimg.types import Array

STEPS = {"k": 1, "right": 1, "up": 1, "j": -1, "left": -1, "down": -1, "pageup": 10, "pagedown": -10}
STEPS |= {"home": -sys.maxsize, "end": sys.maxsize}
KEYS = {*STEPS, " ", *"123456789"}
"""Keys that matplotlib must not handle too: for it k, for example, makes an axis logarithmic."""
PLAY_MS = 60
"""Milliseconds between two planes while playing."""
ENOUGH = 0.7
"""Pixels of a level for each pixel on the screen: with 1.0 the next finer level would cost four times the time."""


def browse(
    img: Source,
    axis: str | None = None,
    *,
    index: int | None = None,
    position: float | None = None,
    t: int | None = None,
    channel: int | str | None = None,
    level: int | None = None,
    cmap: Any = None,
    vmin: float | None = None,
    vmax: float | None = None,
    figure: Figure | None = None,
    convention: str | None = None,
    memory: Memory = None,
    **opening: Any,
) -> Figure:
    """Open a window on the planes of an image, and return its figure.

    Wheel, j and k, arrows, page up and down, home, end and the slider move; space plays; 1 to 9 and the boxes
    switch channels. The toolbar shows position and value under the mouse. If the image has levels, the one that
    fits the window is shown, which has fewer planes too: ``level=0`` shows every plane.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    axis : str, optional
        ``axial``, ``coronal``, ``sagittal`` or the axis to move along: z, y, x, t. By default z, else t.
    index, position : int or float, optional
        The first plane that is shown; the middle by default.
    t, channel, level, cmap, vmin, vmax :
        As in :func:`bigimg.show`. All planes share one window of values.
    figure : matplotlib figure, optional
        An empty one to draw in; a new window by default.
    convention :
        As in :func:`bigimg.show`.
    memory, **opening :
        As in :func:`bigimg.open`; where an ``axis`` of the source must be chosen, open it first.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    UsageError
        There is no such axis, or no display.
    """
    need_matplotlib()
    levels = held(levels_of(img, memory=memory, **opening), memory)
    base = levels.base
    if axis is None:
        axis = next((name for name in ("z", "t") if name in base.dims), None)
        if axis is None:
            raise UsageError(
                f"browse goes along an axis beside y and x, and the image has {' '.join(map(str, base.dims))}; use show"
            )
    if axis == "t" and "t" in base.dims:
        t = index_along(base, "t", index, position)
        cut = cut_of(base, None, t=t, channel=channel, convention=convention)
    else:
        cut = cut_of(base, axis, index=index, position=position, t=t, channel=channel, convention=convention)
        axis = str(cut.axis)
    figure = figure or _window()
    pixels_for(figure, name_of(base), memory)
    cache_bytes = min(CACHE_BYTES, max(0, room(memory).free // 2))
    Browser(levels, cut, axis, figure, Look(cmap, vmin, vmax), level=level, cache_bytes=cache_bytes)
    return figure


def _window() -> Figure:
    """Return a new figure on the screen.

    Raises
    ------
    UsageError
        There is no screen.
    """
    import matplotlib.pyplot as plt

    if not is_visible():
        raise UsageError(
            f"browse opens a window, and matplotlib draws here with {plt.get_backend().lower()}, which has none: on a "
            "desktop install a GUI such as PyQt6, in a notebook write %matplotlib widget; without a display write a "
            "picture instead, as in: bigimg slice SOURCE plane.png --plane axial --at 60"
        )
    figure: Figure = plt.figure(figsize=(7.5, 7.5))
    return figure


class Browser:
    """The state of a browsing window; the figure holds the reference that keeps it alive."""

    def __init__(
        self,
        levels: Levels, cut: Cut, axis: str, figure: Figure, look: Look, *, level: int | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:  # fmt: skip
        from bigimg.viewing.fast_drawing import Blitter, quick_image

        self.levels, self.cut, self.axis, self.figure, self.look = levels, cut, axis, figure, look
        figure.set_layout_engine("none")  # positions are fixed, and a layout engine would run at each move
        self.ax = figure.add_axes((0.11, 0.17, 0.85, 0.76))
        self.level = (
            level_for(levels, cut.sides, axes_pixels(self.ax), enough=ENOUGH) if level is None else level
        )
        image = levels[self.level]
        self.size: int = image.sizes[axis]
        rest = {name: nearest_in(image, levels.base, name, index) for name, index in cut.indices.items()}
        self.at = rest.pop(axis)
        self.slabs = Slabs(image, axis, rest, cache_bytes=cache_bytes)
        self.playing = False
        self.timer: Any = None
        self._connected: list[int] = []
        self._took_keys = False
        self.picture = pictured(levels, cut, self.level, self._plane())
        # Without a stored window, that of the first plane holds for all planes.
        self.windows = windows_for(levels, cut) or windows_of([self.picture])
        self.on = [True] * (self.picture.pixels.shape[-1] if self.picture.pixels.ndim == 3 else 1)
        self.channels = coordinates.channels_of(self.picture.like)
        names = [channel.name for channel in self.channels]
        self.names = names if len(names) == len(self.on) else [str(i) for i in range(len(self.on))]
        painted = paint(self.picture, self.windows, look)
        self.image = quick_image(self.ax, self._values(), self.picture.extent, **painted.options)
        self.image.format_cursor_data = lambda data: ""  # type: ignore[method-assign]  # format_coord has it
        self.ax.format_coord = self.text_at  # type: ignore[method-assign]
        finish(self.ax, self.picture, scalebar=True)
        self._add_controls()
        self._connect()
        self._set_title()
        self.blitter = Blitter(figure, [self.ax, self.slider.ax])

    def move(self, index: int) -> None:
        """Show the plane at ``index``, or the first or last plane if ``index`` is outside."""
        index = min(max(index, 0), self.size - 1)
        if index == self.at:
            return
        self.at = index
        try:
            pixels, holes = values_of(self._plane())
            self.picture = replace(self.picture, pixels=pixels, holes=holes)  # nothing else differs
        except BigimgError as error:  # the window stays open: the next plane may be readable
            self.playing = False
            self.image.set_visible(False)
            self._set_title(str(error))
        else:
            self.image.set_visible(True)
            self.image.set_data(self._values())
            self._set_title()
        if self.slider.val != index:
            self.slider.eventson = False
            self.slider.set_val(index)
            self.slider.eventson = True
        self.blitter.draw()

    def switch(self, channel: int) -> None:
        """Show a channel or hide it."""
        if len(self.on) > 1 and channel < len(self.on):
            self.on[channel] = not self.on[channel]
            self.image.set_data(self._values())
            self.figure.canvas.draw_idle()

    def play(self) -> None:
        """Start or stop playing."""
        self.playing = not self.playing
        (self.timer.start if self.playing else self.timer.stop)()

    def text_at(self, x: float, y: float) -> str:
        """Return position and value at a point of the axes, for the toolbar."""
        picture = self.picture
        left, right, bottom, top = picture.extent
        rows, columns = picture.pixels.shape[:2]
        row = int(np.floor((y - top) / (bottom - top) * rows))
        column = int(np.floor((x - left) / (right - left) * columns))
        down, across = picture.sides
        position = f"{across} {x:.5g}, {down} {y:.5g} {picture.unit}"
        if not (0 <= row < rows and 0 <= column < columns):
            return position
        values = np.atleast_1d(picture.pixels[row, column])
        names = self.names if len(values) > 1 else ["value"]
        return f"{position}   " + "  ".join(f"{n} {v:.6g}" for n, v in zip(names, values, strict=True))

    def close(self) -> None:
        """Stop playing, release the pixels, and give the keys back to matplotlib."""
        self.playing = False
        self.timer.stop()
        self.slabs.close()
        self.blitter.close()
        for number in self._connected:
            self.figure.canvas.mpl_disconnect(number)
        self._connected = []
        manager = self.figure.canvas.manager
        if manager is not None and self._took_keys:
            from matplotlib.backend_bases import key_press_handler

            connect = self.figure.canvas.mpl_connect
            manager.key_press_handler_id = connect("key_press_event", key_press_handler)
            self._took_keys = False

    def _play_next(self) -> None:
        if self.playing:
            self.move((self.at + 1) % self.size)

    # ------------------------------------------------------------------------------------------------ drawing

    def _plane(self) -> xarray.DataArray:
        return turned(self.slabs.plane(self.at), self.cut)

    def _values(self) -> Array:
        """Return what ``imshow`` takes of the present plane: all channels, or those that are switched on."""
        painted = paint(self.picture, self.windows, self.look)
        if all(self.on):
            return painted.values
        if is_picture(self.channels, len(self.on)) and painted.values.shape[-1] >= len(self.on[:3]):
            values = painted.values[..., :3].copy()
            values[..., [i for i, on in enumerate(self.on[:3]) if not on]] = 0
            return values
        seen = [i for i, on in enumerate(self.on) if on]
        lights = lights_of(self.channels, len(self.on))
        windows = [self.look.window(self.windows[i]) for i in seen]
        return blended(self.picture.pixels[..., seen], [lights[i] for i in seen], windows)

    def _set_title(self, error: str = "") -> None:
        """Write the position above the plane, and why it cannot be read."""
        level = f", level {self.picture.level}" if self.picture.level else ""
        title = position_text(self.levels[self.level], self.axis, self.at, level)
        if error:
            title += "\n" + error.replace("; ", ";\n")
        self.ax.set_title(title, fontsize="medium", color="#C00000" if error else "black", wrap=True)

    def _add_controls(self) -> None:
        from matplotlib.widgets import CheckButtons, Slider

        self.slider = Slider(
            self.figure.add_axes((0.15, 0.02, 0.7, 0.03)), self.axis, 0, max(self.size - 1, 1),
            valinit=self.at, valstep=1, valfmt="%d", initcolor="none",
        )  # fmt: skip
        self.slider.drawon = False  # it is drawn together with the plane
        self.slider.on_changed(lambda value: self.move(round(value)))
        self.boxes: CheckButtons | None = None
        if 1 < len(self.on) <= 9:
            box = self.figure.add_axes((0.005, 0.5, 0.1, 0.04 * len(self.on)))
            box.set_axis_off()
            self.boxes = CheckButtons(box, [f"{i + 1} {n[:8]}" for i, n in enumerate(self.names)], self.on)
            self.boxes.on_clicked(lambda label: self.switch(int(str(label).split()[0]) - 1))

    def _connect(self) -> None:
        canvas = self.figure.canvas
        # Functions, not methods: matplotlib holds methods weakly, and nothing else refers to this browser.
        actions: dict[str, Callable[[Any], None]] = {
            "scroll_event": lambda event: _scrolled(self, event),
            "key_press_event": lambda event: _pressed(self, event),
            "close_event": lambda event: self.close(),
        }
        self._connected = [canvas.mpl_connect(name, act) for name, act in actions.items()]
        self.timer = canvas.new_timer(interval=PLAY_MS)
        self.timer.add_callback(self._play_next)
        number = getattr(canvas.manager, "key_press_handler_id", None)
        self._took_keys = number is not None
        if number is not None:
            canvas.mpl_disconnect(number)


def _scrolled(browser: Browser, event: Any) -> None:
    browser.move(browser.at + (1 if event.step > 0 else -1) * max(1, abs(round(event.step))))


def _pressed(browser: Browser, event: Any) -> None:
    key = event.key
    if key in STEPS:
        browser.move(browser.at + STEPS[key])
    elif key == " ":
        browser.play()
    elif key in KEYS and browser.boxes is not None and int(key) <= len(browser.on):
        browser.boxes.set_active(int(key) - 1)  # this calls switch()
    elif key in KEYS:
        browser.switch(int(key) - 1)
    elif browser._took_keys:
        from matplotlib.backend_bases import key_press_handler

        key_press_handler(event)
