"""Label maps that only their names or free fields make known: formats of volumes have no field for it but NIfTI."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from bigimg.readers.raw.streams import PACKED
from bigimg.types import DType, Kind

CERTAIN = re.compile(
    r"(?:^|[._-])(?:(?:aparc[\w.]*\+)?aseg(?:\.\w+)?|aparc[\w.]*\+aseg|wmparc|(?:[lr]h\.)?ribbon|dseg|synthseg)$"
    r"|_desc-aseg_dseg$|\.seg$",
    re.I,
)
"""Ends of names, without the suffix of the format: FreeSurfer's segmentations, BIDS' dseg, 3D Slicer's ``.seg``."""

LIKELY = re.compile(
    r"(?:^|[._\- ])(?:labels?|labelmap|seg|segm|segmentation|parcellation|atlas|regions)(?:[._\- ]|$)", re.I
)
"""Words in names of label maps, and now and then of others."""

SUFFIXES = (
    *PACKED,
    ".nii",
    ".mgh",
    ".mgz",
    ".nrrd",
    ".nhdr",
    ".mha",
    ".mhd",
    ".hdr",
    ".img",
    ".mnc",
)


def kind_of(
    kind: Kind, source: str, dtype: DType, fields: Mapping[str, Any], *, scaled: bool, several: bool
) -> tuple[Kind, str | None]:
    """Return the kind of a volume that its header calls ``kind``, and a sentence about it.

    Parameters
    ----------
    fields : mapping
        Of the header; those of 3D Slicer name each segment (``Segment0_ID``).
    scaled, several : bool
        Whether the values have a slope or an intercept, or there are several volumes: labels by name have none.
    """
    if kind != "image" or dtype.kind not in "ui" or scaled:
        return kind, None
    if any(re.fullmatch(r"Segment\d+_ID", name) for name in fields):
        return "labels", "its header names segments: its values are labels"
    stem = os.path.basename(source)
    while (end := os.path.splitext(stem)[1].lower()) in SUFFIXES:
        stem = stem[: -len(end)]
    if several:
        return kind, None
    if CERTAIN.search(stem):
        return "labels", f"its name ends as those of label maps do ({stem}): its values are labels"
    if LIKELY.search(stem):
        return kind, "its name speaks of labels: if its values are ids, convert it with --kind labels"
    return kind, None
