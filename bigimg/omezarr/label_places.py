"""Whether a label image lies on its image: pixel on pixel on one of its levels."""

from __future__ import annotations

from collections.abc import Sequence

from bigimg.geometry.axes import Axis
from bigimg.geometry.levels import level_of_sizes, same_place
from bigimg.geometry.spec import ImageSpec
from bigimg.omezarr.store import Store


def level_under(label: ImageSpec, image: Store) -> int | None:
    """Return the level of ``image`` that has as many pixels as ``label`` along each of its axes; None if none has."""
    return level_of_sizes(image.dims, [level.shape for level in image.levels], label.sizes)


def lies_on(label: ImageSpec, axes: Sequence[Axis]) -> bool:
    """Return whether each axis of ``label`` has spacing, origin and unit of that in ``axes``."""
    by_name = {axis.name: axis for axis in axes}
    under = [by_name[name] for name in label.dims]
    (spacing, origin), (wanted, start) = (
        ([axis.spacing for axis in each], [axis.origin for axis in each]) for each in (label.axes, under)
    )
    return (
        [axis.unit for axis in label.axes] == [axis.unit for axis in under]
        and same_place(spacing, wanted, wanted)
        and same_place(origin, start, wanted)
    )
