"""Letters of the body and the scale bar: drawn into a picture where they have room, and left out where not.

How large a picture is on the screen is known when it is drawn, not before: figures are laid out late, and windows
change. So each mark looks then.
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

AIRY = 3
"""Letters that must fit along an axis for the two at its ends to be told apart."""


class Letter(Text):
    """What lies on one side of a picture, near its edge."""

    def __init__(self, letter: str, place: tuple[float, float], ax: Axes) -> None:
        across = {0.02: "left", 0.98: "right"}.get(place[0], "center")
        down = {0.02: "bottom", 0.98: "top"}.get(place[1], "center")
        super().__init__(
            *place,
            letter,
            transform=ax.transAxes,
            ha=across,
            va=down,
            color="white",
            weight="bold",
            path_effects=[withStroke(linewidth=2, foreground="black")],
        )
        self.picture = ax
        self.along = 0 if across != "center" else 1
        """The axis at whose end it stands."""

    def has_room(self, renderer: Any) -> bool:
        """Return whether it is drawn."""
        high, whole = self.get_window_extent(renderer).height, self.picture.get_window_extent(renderer)
        sides = (whole.width, whole.height)
        return sides[self.along] >= AIRY * high and sides[1 - self.along] >= high

    def draw(self, renderer: Any) -> None:
        """Draw it where there is room."""
        if self.has_room(renderer):
            super().draw(renderer)


class ScaleBar(AnchoredSizeBar):  # type: ignore[misc]  # it has no types
    """A bar at the lower right; beside or above a letter that stands there, and nowhere when it fits nowhere."""

    place: Bbox | None = None

    def get_bbox_to_anchor(self) -> Bbox:
        """Return the part of the picture in whose corner it is, in pixels of the screen."""
        return super().get_bbox_to_anchor() if self.place is None else self.place

    def find_place(self, renderer: Any) -> bool:
        """Take the first place where it covers no letter; return whether there is one."""
        whole = self.axes.get_window_extent(renderer)
        letters = [each for each in self.axes.texts if isinstance(each, Letter) and each.has_room(renderer)]
        taken = [letter.get_window_extent(renderer) for letter in letters]
        for self.place in _places(whole, taken):
            box = self.get_window_extent(renderer)
            inside = whole.x0 <= box.x0 and whole.y0 <= box.y0 and box.x1 <= whole.x1 and box.y1 <= whole.y1
            if inside and not any(box.overlaps(letter) for letter in taken):
                return True
        self.place = None
        return False

    def draw(self, renderer: Any) -> None:
        """Draw it where there is room."""
        if self.find_place(renderer):
            super().draw(renderer)


def _places(whole: Bbox, taken: Sequence[Bbox]) -> Iterator[Bbox]:
    yield whole
    for box in taken:
        yield Bbox.from_extents(whole.x0, whole.y0, box.x0, whole.y1)
        yield Bbox.from_extents(whole.x0, box.y1, whole.x1, whole.y1)
