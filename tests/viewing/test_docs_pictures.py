"""The script that makes the pictures of the pages still does, on the real images that they show."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image

DOCS = Path(__file__).parents[2] / "docs"


def test_the_pictures_are_made(data: Path, tmp_path: Path) -> None:
    found = importlib.util.spec_from_file_location("make_pictures", DOCS / "make_pictures.py")
    assert found is not None
    assert found.loader is not None
    script = importlib.util.module_from_spec(found)
    found.loader.exec_module(script)
    script.make(data, tmp_path)
    kept = sorted(path.name for path in (DOCS / "pictures").iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
    for name in kept:
        made, shown = (
            np.asarray(Image.open(folder / name).convert("RGB"), float)
            for folder in (tmp_path, DOCS / "pictures")
        )
        assert made.shape == shown.shape
        # Fonts and codecs differ between machines, so the picture as a whole is compared.
        assert np.abs(made - shown).mean() < 8, name
    assert sum((DOCS / "pictures" / name).stat().st_size for name in kept) < 400_000
