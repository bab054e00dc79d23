"""The public functions of an image, imported when they are first used.

The package ``bigimg`` and the accessor ``.bigimg`` both take them from here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigimg.exporters.run import export as export
    from bigimg.faces.map_patches import map_patches as map_patches
    from bigimg.opening.open import from_array as from_array
    from bigimg.opening.open import open as open
    from bigimg.opening.open import open_pyramid as open_pyramid
    from bigimg.opening.plates import open_plate as open_plate
    from bigimg.ops.downsampling import build_pyramid as build_pyramid
    from bigimg.ops.downsampling import downsample as downsample
    from bigimg.ops.geometry import stack as stack
    from bigimg.ops.geometry import with_geometry as with_geometry
    from bigimg.ops.intensity import gray as gray
    from bigimg.ops.intensity import map as map
    from bigimg.ops.intensity import rescale as rescale
    from bigimg.ops.masks import apply_mask as apply_mask
    from bigimg.ops.masks import mask as mask
    from bigimg.ops.patches.patches import patches as patches
    from bigimg.ops.patches.reassembling import reassemble as reassemble
    from bigimg.ops.profiles import profile as profile
    from bigimg.ops.resizing import resize as resize
    from bigimg.ops.slices import crop as crop
    from bigimg.ops.slices import plane as plane
    from bigimg.ops.slices import region as region
    from bigimg.ops.statistics.fractions import area as area
    from bigimg.ops.statistics.fractions import fraction as fraction
    from bigimg.ops.statistics.histograms import histogram as histogram
    from bigimg.ops.statistics.percentiles import percentile as percentile
    from bigimg.ops.statistics.stats import stats as stats
    from bigimg.ops.statistics.thresholds import otsu as otsu
    from bigimg.ops.statistics.thresholds import sweep as sweep
    from bigimg.ops.thumbnails import thumbnail as thumbnail
    from bigimg.viewing.browse import browse as browse
    from bigimg.viewing.figures import show as show
    from bigimg.viewing.montage import montage as montage
    from bigimg.viewing.napari.window import view as view
    from bigimg.viewing.ortho import ortho as ortho

MODULES = {
    "opening.open": ("open", "open_pyramid", "from_array"),
    "opening.plates": ("open_plate",),
    "ops.geometry": ("with_geometry", "stack"),
    "ops.statistics.histograms": ("histogram",),
    "ops.statistics.stats": ("stats",),
    "ops.masks": ("mask", "apply_mask"),
    "ops.statistics.fractions": ("fraction", "area"),
    "ops.statistics.percentiles": ("percentile",),
    "ops.statistics.thresholds": ("otsu", "sweep"),
    "ops.patches.patches": ("patches",),
    "ops.patches.reassembling": ("reassemble",),
    "faces.map_patches": ("map_patches",),
    "ops.slices": ("plane", "crop", "region"),
    "ops.profiles": ("profile",),
    "ops.downsampling": ("downsample", "build_pyramid"),
    "ops.resizing": ("resize",),
    "ops.intensity": ("gray", "map", "rescale"),
    "ops.thumbnails": ("thumbnail",),
    "exporters.run": ("export",),
    "viewing.figures": ("show",),
    "viewing.ortho": ("ortho",),
    "viewing.montage": ("montage",),
    "viewing.browse": ("browse",),
    "viewing.napari.window": ("view",),
}
HOME = {name: module for module, names in MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"bigimg.{HOME[name]}"), name)
    globals()[name] = found  # the next access does not come here
    return found
