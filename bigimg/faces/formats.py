"""``formats``: what this install reads and writes, with which library, and what each extra adds.

The answer is made from the tables of readers and exporters and from the package metadata.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bigimg.exporters.formats import EXPORTERS
from bigimg.omezarr.metadata import strict
from bigimg.readers.registry import BUILT_IN, outside_formats
from bigimg.version import DISTRIBUTION, install_line

ADDS = {
    "dicom": "DICOM whose pixels are compressed as JPEG, JPEG-LS or JPEG 2000",
    "bio": "Zeiss CZI, Leica LIF, LOF and XLEF, Nikon ND2",
    "hdf5": "Imaris, BigDataViewer, datasets of HDF5, MINC 2",
    "wsi": "slides of OpenSlide: MRXS, VMS, BIF with tiles that overlap",
    "readout": "rarer files of microscopes: OIR, OIB, VSI, ZVI, DM3, DM4, SER, EMD (experimental)",
    "n5": "N5 and Neuroglancer precomputed",
    "remote": "buckets, and OME-Zarr stores behind http(s) and other addresses (files behind http(s) need no extra)",
    "distributed": "a dask cluster that runs a conversion",
    "napari": "bigimg view; its Qt comes by napari[pyqt6]",
    "plot": "figures: show, ortho, montage, browse, and histograms as graphs",
}
"""Each extra in words. Its packages come from the package metadata (``tests/faces/test_formats.py`` compares names)."""


@dataclass(frozen=True, slots=True)
class Readable:
    """A format that is read."""

    name: str
    title: str
    extensions: tuple[str, ...]
    library: str
    """The package that decodes it."""
    access: str
    """``random``, ``sequential`` or ``whole``, and when."""
    extra: str | None = None
    """Extra that some of its files need; None if no file needs one."""
    installed: bool = True
    """Whether that extra is installed."""
    outside: bool = False
    """Whether the reader comes from another package."""


@dataclass(frozen=True, slots=True)
class Writable:
    """A format that is written."""

    name: str
    title: str
    extensions: tuple[str, ...]
    library: str
    holds: str
    """Axes, types and geometry that it can store."""


@dataclass(frozen=True, slots=True)
class Extra:
    """What ``pip install "bigimg-zarr[name]"`` brings."""

    name: str
    adds: str
    packages: tuple[str, ...]
    missing: tuple[str, ...]
    """Packages of the extra that are not installed."""


@dataclass(frozen=True, slots=True, repr=False)
class Formats:
    """What ``bigimg.formats`` found; prints as tables."""

    reads: tuple[Readable, ...]
    writes: tuple[Writable, ...]
    extras: tuple[Extra, ...]
    broken: tuple[str, ...]
    """A sentence for each reader of another package that does not load."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        return {key: strict(items) for key, items in asdict(self).items()}

    def __repr__(self) -> str:
        return "\n".join(_lines(self))


STORE = Writable(
    "ome-zarr",
    "OME-Zarr 0.5, 0.4, 0.6 (bigimg convert)",
    (".ome.zarr",),
    "bigimg",
    "t c z y x; every type; levels, spacing, units, channels, affine, slope, statistics",
)
"""Written by ``convert``; all other formats are written by ``export``."""
STORES = Readable(
    "ome-zarr", "OME-Zarr 0.4, 0.5, 0.6; zarr arrays", (".ome.zarr", ".zarr", ".ozx"), "zarr", "random"
)
"""Folders, known by their content; all other formats are files."""


def formats() -> Formats:
    """Return what this install reads and writes, by which library and how, and what each extra adds."""
    extras = tuple(_extras())
    missing = {extra.name for extra in extras if extra.missing}
    outside, broken = outside_formats()
    readable = [
        Readable(
            f.name, f.title, f.extensions, f.library, f.access, f.extra, f.extra not in missing, f in outside
        )
        for f in (*BUILT_IN, *outside)
    ]
    writable = [Writable(e.name, e.title, e.extensions, e.library, e.holds) for e in EXPORTERS]
    return Formats((STORES, *readable), (STORE, *writable), extras, tuple(broken))


def _extras() -> Iterator[Extra]:
    """Yield the extras of the package metadata, in the order of :data:`ADDS`."""
    known = importlib.metadata.metadata(DISTRIBUTION)
    packages: dict[str, list[str]] = {name: [] for name in known.get_all("Provides-Extra") or []}
    for line in importlib.metadata.requires(DISTRIBUTION) or []:
        if found := re.fullmatch(r"([\w.-]+)[^;]*;\s*extra == ['\"]([\w-]+)['\"]", line):
            packages[found[2]].append(found[1])
    packages.pop("all", None)
    for name in sorted(packages, key=lambda name: [*ADDS, name].index(name)):
        there = tuple(sorted(packages[name]))
        yield Extra(name, ADDS.get(name, ""), there, tuple(each for each in there if not _is_installed(each)))


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _lines(found: Formats) -> Iterator[str]:
    yield "reads"
    width = max(len(each.title) for each in found.reads)
    for each in found.reads:
        origin = ", from another package" if each.outside else ""
        missing = "" if each.installed else f"; some need {install_line(each.extra or '')}"
        yield f"  {each.title:{width}}  {each.library}{origin}: {each.access}{missing}"
        yield f"  {'':{width}}  {' '.join(each.extensions)}"
    yield "writes"
    for one in found.writes:
        yield f"  {one.title:{width}}  {one.library}: {one.holds}"
        yield f"  {'':{width}}  {' '.join(one.extensions)}"
    yield "extras"
    for extra in found.extras:
        state = "installed" if not extra.missing else f"missing: {', '.join(extra.missing)}"
        yield f"  {extra.name:{width}}  {extra.adds} ({state})"
    for sentence in found.broken:
        yield f"  note: {sentence}"
