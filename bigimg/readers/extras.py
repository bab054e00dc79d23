"""Libraries that readers need and only an extra installs."""

from __future__ import annotations

import importlib
from typing import Any

from bigimg.errors import MissingExtraError
from bigimg.version import install_line

EXTRAS = {
    "czifile": "bio", "liffile": "bio", "nd2": "bio", "h5py": "hdf5", "openreadout": "readout", "openslide": "wsi",
    "tensorstore": "n5",
}  # fmt: skip
"""The extra that installs a library."""


def imported(library: str, path: str) -> Any:
    """Return the library that reads the file at ``path``, one of :data:`EXTRAS`.

    Raises
    ------
    MissingExtraError
        It is not installed, or cannot be loaded; the message has the line that installs it.
    """
    try:
        return importlib.import_module(library)
    except (ImportError, OSError):  # OSError: openslide finds no library of C
        what = f"is read by {library}, which is not installed"
        raise MissingExtraError(f"{path}: {what}: {install_line(EXTRAS[library])}") from None
