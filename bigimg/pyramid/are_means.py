"""Whether a level that another program made holds means of the level below: numbers in, a sentence out.

A *place* is a box of the level and the pixels of the level below that its windows cover. Two questions are asked.

1. Is it as near to the means as its codec allows? Without loss, rounding alone is allowed: a level that is rounded or
   cut off, as the level below was, lies less than 1 off; where axes are halved one after the other, each halving moves
   a value by up to 0.5. With loss, pixels move by more, but a place keeps its mean within 2 % of the range (half a step
   of the first coefficient of JPEG, at quality 20, in this level and in the one below), and the error stays below half
   of the contrast.
2. Is it nearer to the means than to what other programs make: single pixels, means of the middle of a window, means of
   windows that lie one pixel aside? A codec adds about the same error to each, so the true one is the nearest. Measured
   on a slide as JPEG of quality 15 to 95 (docs/design/0023-levels-of-a-source.md).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from bigimg.types import Array, DType, Shape

BIAS = 0.02
"""Of the range of values: how far the mean of a place may lie off, after loss."""
CONTRAST = 0.5
"""Of the standard deviation: the largest error after loss."""
MEANS = ("means", "rounded means", "means that are cut off")
"""What a level may hold."""


class Comparison:
    """Adds up places of one level.

    Parameters
    ----------
    dims : sequence of str
        Names of the axes.
    factors : tuple of int
        Pixels of the level below in a window, along each axis.
    dtype : dtype
        Of the pixels.
    lossy : bool
        Whether this level, or the one below, went through a codec that changes pixels.
    """

    def __init__(self, dims: Sequence[str], factors: Shape, dtype: DType, *, lossy: bool) -> None:
        self.dims, self.factors, self.dtype, self.lossy = dims, factors, dtype, lossy
        self._errors: dict[str, float] = {}
        self._count, self._squares, self._worst, self._allowed, self._bias = 0, 0.0, 0.0, 0.0, 0.0
        self._low, self._high = math.inf, -math.inf

    def add(self, level: Array, below: Array) -> None:
        """Compare one place.

        Parameters
        ----------
        level : ndarray
        below : ndarray
            ``factors`` times as many pixels along each axis.
        """
        seen, fine = level.astype(np.float64), below.astype(np.float64)
        if not (np.isfinite(seen).all() and np.isfinite(fine).all()):
            return
        means = self._of_windows(fine, "mean")
        off = seen - means
        self._worst = max(self._worst, float(np.abs(off).max()))
        self._allowed = max(self._allowed, self._rounding(float(np.abs(fine).max())))
        others = tuple(axis for axis, name in enumerate(self.dims) if name != "c")
        self._bias = max(self._bias, float(np.abs(off.mean(axis=others)).max()))
        self._low, self._high = min(self._low, float(means.min())), max(self._high, float(means.max()))
        # A window that lies aside needs neighbours: the outermost pixels are left out.
        inner = tuple(
            slice(1, -1) if f > 1 and n > 2 else slice(None)
            for n, f in zip(seen.shape, self.factors, strict=True)
        )
        self._count += seen[inner].size
        self._squares += float(means.var(axis=others).mean()) * seen[inner].size
        for name, made in self._candidates(fine, means):
            error = float(np.square(seen[inner] - made[inner]).sum())
            self._errors[name] = self._errors.get(name, 0.0) + error

    @property
    def doubt(self) -> str | None:
        """Why the level holds no means of the level below; None if it does."""
        if not self._count:
            return "no place of it holds measurements alone, so that nothing can be compared"
        nearest = min(
            self._errors, key=self._errors.__getitem__
        )  # of equal ones the first, and means come first
        scale = 255.0 if self.dtype == np.uint8 else self._high - self._low
        little = BIAS * scale + (self.dtype.kind != "f")
        if self._off(nearest) > max(CONTRAST * math.sqrt(self._squares / self._count), little):
            return f"values lie {self._off(MEANS[0]):.4g} off the means on average, as of another picture"
        if nearest not in MEANS:
            return f"it is nearer to {nearest} than to means"
        if self._worst > self._allowed and not self.lossy:
            what = f"values lie up to {self._worst:.4g} off the means"
            return f"{what} where rounding explains {self._allowed:.4g}"
        if self._worst > self._allowed and self._bias > little:
            return f"the mean of a place lies {self._bias:.4g} off, as of other colours"
        return None

    def _off(self, name: str) -> float:
        """Return how far values lie off a candidate on average (root mean square)."""
        return math.sqrt(self._errors[name] / self._count)

    def _rounding(self, largest: float) -> float:
        """Return how far rounding alone moves a value that is made of values up to ``largest``."""
        if self.dtype.kind == "f":
            return float(np.finfo(self.dtype).eps) * math.prod(self.factors) * largest
        return max(1.0, 0.5 * sum(math.ceil(math.log2(f)) for f in self.factors))

    def _candidates(self, fine: Array, means: Array) -> Iterator[tuple[str, Array]]:
        """Yield what programs make of the level below, and what to call it."""
        yield MEANS[0], means
        if self.dtype.kind in "iu":
            yield MEANS[1], np.rint(means)
            yield MEANS[2], np.floor(means)
        halved = [axis for axis, f in enumerate(self.factors) if f > 1]
        every = math.prod(self.factors)
        yield f"one pixel of {every}, the first", self._of_windows(fine, "first")
        yield f"one pixel of {every}, in the middle", self._of_windows(fine, "middle")
        if max(self.factors) > 2:
            yield "means of the middle of each window", self._of_windows(fine, "inner")
        for axis, (by, side) in itertools.product(halved, ((1, "before"), (-1, "behind"))):
            name = f"means of windows that lie one pixel {side} along {self.dims[axis]}"
            yield name, self._of_windows(np.roll(fine, by, axis), "mean")

    def _of_windows(self, fine: Array, what: str) -> Array:
        """Return one value of each window: its mean, that of its middle, its first or its middle pixel."""
        for axis, f in enumerate(self.factors):
            if f == 1:
                continue
            windows = fine.reshape(*fine.shape[:axis], -1, f, *fine.shape[axis + 1 :])
            chosen = {
                "mean": slice(None), "first": slice(0, 1), "middle": slice(f // 2, f // 2 + 1),
                "inner": slice((f - 1) // 2, f // 2 + 1),
            }[what]  # fmt: skip
            fine = windows[(*(slice(None),) * (axis + 1), chosen)].mean(axis=axis + 1)
        return fine
