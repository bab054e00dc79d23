"""The napari plugin: the reader and the samples that ``bigimg/napari.yaml`` names beside writer and widget.

napari calls the reader function for every file that is dropped on it. Therefore this module imports neither napari
nor Qt, and array libraries only inside its functions.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigimg.viewing.napari.layers import Layer

type Paths = str | os.PathLike[str] | list[str]


def napari_get_reader(path: Paths) -> Callable[[Paths], list[Layer]] | None:
    """Return the function that reads ``path``; None if bigimg does not know its format.

    Parameters
    ----------
    path : str or list of str
        A list, which napari gives for a stack, holds the files of the planes of one image.
    """
    from bigimg.errors import BigimgError
    from bigimg.omezarr.open import is_store
    from bigimg.readers.registry import find_format

    first = os.fspath(path[0] if isinstance(path, list) else path)
    try:
        if not is_store(first) and not os.path.isdir(first):
            find_format(first)
    except BigimgError:
        return None
    return read_layers


def read_layers(path: Paths) -> list[Layer]:
    """Return the layers of the image at ``path``; no pixel is read.

    Raises
    ------
    BigimgError
        It cannot be read, or is so large that it should be converted first; the message has the command.
    """
    from bigimg.viewing.napari.layers import layers_of
    from bigimg.viewing.napari.window import follow_current, tell_damage

    source: Any = path[0] if isinstance(path, list) and len(path) == 1 else path
    layers = layers_of(source)
    tell_damage(layers)
    follow_current()
    return layers


def rat_brain() -> list[Layer]:
    """Return the layers of the sample image of a rat brain, in colour."""
    return _sample("rat_brain_low_res.jpg")


def chelsea() -> list[Layer]:
    """Return the layers of the sample image of Chelsea the cat, in colour."""
    return _sample("chelsea.png")


def _sample(name: str) -> list[Layer]:
    from bigimg.viewing.napari.layers import layers_of

    package = Path(__file__).parents[2]
    # A wheel has the samples inside the package; in a checkout they are in the folder of the examples.
    folders = package / "samples", package.parent / "examples" / "data"
    return layers_of(next(folder / name for folder in folders if (folder / name).is_file()))
