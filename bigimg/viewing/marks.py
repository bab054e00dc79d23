"""Body directions and the scale bar: drawn into a picture if they have room there.

The size of a picture on the screen is known only when it is drawn, because figures are laid out late and windows are
resized. So each mark measures its room when it is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LETTERS_ALONG = 3
"""How many letters must fit along an axis, so that the two at its ends are clearly apart."""


class Letter(Text):
    """A body direction near one edge of a picture."""

    def __init__(self, letter: str, position: tuple[float, float], ax: Axes) -> None:
        across = {0.02: "left", 0.98: "right"}.get(position[0], "center")
        down = {0.02: "bottom", 0.98: "top"}.get(position[1], "center")
        outline = [withStroke(linewidth=2, foreground="black")]
        super().__init__(
            *position, letter, transform=ax.transAxes, ha=across, va=down, color="white", weight="bold",
            path_effects=outline,
        )  # fmt: skip
        self.picture = ax
        self.along = 0 if across != "center" else 1
        """Index of the axis, across or down, at whose end the letter is."""

    def has_room(self, renderer: Any) -> bool:
        """Return whether there is room for the letter."""
        high, whole = self.get_window_extent(renderer).height, self.picture.get_window_extent(renderer)
        sides = (whole.width, whole.height)
        return sides[self.along] >= LETTERS_ALONG * high and sides[1 - self.along] >= high

    def draw(self, renderer: Any) -> None:
        """Draw the mark if there is room."""
        if self.has_room(renderer):
            super().draw(renderer)


class ScaleBar(AnchoredSizeBar):  # type: ignore[misc]  # it has no types
    """A bar at the lower right, or beside or above a letter there; it is not drawn if it fits nowhere."""

    box: Bbox | None = None

    def get_bbox_to_anchor(self) -> Bbox:
        """Return the part of the picture in whose corner the bar is, in pixels of the screen."""
        return super().get_bbox_to_anchor() if self.box is None else self.box

    def find_box(self, renderer: Any) -> bool:
        """Choose the first part of the picture where the bar covers no letter; return whether there is one."""
        whole = self.axes.get_window_extent(renderer)
        letters = [each for each in self.axes.texts if isinstance(each, Letter) and each.has_room(renderer)]
        taken = [letter.get_window_extent(renderer) for letter in letters]
        for self.box in _parts(whole, taken):
            box = self.get_window_extent(renderer)
            inside = whole.x0 <= box.x0 and whole.y0 <= box.y0 and box.x1 <= whole.x1 and box.y1 <= whole.y1
            if inside and not any(box.overlaps(letter) for letter in taken):
                return True
        self.box = None
        return False

    def draw(self, renderer: Any) -> None:
        """Draw the mark if there is room."""
        if self.find_box(renderer):
            super().draw(renderer)


def _parts(whole: Bbox, taken: Sequence[Bbox]) -> Iterator[Bbox]:
    yield whole
    for box in taken:
        yield Bbox.from_extents(whole.x0, whole.y0, box.x0, whole.y1)
        yield Bbox.from_extents(whole.x0, box.y1, whole.x1, whole.y1)
