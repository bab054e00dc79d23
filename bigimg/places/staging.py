"""Where a store is made until it is whole: beside its target, so that who finds no target can say why."""

from __future__ import annotations

import os
from pathlib import Path


def staging_folder(target: Path) -> Path:
    """Return where the store for ``target`` is made."""
    return target.with_name(f".{target.name}.bigimg")


def why_absent(name: str) -> str:
    """Return what to say of ``name`` when there is nothing at it."""
    folder = staging_folder(Path(os.path.abspath(name)))
    if folder.is_dir():
        return (
            f"{name}: is not there yet: the run that makes it was interrupted or is still at work, in {folder}; run "
            "the same conversion again to go on, or bigimg clean --remove to drop what it left"
        )
    return f"{name}: no such file or folder; check the name and the path"
