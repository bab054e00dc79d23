"""``view``: an image in a napari window of its own, and what its layers need from the window they are in."""

from __future__ import annotations

import importlib.util
import math
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bigimg.errors import MissingExtraError, UsageError
from bigimg.opening.open import Source
from bigimg.version import install_line
from bigimg.viewing.napari.layers import Layer, layers_of

if TYPE_CHECKING:
    import napari

MOST_VOXELS = 1 << 26
"""Of a level shown in three dimensions: 400 x 400 x 400, 270 MB as float32 on the graphics card."""
MOST_DEPTH = 2048
"""Voxels a side that every graphics card takes as a volume."""
DAMAGED = " (damaged)"
"""What the name of a layer ends with when a part of it cannot be read."""
SCREENLESS = ("offscreen", "minimal", "vnc", "xcb-offscreen")


def view(source: Source, *, series: int | str | None = None, block: bool | None = None) -> napari.Viewer:
    """Show an image in napari: levels, channels, labels, scale, units and contrast, read as it is looked at.

    Parameters
    ----------
    source : path, URL, DataArray, DataTree, array
        What has no levels and is too large to be shown without is refused, with the command that makes them.
    series : int or str, optional
        Which image, where the source holds several; all of them by default.
    block : bool, optional
        Return when the window is closed. By default only where nothing else keeps it alive: not in IPython.

    Returns
    -------
    napari.Viewer

    Raises
    ------
    MissingExtraError
        napari, or the Qt it draws with, is not installed; the message is the line that installs it.
    UsageError
        There is no screen.
    InputError, IntegrityError, BudgetError
        As :func:`bigimg.open`.
    """
    _check_screen(source)
    layers = layers_of(source, series=series)
    viewer = new_viewer()
    tell_damage(layers)
    for data, options, kind in layers:
        getattr(viewer, f"add_{kind}")(data, **options)
    if layers and layers[0][1].get("units"):
        show_units(viewer)
    follow(viewer)
    if block is None:
        block = "IPython" not in sys.modules or sys.modules["IPython"].get_ipython() is None
    if block:
        import napari

        napari.run()
    return viewer


def new_viewer() -> napari.Viewer:
    """Return an empty window.

    Raises
    ------
    MissingExtraError
        napari or Qt is not installed.
    """
    if importlib.util.find_spec("napari") is None:
        line = install_line("napari", "napari[pyqt6]")
        raise MissingExtraError(f"images are viewed by napari, which is not installed: {line}")
    try:
        import napari.qt  # without Qt a Viewer is made all the same, and nothing is seen of it
    except ImportError as error:
        line = install_line("napari", "napari[pyqt6]")
        raise MissingExtraError(
            f"napari has no Qt here to draw with: {line}, or another of its choices"
        ) from error
    return napari.Viewer(title="bigimg")


def show_units(viewer: Any) -> None:
    """Show a scale bar, which napari draws in the units of the layers."""
    viewer.scale_bar.visible = True


def tell_damage(layers: Sequence[Layer]) -> None:
    """Have napari tell what cannot be read of ``layers``, each place once, and draw stripes there."""
    for data, _, _ in layers:
        levels = data if isinstance(data, list) else [data]
        for level in levels:
            level.tell = _tell
        levels[-1].is_thumbnail = len(levels) > 1


def _tell(message: str) -> None:
    from napari.utils.notifications import show_error

    show_error(message)


def _name_damage(layer: Any) -> None:
    """Say in name and metadata of a layer of ours that a part of it cannot be read."""
    levels = layer.data if layer.multiscale else [layer.data]
    if damaged := [message for level in levels for message in getattr(level, "damaged", ())]:
        layer.metadata["bigimg"]["damaged"] = damaged
        if not layer.name.endswith(DAMAGED):
            layer.name += DAMAGED


def _check_screen(source: Source) -> None:
    """Refuse where no window can open, before anything is loaded."""
    if sys.platform != "linux" or os.environ.get("QT_QPA_PLATFORM", "").split(":")[0] in SCREENLESS:
        return
    if not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
        name = os.fspath(source) if isinstance(source, str | os.PathLike) else "IMAGE"
        raise UsageError(
            f"{name}: there is no screen here to open a window on; write a picture instead: "
            f"bigimg thumbnail {name} picture.png"
        )


# ----------------------------------------------------------------------------------------------- three dimensions


def level_in_3d(shapes: list[tuple[int, ...]]) -> int:
    """Return the finest level that is to be shown as a volume: napari itself takes the coarsest.

    >>> level_in_3d([(2000, 2000, 2000), (1000, 1000, 1000), (500, 500, 500), (250, 250, 250)])
    3
    >>> level_in_3d([(4, 400, 400, 400), (4, 200, 200, 200)])
    0
    """
    for level, shape in enumerate(shapes):
        side = shape[-3:]
        if math.prod(side) <= MOST_VOXELS and max(side) <= MOST_DEPTH:
            return level
    return len(shapes) - 1


def follow(viewer: Any) -> None:
    """Have our layers of ``viewer`` name their damage, and take the level that fits in three dimensions."""
    if getattr(viewer, "_bigimg_follows", False):
        return
    viewer.dims.events.ndisplay.connect(lambda event: _choose_levels(viewer))
    viewer.layers.events.inserted.connect(lambda event: _choose_levels(viewer))
    viewer.layers.events.inserted.connect(lambda event: _watch(event.value))
    for layer in viewer.layers:
        _watch(layer)
    try:
        object.__setattr__(viewer, "_bigimg_follows", True)
    except AttributeError:  # a viewer without room for it is followed twice, which changes nothing
        return


def _watch(layer: Any) -> None:
    """Name the damage of a layer of ours that was seen already, and that which comes into view."""
    if "bigimg" in layer.metadata:
        _name_damage(layer)
        layer.events.set_data.connect(lambda event: _name_damage(layer))


def follow_current() -> None:
    """Follow the viewer that is opening a file through the plugin, if there is one."""
    napari = sys.modules.get("napari")
    viewer = None if napari is None else napari.current_viewer()
    if viewer is not None:
        follow(viewer)


def _choose_levels(viewer: Any) -> None:
    for layer in viewer.layers:
        # Older napari has no such choice, and keeps to the coarsest level.
        if not getattr(layer, "multiscale", False) or not hasattr(layer, "locked_data_level"):
            continue
        if "bigimg" not in layer.metadata:
            continue
        deep = viewer.dims.ndisplay == 3 and layer.ndim >= 3
        wanted = level_in_3d([tuple(shape) for shape in layer.level_shapes]) if deep else None
        if layer.locked_data_level != wanted:
            layer.locked_data_level = wanted
