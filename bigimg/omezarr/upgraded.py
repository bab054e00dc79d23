"""The attributes of an image of OME-Zarr 0.5 as 0.6 has them: named coordinate systems in place of axes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

from bigimg.errors import InputError
from bigimg.geometry.levels import Level
from bigimg.geometry.spec import ImageSpec
from bigimg.omezarr.metadata import image_attributes
from bigimg.omezarr.parse import ome_block
from bigimg.types import Method, Version

SYSTEMS = ("coordinateSystems", "coordinateTransformations")
"""What a multiscale of 0.6 has in place of ``axes``."""


def upgraded(
    attributes: Mapping[str, Any],
    spec: ImageSpec,
    levels: Sequence[Level],
    *,
    method: Method,
    version: Version,
) -> dict[str, Any]:
    """Return ``attributes`` of an image that bigimg wrote as ``version`` has them; what others added stays.

    Raises
    ------
    InputError
        Others added a second multiscale, of which it is not known what it means.
    """
    found = copy.deepcopy(dict(attributes))
    made: Mapping[str, Any] = image_attributes(spec, levels, method=method, name="", version=version)
    theirs, ours = cast(dict[str, Any], ome_block(found)), ome_block(made)
    if len(theirs["multiscales"]) > 1:
        raise InputError(f"its metadata have {len(theirs['multiscales'])} multiscales, and one is upgraded")
    theirs["version"] = version
    multiscale, new = theirs["multiscales"][0], ours["multiscales"][0]
    axes = multiscale.pop("axes", [])
    multiscale.pop("coordinateTransformations", None)  # of all levels: it is part of those of each level now
    multiscale |= {key: new[key] for key in SYSTEMS if key in new}
    first = multiscale["coordinateSystems"][0]
    first["axes"] = [{**old, **axis} for old, axis in zip(axes, first["axes"], strict=True)]
    for entry, level in zip(multiscale["datasets"], new["datasets"], strict=True):
        entry["coordinateTransformations"] = level["coordinateTransformations"]
    return found
