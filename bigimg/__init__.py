"""bigimg: huge images in bounded memory, as OME-Zarr pyramids and lazy labelled arrays.

Names are loaded on first use, so ``import bigimg`` costs a millisecond and the command line imports what it
needs alone. Here, on the top floor, the accessor ``.bigimg`` is registered beside each function that gives
arrays; files on lower floors cannot know of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigimg.converting import convert as convert
    from bigimg.converting import plan as plan
    from bigimg.converting import write as write
    from bigimg.errors import BigimgError as BigimgError
    from bigimg.errors import BudgetError as BudgetError
    from bigimg.errors import CorruptChunk as CorruptChunk
    from bigimg.errors import InputError as InputError
    from bigimg.errors import InputNotFoundError as InputNotFoundError
    from bigimg.errors import IntegrityError as IntegrityError
    from bigimg.errors import MissingChunk as MissingChunk
    from bigimg.errors import MissingExtraError as MissingExtraError
    from bigimg.errors import OutputError as OutputError
    from bigimg.errors import TargetExistsError as TargetExistsError
    from bigimg.errors import UnknownFormatError as UnknownFormatError
    from bigimg.errors import UsageError as UsageError
    from bigimg.errors import WorkerError as WorkerError
    from bigimg.exporters.run import export as export
    from bigimg.listing import formats as formats
    from bigimg.opening import from_array as from_array
    from bigimg.opening import imread as imread
    from bigimg.opening import info as info
    from bigimg.opening import open as open
    from bigimg.opening import open_pyramid as open_pyramid
    from bigimg.ops.downsampling import build_pyramid as build_pyramid
    from bigimg.ops.downsampling import downsample as downsample
    from bigimg.ops.geometry import stack as stack
    from bigimg.ops.geometry import with_geometry as with_geometry
    from bigimg.ops.masks import apply_mask as apply_mask
    from bigimg.ops.masks import mask as mask
    from bigimg.ops.multiscale import thumbnail as thumbnail
    from bigimg.ops.patches.asking import patches as patches
    from bigimg.ops.patches.reassembling import reassemble as reassemble
    from bigimg.ops.profiles import profile as profile
    from bigimg.ops.resizing import resize as resize
    from bigimg.ops.slices import crop as crop
    from bigimg.ops.slices import plane as plane
    from bigimg.ops.slices import region as region
    from bigimg.ops.statistics.histograms import histogram as histogram
    from bigimg.ops.statistics.measuring import area as area
    from bigimg.ops.statistics.measuring import fraction as fraction
    from bigimg.ops.statistics.percentiles import percentile as percentile
    from bigimg.ops.statistics.stats import stats as stats
    from bigimg.ops.statistics.thresholds import otsu as otsu
    from bigimg.ops.statistics.thresholds import sweep as sweep
    from bigimg.ops.tones import gray as gray
    from bigimg.ops.tones import map as map
    from bigimg.ops.tones import rescale as rescale
    from bigimg.patching import map_patches as map_patches
    from bigimg.verifying import verify as verify
    from bigimg.viewing.browse import browse as browse
    from bigimg.viewing.figures import show as show
    from bigimg.viewing.montage import montage as montage
    from bigimg.viewing.napari.window import view as view
    from bigimg.viewing.ortho import ortho as ortho

_MODULES = {
    "opening": ("open", "open_pyramid", "imread", "from_array", "info"),
    "converting": ("plan", "convert", "write"),
    "verifying": ("verify",),
    "viewing.napari.window": ("view",),
    "exporters.run": ("export",),
    "listing": ("formats",),
    "viewing.figures": ("show",),
    "viewing.ortho": ("ortho",),
    "viewing.montage": ("montage",),
    "viewing.browse": ("browse",),
    "ops.geometry": ("with_geometry", "stack"),
    "ops.statistics.histograms": ("histogram",),
    "ops.statistics.stats": ("stats",),
    "ops.masks": ("mask", "apply_mask"),
    "ops.statistics.measuring": ("fraction", "area"),
    "ops.statistics.percentiles": ("percentile",),
    "ops.statistics.thresholds": ("otsu", "sweep"),
    "ops.patches.asking": ("patches",),
    "ops.patches.reassembling": ("reassemble",),
    "patching": ("map_patches",),
    "ops.slices": ("plane", "crop", "region"),
    "ops.profiles": ("profile",),
    "ops.downsampling": ("downsample", "build_pyramid"),
    "ops.resizing": ("resize",),
    "ops.tones": ("gray", "map", "rescale"),
    "ops.multiscale": ("thumbnail",),
    "errors": (
        *("BigimgError", "UsageError", "InputError", "InputNotFoundError", "UnknownFormatError"),
        *("MissingExtraError", "OutputError", "TargetExistsError", "IntegrityError", "MissingChunk"),
        *("CorruptChunk", "BudgetError", "WorkerError"),
    ),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
_GIVE_ARRAYS = {
    "mask",
    "apply_mask",
    "open",
    "open_pyramid",
    "from_array",
    "with_geometry",
    "stack",
    "patches",
    "reassemble",
    "map_patches",
    "plane",
    "crop",
    "region",
    "profile",
    "downsample",
    "build_pyramid",
    "resize",
    "gray",
    "map",
    "rescale",
}
"""These bring the accessor; ``info``, ``imread`` and ``convert`` must not import xarray before their work."""

__all__ = ["__version__", *_HOME]  # names of the table above


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from bigimg.version import __version__

        return __version__
    if name not in _HOME:
        raise AttributeError(f"module 'bigimg' has no attribute {name!r}")
    if name in _GIVE_ARRAYS:
        importlib.import_module("bigimg.accessor")
    found = getattr(importlib.import_module(f"bigimg.{_HOME[name]}"), name)
    globals()[name] = found  # the next access does not come here
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
