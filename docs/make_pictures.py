"""Make the pictures of the pages from real images: ``python docs/make_pictures.py IMAGES [FOLDER]``.

IMAGES is the folder of real images that tests on them use (``BIGIMG_TEST_DATA``); FOLDER is ``docs/pictures``.
Needs the extra ``plot``, no display. Which image is whose stands on the pages that show it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import bigimg
from bigimg.viewing import figures

DPI = 80


def blank(width: float, height: float) -> Any:
    """Return an empty figure of a size in inches."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def saved(figure: Any, folder: Path, name: str) -> None:
    """JPEG for what is mostly image, PNG for lines."""
    how: dict[str, Any] = {"pil_kwargs": {"quality": 80}} if name.endswith(".jpg") else {}
    figure.savefig(folder / name, dpi=DPI, **how)


def make(images: Path, folder: Path) -> None:
    """Make all pictures in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        cells = Path(scratch) / "cerebellum.ome.zarr"
        bigimg.convert(
            images / "lessons" / "rat_cerebellum.jpg", cells, spacing="y=0.5,x=0.5um", progress=False
        )
        saved(bigimg.show(cells, ax=blank(5, 4).add_subplot()).figure, folder, "show.jpg")
        figure = blank(6, 2)
        saved(bigimg.montage(cells, figure=figure), folder, "channels.jpg")
        figure = blank(8, 3)
        left, right = figure.subplots(1, 2)
        figures.histogram(cells, ax=left)
        figures.sweep(cells, ax=right)
        saved(figure, folder, "histogram.png")
        green = bigimg.open(cells).bigimg.channel("G")
        shown = bigimg.show(green, overlay=green > 150, overlay_color="FFFFFF", ax=blank(5, 4).add_subplot())
        saved(shown.figure, folder, "overlay.jpg")

        brain = images / "nifti" / "ch2.nii.gz"
        saved(bigimg.ortho(brain, at=(0, -20, 10), figure=blank(5.5, 5.5)), folder, "ortho.jpg")
        saved(bigimg.montage(brain, "axial", n=10, columns=5, figure=blank(8, 4)), folder, "montage.jpg")
        figure = bigimg.browse(brain, "coronal", figure=blank(5, 5))
        saved(figure, folder, "browse.jpg")


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent / "pictures")
