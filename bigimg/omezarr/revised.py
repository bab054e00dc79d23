"""The attributes of an image with another spacing, other channels and windows; what others added stays."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

from bigimg.geometry.levels import Level
from bigimg.geometry.spec import ImageSpec
from bigimg.omezarr.finer import finer_of
from bigimg.omezarr.metadata import Windows, image_attributes
from bigimg.omezarr.parse import ome_block
from bigimg.types import Method, Version

FOLLOWING = ("world", "window", "channels", "source")
"""What of our own block says the same as OME-Zarr."""


def revised(
    attributes: Mapping[str, Any],
    spec: ImageSpec,
    levels: Sequence[Level],
    *,
    method: Method,
    version: Version,
    windows: Windows | None,
    shown: bool,
) -> dict[str, Any]:
    """Return ``attributes`` as they are for ``spec``.

    Parameters
    ----------
    attributes : mapping
        Of an image that bigimg wrote.
    spec : ImageSpec
    levels : sequence of Level
        Those that are stored, with the places that ``spec`` gives them.
    method, version : str
        How the levels were made; version of OME-Zarr.
    windows : sequence of (low, high), optional
        Display window of each channel in stored values.
    shown : bool
        Whether names, colours and windows of channels are written too, or stay as the file has them.
    """
    found = copy.deepcopy(dict(attributes))
    made: Mapping[str, Any] = image_attributes(
        spec, levels, method=method, name="", windows=windows, version=version,
        finer=finer_of(found["bigimg"]),
    )  # fmt: skip
    theirs, ours = cast(dict[str, Any], ome_block(found)), ome_block(made)
    _place(theirs["multiscales"][0], ours["multiscales"][0])
    if shown and "omero" in ours:
        _show(theirs, ours["omero"])
    found["bigimg"] = {
        **found["bigimg"],
        **{key: made["bigimg"][key] for key in FOLLOWING if key in made["bigimg"]},
    }
    return found


def _place(theirs: dict[str, Any], ours: Mapping[str, Any]) -> None:
    """Write axes, units and transformations into a multiscale."""
    for entry, made in zip(theirs["datasets"], ours["datasets"], strict=True):
        entry["coordinateTransformations"] = made["coordinateTransformations"]
    for entry, made in zip(theirs.get("axes", ()), ours.get("axes", ()), strict=True):
        entry |= made
        if "unit" not in made:
            entry.pop("unit", None)
    # Of 0.6 others may have added coordinate systems; before, this key is a transformation of all levels.
    systems = {system["name"] for system in ours.get("coordinateSystems", ())}
    between = ours.get("coordinateTransformations", [])
    if systems:
        added = [each for each in theirs["coordinateSystems"] if each.get("name") not in systems]
        theirs["coordinateSystems"] = [*ours["coordinateSystems"], *added]
        known = theirs.get("coordinateTransformations", ())
        between = [*between, *(each for each in known if _name(each.get("output")) not in systems)]
    if between:
        theirs["coordinateTransformations"] = between
    else:
        theirs.pop("coordinateTransformations", None)


def _name(system: Any) -> Any:
    return system.get("name") if isinstance(system, Mapping) else system


def _show(theirs: dict[str, Any], ours: Mapping[str, Any]) -> None:
    """Write label, colour and window of each channel; a range in the file is widened where the window needs it."""
    entries = theirs["omero"].get("channels") if isinstance(theirs.get("omero"), Mapping) else None
    if not isinstance(entries, list) or len(entries) != len(ours["channels"]):
        theirs["omero"] = ours
        return
    for entry, made in zip(entries, ours["channels"], strict=True):
        window, known = dict(made["window"]), entry.get("window")
        if isinstance(known, Mapping) and {"min", "max"} <= known.keys():
            window["min"] = min(known["min"], window["start"])
            window["max"] = max(known["max"], window["end"])
        entry |= {"label": made["label"], "color": made["color"], "window": {**(known or {}), **window}}
