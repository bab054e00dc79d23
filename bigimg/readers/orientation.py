"""The eight orientations that TIFF and EXIF know (tag 274): how stored rows and columns become the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bigimg.types import Array, Region


@dataclass(frozen=True, slots=True)
class Orientation:
    """Flips of the rows and columns as stored, then the swap of the two."""

    flip_y: bool = False
    flip_x: bool = False
    swap: bool = False

    def stored(self, region: Region, height: int, width: int) -> Region:
        """Return where ``region``, along ..., y and x of the picture, lies in ``height`` x ``width`` as stored."""
        *lead, y, x = region
        if self.swap:
            y, x = x, y
        if self.flip_y:
            y = slice(height - y.stop, height - y.start)
        if self.flip_x:
            x = slice(width - x.stop, width - x.start)
        return (*lead, y, x)

    def shown_edges(self, y: Sequence[int], x: Sequence[int]) -> list[list[int]]:
        """Return the edges of rows and columns of cells of the picture, from those of cells as stored."""
        rows, columns = (
            [own[-1] - edge for edge in reversed(own)] if flip else list(own)
            for own, flip in ((y, self.flip_y), (x, self.flip_x))
        )
        return [columns, rows] if self.swap else [rows, columns]

    def shown(self, stored: Array, rows: int = -2) -> Array:
        """Return a view of ``stored`` as the picture has it; axis ``rows`` is y and the next one x."""
        flips = ((rows, self.flip_y), (rows + 1, self.flip_x))
        flipped = np.flip(stored, tuple(axis for axis, flip in flips if flip))
        return flipped.swapaxes(rows, rows + 1) if self.swap else flipped


def orientation(tag: int) -> Orientation:
    """Return the orientation of ``tag``; that of a picture stored as it is shown for values out of 1 to 8."""
    return Orientation(flip_y=tag in (3, 4, 6, 7), flip_x=tag in (2, 3, 7, 8), swap=tag in (5, 6, 7, 8))
