"""What the readers of stacks and of slides have in common: an image in one DICOM file or in several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bigimg.geometry.spec import ImageSpec
from bigimg.reader import Access
from bigimg.readers.dicom.pixels import Pixels


@dataclass(frozen=True)
class OfFiles:
    """A :class:`bigimg.reader.Reader`, but for ``read``."""

    title: ClassVar[str]
    """Of the format."""
    spec: ImageSpec
    access: Access
    source: str
    files: tuple[Pixels, ...]

    @property
    def format(self) -> str:
        """Name of the format, for ``info``."""
        return self.title if len(self.files) == 1 else f"{self.title}, {len(self.files)} files"

    @property
    def paths(self) -> tuple[str, ...]:
        """The names of the files."""
        return tuple(pixels.path for pixels in self.files)

    def close(self) -> None:
        """Drop the inflated content of a deflated file; no file is open between reads."""
        for pixels in self.files:
            pixels.close()
