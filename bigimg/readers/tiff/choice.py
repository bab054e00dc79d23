"""Which image of a TIFF is read: its series, and the positions of a series, each of which is an image of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bigimg.errors import InputError
from bigimg.readers.several import Named, only_photos, pick
from bigimg.readers.tiff.axes import NAMES, Stack, foreign_axes
from bigimg.readers.tiff.naming import stack_of
from bigimg.types import Shape

SLIDES = frozenset({"scn", "bif", "svs", "ndpi", "philips", "qpi", "avs", "trestle", "huron", "indica"})
"""Kinds of series of slide scanners, whose files hold overviews and labels beside the scanned region."""


XMP = 700
"""Tag in which Ventana says how tiles lie."""
OVERLAP = re.compile(rb'Overlap[XY]="-?[1-9]')
MOST_LEVELS = 20
"""Pages of a slide among which that of full resolution is."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image of the file."""

    number: int
    """Of its series."""
    series: Any
    """A ``tifffile.TiffPageSeries``."""
    at: Shape
    """Its index along the axes of the series that are none of t c z y x."""
    name: str
    shape: Shape
    stack: Stack
    """The axes of its series."""

    @property
    def pixels(self) -> int:
        """Pixels of a plane."""
        return int(self.series.keyframe.imagewidth) * int(self.series.keyframe.imagelength)


def candidates(tif: Any) -> list[Candidate]:
    """Return all images of the open file, position by position."""
    return [each for number, series in enumerate(tif.series) for each in _images(tif, number, series)]


def choose(path: str, tif: Any, wanted: int | str | None) -> tuple[Candidate, tuple[str, ...]]:
    """Return the image that is ``wanted``, and a sentence about the others.

    By default it is the first, but the largest of a slide, or if the first is marked as a smaller copy of another
    (NewSubfileType 1). Photos of a glass slide and its label are taken only if they are wanted.

    Raises
    ------
    InputError
        The file holds no image, or only photos of a slide and none is wanted.
    UsageError
        There is no such series.
    """
    if tiles_overlap(tif):
        what = "is a BIF of Ventana, whose tiles overlap, so that they are no plain grid"
        raise InputError(f"{path}: {what}; let its name end in .bif, which OpenSlide reads (the extra wsi)")
    every = candidates(tif)
    if not every:
        raise InputError(f"{path}: holds no image; the file is damaged or only metadata")
    main = _main(path, every) if wanted is None else 0
    number, others = pick(path, [Named(each.name, each.shape) for each in every], wanted, main=main)
    return every[number], others


def tiles_overlap(tif: Any) -> bool:
    """Return whether an open file is a BIF of Ventana whose tiles overlap: as a plain grid, seams would show twice."""
    return tif.is_bif and any(OVERLAP.search(page.tags.valueof(XMP, b"")) for page in tif.pages[:MOST_LEVELS])


def shows_slide(series: Any) -> bool:
    """Return whether ``series`` is a photo of a glass slide or of its label, on which names are written."""
    of_slide = f"{series.name}\n{series.keyframe.description}".lower()
    return (
        series.kind in SLIDES and re.search(r"^(label|macro)( \d+x\d+)?$", of_slide, re.MULTILINE) is not None
    )


def _main(path: str, every: list[Candidate]) -> int:
    scans = [i for i, each in enumerate(every) if not shows_slide(each.series)]
    if not scans:
        raise only_photos(path)
    first = every[scans[0]].series
    if first.kind not in SLIDES and not first.keyframe.is_reduced:
        return scans[0]
    whole = [i for i in scans if not every[i].series.keyframe.is_reduced]
    return max(whole or scans, key=lambda i: every[i].pixels)


def _images(tif: Any, number: int, series: Any) -> Iterator[Candidate]:
    """Yield the images of ``series``: one, or one for each index along its axes that are none of t c z y x."""
    stack = stack_of(series)
    axes = foreign_axes(stack)
    taken = {letter for letter, _ in axes}
    shape = tuple(n for letter, n in zip(series.axes, series.shape, strict=True) if letter not in taken)
    for at in np.ndindex(*(n for _, n in axes)):
        parts = [_name(tif, series, letter, i) for (letter, _), i in zip(axes, at, strict=True)]
        yield Candidate(number, series, at, " ".join(filter(None, [series.name, *parts])), shape, stack)


def _name(tif: Any, series: Any, letter: str, index: int) -> str:
    """Return the name of one index along an axis; of a position of Micro-Manager the label that was given to it."""
    if series.kind == "mmstack" and letter == "R":
        summary = (tif.micromanager_metadata or {}).get("Summary") or {}
        places = summary.get("StagePositions") or summary.get("InitialPositionList") or []
        if index < len(places) and isinstance(places[index], dict):
            label = places[index].get("Label") or places[index].get("label")
            if label:
                return str(label)
    return f"{NAMES.get(letter, letter)} {index}"
