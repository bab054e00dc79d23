"""Whether a label image lies on its image: pixel on pixel on one of its levels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import ImageSpec
from bigimg.omezarr.store import Store

ALIKE = 1e-6
"""Part of a pixel by which places may differ: sums of decimal numbers are rounded."""


def level_under(label: ImageSpec, image: Store) -> int | None:
    """Return the level of ``image`` that has as many pixels as ``label`` along each of its axes; None if none has."""
    sizes = [dict(zip(image.dims, level.shape, strict=True)) for level in image.levels]
    return next((i for i, each in enumerate(sizes) if label.sizes.items() <= each.items()), None)


def lies_on(label: ImageSpec, axes: Sequence[Axis]) -> bool:
    """Return whether each axis of ``label`` has spacing, origin and unit of that in ``axes``."""
    under = {axis.name: axis for axis in axes}
    return all(
        axis.unit == under[axis.name].unit
        and math.isclose(axis.spacing, under[axis.name].spacing, rel_tol=ALIKE)
        and abs(axis.origin - under[axis.name].origin) <= ALIKE * abs(axis.spacing)
        for axis in label.axes
    )
