"""``view``: show an image in a new napari window, and connect layers of ours to the window they are in."""

from __future__ import annotations

import importlib.util
import math
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Unpack

from bigimg.errors import MissingExtraError, UsageError
from bigimg.opening.open import Source
from bigimg.opening.plates import Plate, plate_in
from bigimg.types import FromSource, Opening
from bigimg.version import install_line
from bigimg.viewing.napari.layers import Layer, layers_of

if TYPE_CHECKING:
    import napari

MOST_VOXELS = 1 << 26
"""The most voxels of a level in 3D: 400 x 400 x 400, which take 270 MB as float32 on the graphics card."""
MOST_DEPTH = 2048
"""The most voxels a side of a volume that every graphics card supports."""
DAMAGED = " (damaged)"
"""End of the name of a layer of which a part cannot be read."""
SCREENLESS = ("offscreen", "minimal", "vnc", "xcb-offscreen")
"""Platforms of Qt that need no screen."""


def view(
    source: Source,
    *,
    block: bool | None = None,
    levels: FromSource | None = None,
    **opening: Unpack[Opening],
) -> napari.Viewer:
    """Show an image in napari with levels, channels, labels, scale, units and contrast; pixels are read as needed.

    Parameters
    ----------
    source : path, URL, DataArray, DataTree, array, Plate
        Of a plate the first field of each well is shown at its place. An image that is too large to be shown without
        levels is refused; the message has the command that makes them.
    block : bool, optional
        Whether to return only when the window is closed. By default True except in IPython, which keeps it open.
    levels, **opening
        As in :func:`bigimg.open`; without ``series`` all images of a store, the first one visible.

    Returns
    -------
    napari.Viewer

    Raises
    ------
    MissingExtraError
        napari or Qt is not installed; the message has the line that installs it.
    UsageError
        There is no screen.
    InputError, IntegrityError, BudgetError
        As :func:`bigimg.open`.
    """
    _check_screen(source)
    layers = layers_of(source, levels=levels, **opening)
    viewer = new_viewer()
    tell_damage(layers)
    follow(viewer)
    for data, options, kind in layers:
        getattr(viewer, f"add_{kind}")(data, **options)
    if layers and layers[0][1].get("units"):
        viewer.scale_bar.visible = True  # napari draws it in the units of the layers
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
    line = install_line("napari", "napari[pyqt6]")
    if importlib.util.find_spec("napari") is None:
        raise MissingExtraError(f"images are viewed by napari, which is not installed: {line}")
    try:
        import napari.qt  # without Qt a Viewer can be made, but no window appears
    except ImportError as error:
        raise MissingExtraError(
            f"napari has no Qt here to draw with: {line}, or another of its choices"
        ) from error
    return napari.Viewer(title="bigimg")


def tell_damage(layers: Sequence[Layer]) -> None:
    """Let ``layers`` report each damaged part once in napari, and draw stripes there."""
    for data in (data for data, _, kind in layers if kind != "points"):
        levels = data if isinstance(data, list) else [data]
        for level in levels:
            level.tell = _tell
        levels[-1].is_thumbnail = len(levels) > 1


def _tell(message: str) -> None:
    from napari.utils.notifications import show_error

    show_error(message)


def _name_damage(layer: Any) -> None:
    """Write into name and metadata of a layer of ours that a part of it cannot be read."""
    levels = layer.data if layer.multiscale else [layer.data]
    if damaged := [message for level in levels for message in getattr(level, "damaged", ())]:
        layer.metadata["bigimg"]["damaged"] = damaged
        if not layer.name.endswith(DAMAGED):
            layer.name += DAMAGED


def _check_screen(source: Source) -> None:
    """Raise UsageError without a screen, before anything is imported."""
    if sys.platform != "linux" or os.environ.get("QT_QPA_PLATFORM", "").split(":")[0] in SCREENLESS:
        return
    if not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
        name = os.fspath(source) if isinstance(source, str | os.PathLike) else "IMAGE"
        verb = "montage" if isinstance(plate_in(source, {}), Plate) else "thumbnail"
        raise UsageError(
            f"{name}: there is no screen here to open a window on; write a picture instead: "
            f"bigimg {verb} {name} picture.png"
        )


# ----------------------------------------------------------------------------------------------- three dimensions


def level_in_3d(shapes: list[tuple[int, ...]]) -> int:
    """Return the finest level that can be shown as a volume; napari itself takes the coarsest.

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
    """Let our layers in ``viewer`` name their damage, and choose their level in three dimensions."""
    if getattr(viewer, "_bigimg_follows", False):
        return
    viewer.dims.events.ndisplay.connect(lambda event: _choose_levels(viewer))
    viewer.layers.events.inserted.connect(lambda event: _choose_levels(viewer))
    viewer.layers.events.inserted.connect(lambda event: _watch(event.value))
    viewer.layers.events.inserted.connect(lambda event: _orient(viewer, event.value))
    for layer in viewer.layers:
        _watch(layer)
    with suppress(
        AttributeError
    ):  # a viewer that takes no attribute may be followed twice, which has no effect
        object.__setattr__(viewer, "_bigimg_follows", True)


def _watch(layer: Any) -> None:
    """Name the damage of a layer of ours that is known, and the damage that is found later."""
    if "bigimg" in layer.metadata:
        _name_damage(layer)
        layer.events.set_data.connect(lambda event: _name_damage(layer))


def _orient(viewer: Any, layer: Any) -> None:
    """Look at the first layer as its convention says: anterior and superior up, and right at the right or the left.

    The camera is turned and no layer, so that layers of one body lie on one another. Two of its axes are turned
    together: one alone would mirror a body in three dimensions.
    """
    convention = layer.metadata.get("bigimg", {}).get("convention")
    turned = {"radiological": ("towards", "up", "left"), "neurological": ("away", "up", "right")}
    if convention in turned and len(viewer.layers) == 1 and hasattr(viewer.camera, "orientation"):
        viewer.camera.orientation = turned[convention]


def follow_current() -> None:
    """Follow the viewer that opens a file with the plugin, if there is one."""
    napari = sys.modules.get("napari")
    if napari is not None and (viewer := napari.current_viewer()) is not None:
        follow(viewer)


def _choose_levels(viewer: Any) -> None:
    for layer in viewer.layers:
        # Older versions of napari have no locked_data_level and always show the coarsest level.
        ours = "bigimg" in layer.metadata and getattr(layer, "multiscale", False)
        if not ours or not hasattr(layer, "locked_data_level"):
            continue
        deep = viewer.dims.ndisplay == 3 and layer.ndim >= 3
        wanted = level_in_3d([tuple(shape) for shape in layer.level_shapes]) if deep else None
        if layer.locked_data_level != wanted:
            layer.locked_data_level = wanted
