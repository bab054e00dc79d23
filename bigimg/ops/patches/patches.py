"""``bigimg.patches``: its arguments are checked here; :mod:`bigimg.ops.patches.sequence` does the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack, get_args

import numpy as np

from bigimg.errors import UsageError
from bigimg.geometry.lengths import Pixels, read_pixels
from bigimg.lazy.node_of_array import opened_pixels
from bigimg.opening.open import Memory, Source
from bigimg.opening.open import open as open_image
from bigimg.ops.arguments import as_number, by_axis
from bigimg.ops.masks import checked_fill
from bigimg.ops.patches.coverage import CoveredGrid, CoveredRandom
from bigimg.ops.patches.cutting import Cutter
from bigimg.ops.patches.positions import Edge, Grid, Line, Positions, Random, key_of
from bigimg.ops.patches.sequence import Patches
from bigimg.ops.patches.sources import labels_of, mask_cutter, reader_of
from bigimg.types import Opening

LEAST = 0.5
"""Share of a patch that a mask must cover, by default."""

type Sizes = Pixels
"""One number for all axes of space, one each for the last axes, or by name."""


def patches(
    img: Source,
    size: Sizes,
    *,
    stride: Sizes | None = None,
    overlap: Sizes | None = None,
    n: int | None = None,
    seed: int | None = None,
    edge: Edge = "shift",
    fill: float = 0,
    where: Any = None,
    min_fraction: float | None = None,
    level: int = 0,
    memory: Memory = None,
    **opening: Unpack[Opening],
) -> Patches:
    """Return patches of ``img`` as a lazy sequence: a grid, or ``n`` at random positions.

    Parameters
    ----------
    img : DataArray, DataTree, Store, path or anything that opens
    size : int, sequence or mapping
        Pixels of a patch: one number for all axes of space, one each for the last axes, as ``(height, width)``,
        or by name; or a text, as ``"y=174,x=187"``. A patch has one pixel of the axes that are left out, and loses
        them; channels are kept whole.
    stride, overlap : int, sequence or mapping, optional
        In a grid: pixels from one patch to the next, or pixels that both share. Side by side by default.
    n : int, optional
        So many patches at random positions inside the image, instead of a grid. Each position is drawn independently
        and is equally likely, so patches may overlap or coincide.
    seed : int, optional
        Seed of the random positions. The position of patch i depends on the seed and i only, not on ``n``. Without a
        seed the positions differ each time.
    edge : {"shift", "pad", "drop"}
        The last patch of a grid where it would reach beyond the image: moved back to the edge, filled up with
        ``fill``, or left out.
    where : mask, optional
        Keep the patches with a share of at least ``min_fraction`` of true pixels. The mask has booleans, with or
        without the axis c; all channels count. A mask of another level or resolution is resampled by its
        coordinates. It is read when the patches are counted, before the image is read.
    min_fraction : float, optional
        From 0 to 1, of ``where``; 0.5 by default. What lies beyond the image counts as false.
    level, memory, **opening :
        As in :func:`bigimg.open`.

    Returns
    -------
    Patches
        Items are DataArrays. A grid counts in C order, the last axis fastest.

    Raises
    ------
    UsageError
        A patch is larger than the image or has no pixels, a stride or overlap is impossible, options contradict,
        or the mask does not fit.
    BudgetError
        Not even one patch fits ``memory``.
    """
    image = open_image(img, level=level, memory=memory, **opening)
    reader, labels = reader_of(image), labels_of(image)
    spec = reader.spec
    names = tuple(name for name in spec.dims if name != "c")
    shape = dict(zip(spec.dims, spec.shape, strict=True))
    if edge not in get_args(Edge.__value__):
        raise UsageError(f"edge={edge!r}: give one of {', '.join(get_args(Edge.__value__))}")
    asked = by_name("size", size, names)
    patch = {name: asked.get(name, 1) for name in names}
    check_sizes(patch, shape, padded=edge == "pad" and n is None)
    lines = tuple(
        Line(shape[name], patch[name], step, edge)
        for name, step in strides(patch, asked, stride, overlap).items()
    )
    cutter = Cutter(
        reader,
        tuple(shape[name] if name == "c" else patch[name] for name in spec.dims),
        scaling=None if (pixels := opened_pixels(image)) is None else pixels.scaling,
        dtype=image.dtype,
        fill=checked_fill(fill, image.dtype),
    )
    positions: Positions
    if n is None:
        if seed is not None:
            raise UsageError(f"seed={seed}: a grid has nothing random; give n= too, or no seed")
        positions = Grid(lines)
    else:
        if stride is not None or overlap is not None or edge != "shift":
            raise UsageError(f"n={n}: random patches have no stride, overlap or edge; leave these out")
        if not isinstance(n, int | np.integer) or n < 1:
            raise UsageError(f"n={n!r}: give a whole number of at least 1")
        seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        if not isinstance(seed, int | np.integer) or seed < 0:
            raise UsageError(f"seed={seed!r}: give a whole number, 0 or more")
        seed = int(seed)
        positions = Random(tuple(shape[k] for k in names), tuple(patch[k] for k in names), n, key_of(seed))
    if where is None and min_fraction is not None:
        raise UsageError(f"min_fraction={min_fraction}: it is of a mask; give where= too, or leave it out")
    if where is not None:
        share = LEAST if min_fraction is None else min_fraction
        min_fraction = as_number("min_fraction", share, "a number from 0 to 1")
        if not 0 <= min_fraction <= 1:
            raise UsageError(f"min_fraction={min_fraction:g}: give a number from 0 to 1")
        mask = mask_cutter(where, image, spec, patch, level, memory)
        mask.fit(memory, of=4, counted=True)
        covered = CoveredGrid if isinstance(positions, Grid) else CoveredRandom
        positions = covered(positions, mask, min_fraction)  # type: ignore[arg-type]
    shared = None if overlap is None else [line.patch - line.stride for line in lines]
    cutter.fit(memory, of=1 if where is None else 2, overlap=shared)
    labels = labels.dropping(tuple(name for name in names if name not in asked))
    return Patches(cutter, positions, labels, reader.source, seed=seed)


def by_name(what: str, given: Sizes, names: Sequence[str]) -> dict[str, int]:
    """Return numbers of pixels by the name of the axis.

    Raises
    ------
    UsageError
        An axis is not there, a number is none, or there are too many.
    """
    found = by_axis(
        what, read_pixels(given, what), names, one=[name for name in names if name != "t"], fewest=1
    )
    for name, number in found.items():
        if isinstance(number, bool) or not isinstance(number, int | np.integer):
            raise UsageError(f"{what} {number!r} along {name}: give a whole number of pixels")
    return {name: int(found[name]) for name in names if name in found}


def check_sizes(patch: Mapping[str, int], shape: Mapping[str, int], *, padded: bool) -> None:
    """Refuse a patch without pixels or, unless ``padded``, larger than the image."""
    for name, number in patch.items():
        if number < 1:
            raise UsageError(f"size {number} along {name}: give 1 to {shape[name]}")
        if number > shape[name] and not padded:
            raise UsageError(
                f"size {number} along {name}: the image has {shape[name]} pixels; give 1 to {shape[name]}, or "
                "edge='pad' for a grid"
            )


def strides(
    patch: Mapping[str, int], asked: Mapping[str, int], stride: Sizes | None, overlap: Sizes | None
) -> dict[str, int]:
    """Return the pixels from one patch to the next for each axis; 1 along axes without a size.

    Raises
    ------
    UsageError
        Both are given, or one is impossible.
    """
    if stride is not None and overlap is not None:
        raise UsageError(f"stride={stride} and overlap={overlap} say the same thing twice; give one")
    found = dict(patch)
    named = tuple(asked)
    if stride is not None:
        for name, number in by_name("stride", stride, named).items():
            if number < 1:
                raise UsageError(f"stride {number} along {name}: give at least 1")
            found[name] = number
    if overlap is not None:
        for name, number in by_name("overlap", overlap, named).items():
            if not 0 <= number < patch[name]:
                raise UsageError(
                    f"overlap {number} along {name}: a patch has {patch[name]} pixels; give 0 to {patch[name] - 1}"
                )
            found[name] = patch[name] - number
    return found
