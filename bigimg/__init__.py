"""bigimg: huge images in bounded memory, as OME-Zarr pyramids and lazy labelled arrays.

Names are loaded on first use, so ``import bigimg`` costs a millisecond and the command line imports what it
needs alone. Here, on the top floor, the accessor ``.bigimg`` is registered beside each function that gives
arrays; files on lower floors cannot know of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bigimg.functions import HOME

if TYPE_CHECKING:
    from bigimg.conversion.edit import edit as edit
    from bigimg.conversion.upgrade import upgrade as upgrade
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
    from bigimg.faces.convert import convert as convert
    from bigimg.faces.convert import plan as plan
    from bigimg.faces.convert import write as write
    from bigimg.faces.formats import formats as formats
    from bigimg.faces.many.convert_all import convert_all as convert_all
    from bigimg.faces.packing import pack as pack
    from bigimg.faces.packing import unpack as unpack
    from bigimg.faces.verify import verify as verify
    from bigimg.functions import *  # noqa: F403
    from bigimg.opening.info import info as info
    from bigimg.opening.open import imread as imread

_HOME = {
    **dict.fromkeys(HOME, "functions"),
    "imread": "opening.open",
    "info": "opening.info",
    **dict.fromkeys(("plan", "convert", "write"), "faces.convert"),
    **dict.fromkeys(("pack", "unpack"), "faces.packing"),
    **{
        "verify": "faces.verify",
        "edit": "conversion.edit",
        "upgrade": "conversion.upgrade",
        "formats": "faces.formats",
        "convert_all": "faces.many.convert_all",
        "__version__": "version",
    },
    **dict.fromkeys(
        (
            *("BigimgError", "UsageError", "InputError", "InputNotFoundError", "UnknownFormatError"),
            *("MissingExtraError", "OutputError", "TargetExistsError", "IntegrityError", "MissingChunk"),
            *("CorruptChunk", "BudgetError", "WorkerError"),
        ),
        "errors",
    ),
}
_GIVE_ARRAYS = {*HOME, "convert", "write"} - {"export", "view"}
"""Functions beside which the accessor is there; a file needs no xarray to be exported or viewed."""

__all__ = [*_HOME]  # names of the table above


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'bigimg' has no attribute {name!r}")
    if name in _GIVE_ARRAYS:
        importlib.import_module("bigimg.accessor")
    found = getattr(importlib.import_module(f"bigimg.{_HOME[name]}"), name)
    globals()[name] = found  # the next access does not come here
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
