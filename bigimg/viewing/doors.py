"""Doors to what draws an image or a pyramid, for the accessors; each loads what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bigimg.viewing.preview import Preview


class Drawn:
    """Something that can be drawn."""

    _drawn: Any

    def show(self, plane: str | None = None, **options: Any) -> Axes:
        """See :func:`bigimg.show`."""
        from bigimg.viewing.figures import show

        return show(self._drawn, plane, **options)

    def ortho(self, at: Any = None, **options: Any) -> Figure:
        """See :func:`bigimg.ortho`."""
        from bigimg.viewing.ortho import ortho

        return ortho(self._drawn, at, **options)

    def montage(self, plane: str | None = None, **options: Any) -> Figure:
        """See :func:`bigimg.montage`."""
        from bigimg.viewing.montage import montage

        return montage(self._drawn, plane, **options)

    def browse(self, axis: str | None = None, **options: Any) -> Figure:
        """See :func:`bigimg.browse`."""
        from bigimg.viewing.browse import browse

        return browse(self._drawn, axis, **options)

    def preview(self) -> Preview:
        """Return what a notebook shows: a thumbnail, geometry, channels and histogram, of the smallest level alone."""
        from bigimg.viewing.preview import preview

        return preview(self._drawn)
