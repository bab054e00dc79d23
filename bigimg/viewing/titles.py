"""Names of images in figures: the number of a patch, the name of the array, the file, or a number."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray

UNNAMED = {None, "", "image", "array"}
"""Names and sources of arrays without a name."""


def names_of(images: Sequence[xarray.DataArray]) -> list[str]:
    """Return a different name for each of several images.

    The name is the number of a patch, else the name of the array, else the file with as many folders as make it
    unique. A number, counted from 0, follows equal names and stands for missing ones.
    """
    sources = [str(image.attrs.get("source") or "") for image in images]
    files = dict(zip(sources, short_paths(sources), strict=True))
    names = [_own(image) or files[source] for image, source in zip(images, sources, strict=True)]
    count = Counter(names)
    unique = [name if count[name] == 1 else "" for name in names]
    return [own or f"{name or 'image'} {i}" for i, (own, name) in enumerate(zip(unique, names, strict=True))]


def name_of(image: xarray.DataArray) -> str:
    """Return the name of an image: its own or that of its file; an empty text if it has none."""
    return _own(image) or short_paths([str(image.attrs.get("source") or "")])[0]


def short_paths(paths: Sequence[str]) -> list[str]:
    """Return the ends of paths or URLs, with as many parts as make different ones different.

    >>> short_paths(["a/scan.nii", "b/scan.nii", "b/scan.nii"])
    ['a/scan.nii', 'b/scan.nii', 'b/scan.nii']
    >>> short_paths(["in/a.png", "https://host/b.zarr/?key=1", "array"])
    ['a.png', 'b.zarr', '']
    """
    parts = [
        [part for part in re.split(r"[/\\]+", path.split("?")[0]) if path not in UNNAMED and part]
        for path in paths
    ]
    different = len({tuple(each) for each in parts})
    for count in range(1, max(map(len, parts), default=0) + 1):
        ends = ["/".join(each[-count:]) for each in parts]
        if len(set(ends)) == different:
            return ends
    return ["/".join(each) for each in parts]


def shortened(name: str, most: int) -> str:
    """Return a name of at most ``most`` letters; the middle is left out, because names differ most at their ends.

    >>> shortened("subject-01_session-02_T1w.nii.gz", 20)
    'subject-01…1w.nii.gz'
    """
    if len(name) <= most:
        return name
    after = max(1, (most - 1) // 2)
    return f"{name[: max(1, most - 1 - after)]}…{name[-after:]}"


def _own(image: xarray.DataArray) -> str:
    if "patch" in image.coords and not image.coords["patch"].ndim:
        return f"patch {int(image.coords['patch'])}"
    return "" if image.name in UNNAMED else str(image.name)
