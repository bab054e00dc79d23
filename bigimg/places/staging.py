"""The folder beside a target in which a store is made until it is complete."""

from __future__ import annotations

import os
from pathlib import Path

HOME = "a shell makes ~ the home folder, and Python does not: give os.path.expanduser of the name"
"""What to do with a name that is not there and begins with ``~``."""


def staging_folder(target: Path) -> Path:
    """Return the folder in which the store for ``target`` is made."""
    return target.with_name(f".{target.name}.bigimg")


def why_absent(name: str) -> str:
    """Return the message for a ``name`` that does not exist."""
    folder = staging_folder(Path(os.path.abspath(name)))
    if folder.is_dir():
        what = f"the run that makes it was interrupted or is still at work, in {folder}"
        remedy = "run the same conversion again to continue, or remove the rest with bigimg clean --remove"
        return f"{name}: is not there yet: {what}; {remedy}"
    if name.startswith("~"):
        return f"{name}: no such file or folder; {HOME}"
    return f"{name}: no such file or folder; check the name and the path"
