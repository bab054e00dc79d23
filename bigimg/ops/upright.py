"""Planes of a body as people look at them: superior or anterior up, and one side of the body at the right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bigimg.geometry.affine import is_singular
from bigimg.geometry.orientation import nearest_axes
from bigimg.opening import coordinates

if TYPE_CHECKING:
    import xarray

    from bigimg.types import Convention


@dataclass(frozen=True)
class Turn:
    """How a plane is turned before it is drawn."""

    sides: tuple[str, str]
    """The axes that run down and across."""
    flipped: tuple[str, ...]
    """Those of them that run from their last pixel to the first."""

    def apply(self, plane: xarray.DataArray) -> xarray.DataArray:
        """Return the plane turned, with its sides as its last axes."""
        return plane.isel(dict.fromkeys(self.flipped, slice(None, None, -1))).transpose(..., *self.sides)


def turn_of(plane: xarray.DataArray, convention: Convention | None = None) -> Turn | None:
    """Return how a plane becomes upright; None if it has no world affine, and is drawn as it is.

    Upright is superior or anterior up; a sagittal plane has anterior at the right.

    Parameters
    ----------
    plane : DataArray
        Two axes of space, and any others.
    convention : {"neurological", "radiological", "none"}, optional
        The right of the body is at the left if it is radiological, as in DICOM viewers, else at the right, as in
        nibabel and nilearn. By default what the image says.
    """
    affine = coordinates.affine_of(plane)
    sides = [str(name) for name in plane.dims if name in ("x", "y", "z")]
    if affine is None or len(sides) != 2 or is_singular(affine):
        return None
    nearest = dict(zip("xyz", nearest_axes(affine), strict=True))
    down, across = sorted(sides, key=lambda name: -nearest[name])
    mirrored = nearest[across] == 0 and (convention or coordinates.convention_of(plane)) == "radiological"
    flipped = tuple(
        name
        for name, forward in ((down, False), (across, not mirrored))
        if (affine[nearest[name], "xyz".index(name)] > 0) != forward
    )
    return Turn((down, across), flipped)


def upright(plane: xarray.DataArray, convention: Convention | None = None) -> xarray.DataArray:
    """Return a plane as :func:`turn_of` says."""
    turn = turn_of(plane, convention)
    return plane if turn is None else turn.apply(plane)
