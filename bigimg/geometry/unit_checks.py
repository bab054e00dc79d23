"""Checks of spacing, units and matrices that a user gives: a unit that OME-Zarr does not have is refused.

The unit of a file is never refused; :func:`~bigimg.geometry.axes.long_unit` passes unknown ones unchanged.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.affine import Affine, is_singular, world_from_index_affine
from bigimg.geometry.axes import MILLIMETERS, Axis, long_unit

_PREFIXES = (
    "yocto", "zepto", "atto", "femto", "pico", "nano", "micro", "milli", "centi", "deci", "", "hecto", "kilo", "mega",
    "giga", "tera", "peta", "exa", "zetta", "yotta",
)  # fmt: skip
LENGTHS = frozenset(
    {f"{prefix}meter" for prefix in _PREFIXES} | {"angstrom", "foot", "inch", "mile", "parsec", "yard"}
)
"""Units of space in the list of OME-Zarr."""
AGREEING = 1e-3
"""Part by which two statements of one spacing may differ: headers keep few digits."""
TIMES = frozenset({f"{prefix}second" for prefix in _PREFIXES} | {"minute", "hour", "day"})
"""Units of time in the list of OME-Zarr."""


def asked_unit(unit: str | None) -> str | None:
    """Return the long name of a unit that a user gives; None for no unit.

    >>> asked_unit("um"), asked_unit("micrometres"), asked_unit(None)
    ('micrometer', 'micrometer', None)

    Raises
    ------
    UsageError
        OME-Zarr has no such unit.
    """
    name = long_unit(unit)
    if name is None or name in LENGTHS | TIMES:
        return name
    plain = name.lower().removesuffix("s").replace("metre", "meter")
    if plain in LENGTHS | TIMES:
        return plain
    close = difflib.get_close_matches(plain, sorted(LENGTHS | TIMES), n=1, cutoff=0.75)
    meant = f"did you mean {close[0]}? Else " if close else ""
    raise UsageError(
        f"unit {unit!r} is not in OME-Zarr: {meant}give nm, um, mm, cm, m, ms, s, min, h or the long name of another "
        "unit; for pixels give no unit"
    )


def check_spacing(given: object, by_axis: Mapping[str, float]) -> None:
    """Refuse a spacing that is no distance between pixels.

    A negative spacing is allowed for a named axis, because some axes run backwards. As one number for all axes it is a
    mistake.

    Raises
    ------
    UsageError
        A number is 0, not finite, or negative without the name of its axis.
    """
    for name, step in by_axis.items():
        if not step or not math.isfinite(step):
            raise UsageError(f"spacing {step} along {name}: it must be finite and not 0; give another number")
        if step < 0 and not isinstance(given, Mapping):
            raise UsageError(
                f"spacing {step} along {name}: a distance is above zero; for an axis that runs backwards give "
                f"{{{name!r}: {step}}}"
            )


def placed(
    axes: Sequence[Axis], affine: Affine, given: Collection[str] = ()
) -> tuple[tuple[Axis, ...], Affine]:
    """Return ``axes`` with the spacings that ``affine`` has, and the ``world`` of these coordinates.

    Parameters
    ----------
    axes : sequence of Axis
        An axis of space without a unit gets millimetres.
    affine : tuple of 4 rows
        Pixel index (x, y, z) to RAS+ millimetres.
    given : collection of str
        Axes whose spacing a user gave, which must agree.

    Raises
    ------
    UsageError
        The affine is singular or not finite, a spacing contradicts it, or a unit is no length.
    """
    matrix = np.asarray(affine)
    if is_singular(matrix):
        raise UsageError(
            "affine: its axes span no space (a column is 0, not finite, or along another); correct it"
        )
    found = []
    for axis in axes:
        if axis.type == "space":
            unit = axis.unit or "millimeter"
            if unit not in MILLIMETERS:
                raise UsageError(
                    f"affine leads to millimetres, and the unit of {axis.name} is {unit}; give a length"
                )
            step = float(np.linalg.norm(matrix[:3, "xyz".index(axis.name)])) / MILLIMETERS[unit]
            if axis.name in given and not math.isclose(abs(axis.spacing), step, rel_tol=AGREEING):
                said = f"affine has a spacing of {step:.6g} {unit} along {axis.name}, and spacing says {axis.spacing:g}"
                raise UsageError(f"{said}; leave spacing out, or correct one of them")
            axis = replace(axis, spacing=axis.spacing if axis.name in given else step, unit=unit)
        found.append(axis)
    return tuple(found), world_from_index_affine(matrix, found)


def check_world(world: Affine, axes: Sequence[Axis]) -> None:
    """Refuse a matrix from coordinates to millimetres that has other lengths than the coordinates.

    A turn alone, whose columns have length 1, is taken for coordinates in any unit. Without a unit all axes must have
    one scale, unless their spacing is 1: then coordinates are indices.

    Raises
    ------
    UsageError
        It has.
    """
    lengths = dict(zip("xyz", np.linalg.norm(np.asarray(world)[:3, :3], axis=0).tolist(), strict=True))
    space = [axis for axis in axes if axis.type == "space"]
    bare = not any(axis.unit in MILLIMETERS for axis in space)
    if bare and all(axis.spacing == 1 for axis in space):
        return
    if all(math.isclose(lengths[axis.name], 1, rel_tol=AGREEING) for axis in space):
        return
    for axis in space:
        want = lengths[space[0].name] if bare else MILLIMETERS.get(axis.unit or "")
        if want is not None and not math.isclose(lengths[axis.name], want, rel_tol=AGREEING):
            unit = axis.unit or "unit"
            said = f"world makes {lengths[axis.name]:.6g} mm of 1 {unit} along {axis.name}, not {want:.6g}"
            meant = (
                "it goes from coordinates, not from pixels, to millimetres: an affine of pixels is affine="
            )
            raise UsageError(f"{said}; {meant}")
