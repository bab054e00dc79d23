"""How an image is shown first: windows, visible channels and colours of ids, which go along from store to store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bigimg.omezarr.parse import ome_block
from bigimg.omezarr.store import Store
from bigimg.types import Json


@dataclass(frozen=True, slots=True)
class Shown:
    """What goes along from one store to another, or is asked for."""

    windows: tuple[tuple[float, float] | None, ...] = ()
    """One for each channel, in stored values, None for one that the pixels say; empty where they say all."""
    active: tuple[bool, ...] = ()
    """One for each channel."""
    label: Mapping[str, Json] = field(default_factory=dict)
    """Of a label image ``colors`` and ``properties``, as OME-Zarr has them."""


def shown_of(store: Store, *, keep_metadata: bool = False) -> Shown:
    """Return what ``store`` says; the properties of ids, which may hold any text, only with ``keep_metadata``."""
    channels = store.spec().sizes.get("c", 1)
    shown = store.image.shown if len(store.image.shown) == channels else ()
    windows = tuple(each.window for each in shown if each.window is not None)
    said = label_block(store)
    kept = {"colors": _colors(said.get("colors"))}
    if keep_metadata:
        kept["properties"] = said.get("properties")
    return Shown(
        windows if len(windows) == channels else (),
        tuple(each.active for each in shown),
        {key: value for key, value in kept.items() if isinstance(value, list) and value},
    )


def label_block(store: Store) -> Mapping[str, Any]:
    """Return what the store says of its ids as a label image."""
    node = store.tree.node(store.group) or {}
    said = ome_block(node.get("attributes", {})).get("image-label")
    return said if isinstance(said, Mapping) else {}


def _colors(given: Any) -> Any:
    """Return those colours that are as the specification has them: an id, and four numbers from 0 to 255."""
    if not isinstance(given, list):
        return None
    return [
        {"label-value": each["label-value"], "rgba": list(each["rgba"])}
        for each in given
        if isinstance(each, Mapping) and _is_color(each.get("label-value"), each.get("rgba"))
    ]


def _is_color(label: Any, rgba: Any) -> bool:
    numbers = (
        isinstance(rgba, list) and len(rgba) == 4 and all(type(n) is int and 0 <= n <= 255 for n in rgba)
    )
    return numbers and type(label) in (int, float)
