"""Shapes of chunks and shards: a chunk is the unit of reading, a shard the unit of writing.

They depend on the image only, not on the budget or the number of workers, so the same image gives the same store.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from bigimg.errors import UsageError
from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import ImageSpec
from bigimg.types import Shape

SIDE_2D = 512
"""Pixels along y and x of a chunk of a plane: 2**18 values, 0.3 ms to decode, a fraction of a screen."""
SHARD_RATIO = 4
"""Chunks along each side of a shard: 16 or 64 chunks an object, 4 to 50 MB, three levels in one pass."""
COLORS = {"R", "G", "B", "A", "C", "M", "Y", "K", "grey"}
"""Names of channels that belong to one colour picture and share a shard."""


def default_chunks(axes: Sequence[Axis]) -> Shape:
    """Return the chunk shape for an image with ``axes``: 512 x 512, or 64 x 64 x 64 for volumes.

    Thin volumes get flat chunks of about as many values. A chunk has one ``t`` and one ``c``.

    >>> default_chunks((Axis("z", 300), Axis("y", 2000), Axis("x", 40)))
    (64, 64, 40)
    >>> default_chunks((Axis("c", 3), Axis("z", 5), Axis("y", 2000), Axis("x", 2000)))
    (1, 5, 256, 256)
    """
    depth = min(64, next((axis.size for axis in axes if axis.name == "z"), 1))
    side = SIDE_2D >> round(math.log2(depth) / 2)
    wanted = {"t": 1, "c": 1, "z": depth, "y": side, "x": side}
    return tuple(min(wanted[axis.name], axis.size) for axis in axes)


def default_shards(spec: ImageSpec, chunks: Shape) -> Shape:
    """Return the shard shape: 4 chunks along each spatial axis, fewer if the image is smaller, and one ``t``.

    All channels of a colour picture share a shard, because they are read together.
    """
    color = is_color(spec)
    return tuple(
        cut_shard(axis.size, chunk, chunk * SHARD_RATIO)
        if axis.type == "space"
        else (axis.size if axis.name == "c" and color else chunk)
        for axis, chunk in zip(spec.axes, chunks, strict=True)
    )


def is_color(spec: ImageSpec) -> bool:
    """Return whether the channels are the colours of one picture."""
    return "c" in spec.dims and 0 < len(spec.channels) <= 4 and {c.name for c in spec.channels} <= COLORS


def cut_shard(size: int, chunk: int, shard: int) -> int:
    """Return ``shard``, or the smallest power of two of chunks that covers ``size`` if that is shorter.

    >>> cut_shard(600, 512, 2048), cut_shard(100, 100, 400), cut_shard(10000, 512, 2048)
    (1024, 100, 2048)
    """
    return min(shard, chunk * (1 << (-(-size // chunk) - 1).bit_length()))


def checked_chunks(spec: ImageSpec, chunks: Shape | None, shards: Shape | None) -> tuple[Shape, Shape]:
    """Return chunk and shard shape: those of the user or the default, cut to the image; -1 is all of an axis.

    Raises
    ------
    UsageError
        A number is 0 or below -1, the lengths do not match the axes, or a shard is not a multiple of its chunk.
    """
    names = " ".join(spec.dims)
    for what, given in (("chunks", chunks), ("shards", shards)):
        if given is not None and (len(given) != len(spec.axes) or any(n < 1 and n != -1 for n in given)):
            raise UsageError(
                f"{what} {given} do not fit axes {names}: give a number of at least 1 for each, or -1 for all"
            )
    asked = chunks and tuple(n if c == -1 else c for c, n in zip(chunks, spec.shape, strict=True))
    cut = default_chunks(spec.axes) if asked is None else tuple(map(min, asked, spec.shape))
    if shards is None:
        return cut, default_shards(spec, cut)
    unit = asked or cut
    shards = tuple(-(-n // c) * c if s == -1 else s for s, c, n in zip(shards, unit, spec.shape, strict=True))
    if any(s % c for s, c in zip(shards, unit, strict=True)):
        raise UsageError(f"shards {shards} are not multiples of chunks {unit} (axes {names})")
    ratio = (s // c for s, c in zip(shards, unit, strict=True))
    wanted = tuple(c * r for c, r in zip(cut, ratio, strict=True))
    return cut, tuple(map(cut_shard, spec.shape, cut, wanted))
