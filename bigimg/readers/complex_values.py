"""Complex values: an image has real ones, so a reader gives one part of them, which a person chooses.

A reader of complex values has the names of their parts in ``parts``; its spec describes any one of them, and
``of_part`` returns the reader of one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bigimg.errors import InputError
from bigimg.geometry.spec import ImageSpec
from bigimg.reader import CHOOSE_PART
from bigimg.types import Array, DType, Part

_FUNCTIONS: dict[Part, Callable[[Array], Array]] = {
    "real": np.real, "imaginary": np.imag, "magnitude": np.abs, "phase": np.angle,
}  # fmt: skip


def part_of(values: Array, part: Part | None) -> Array:
    """Return one part of complex ``values``, as numpy computes it; the phase is in radians.

    Raises
    ------
    InputError
        No part was chosen.
    """
    if part is None:
        raise InputError(f"the values are {values.dtype}: choose {CHOOSE_PART}")
    # Strided numbers may go through another loop of numpy, whose last digit may differ.
    return _FUNCTIONS[part](np.ascontiguousarray(values))


def is_complex(dtype: DType) -> bool:
    """Return whether ``dtype`` is complex, of at most two float64."""
    return dtype.kind == "c" and dtype.itemsize <= 16


def real_of(dtype: DType) -> DType:
    """Return the type of one part of ``dtype``: float32 of complex64."""
    return np.dtype(f"f{dtype.itemsize // 2}")


def of_one_part(spec: ImageSpec, part: Part) -> ImageSpec:
    """Return the description of one part of complex values: ``spec`` with a note that says which."""
    unit = " in radians" if part == "phase" else ""
    return replace(spec, notes=(*spec.notes, f"its values are complex: this is their {part}{unit}"))
