"""Texts of a picture, as Pillow finds them: comments, EXIF and XMP. All are private (:mod:`bigimg.readers.allowed`)."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from typing import Any

from PIL import ExifTags, Image

from bigimg.types import Json

LONGEST = 1 << 16
"""Characters of a text; longer ones are mostly data and are left out."""

PLUGINS = {"png": ("PNG", "PngImagePlugin"), "jpeg": ("JPEG", "JpegImagePlugin")}
DIRECTORIES = {0x8769: "exif", 0x8825: "gps"}
"""Tags of EXIF that hold further tags, and the group that these belong to."""
XP_TEXTS = range(40091, 40096)
"""Tags of Windows: title, comment, author, keywords and subject, in UTF-16."""


def texts_of(image: Any) -> dict[str, Json]:
    """Return the texts of an open picture of Pillow, by group and name: ``text:Title``, ``exif:Artist``."""
    return {name: text for name, text in _texts(image) if 0 < len(text) <= LONGEST}


def texts_in(path: str, codec: str) -> dict[str, Json]:
    """Return the texts of the PNG or JPEG at ``path``; none where Pillow cannot read them, for pixels need none."""
    name, module = PLUGINS[codec]
    with contextlib.suppress(Exception), warnings.catch_warnings(action="ignore"):
        importlib.import_module(f"PIL.{module}")
        with open(path, "rb") as file, Image.OPEN[name][0](file, path) as image:
            return texts_of(image)
    return {}


def _texts(image: Any) -> Iterator[tuple[str, str]]:
    for name, value in image.info.items():
        if isinstance(value, bytes) and name in ("comment", "xmp"):
            value = value.decode("utf-8", "replace")
        if isinstance(value, str):
            yield f"text:{name}", value
    if image.format == "PNG" and "exif" not in image.info:
        return  # getexif() would decode the pixels, to look for EXIF behind them
    exif = image.getexif()
    for group, tags in [
        ("exif", exif),
        *((group, exif.get_ifd(code)) for code, group in DIRECTORIES.items()),
    ]:
        names = ExifTags.GPSTAGS if group == "gps" else ExifTags.TAGS
        for code, value in tags.items():
            if isinstance(value, bytes) and code in XP_TEXTS:
                value = value.decode("utf-16-le", "replace")
            if isinstance(value, str) or group == "gps":
                yield f"{group}:{names.get(code, code)}", str(value).strip("\0 ")
