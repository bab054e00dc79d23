"""A mask or label image written into the store of its image, as ``<image>/labels/<name>``.

It is a store of its own with manifest and pyramid, staged and renamed as any other, inside ``labels``; when it is
there, its name is put on the list of ``labels``. The image itself is not touched: its manifest stays true. A run
that dies between the two leaves a whole label that the next one written there puts on the list.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bigimg.conversion.commit import explained, hook
from bigimg.errors import OutputError, UsageError
from bigimg.geometry.spec import ImageSpec
from bigimg.omezarr.metadata import LABELS, MANIFEST, dumps, group_metadata
from bigimg.omezarr.open import Store, is_store, open_store
from bigimg.reader import Access, Reader
from bigimg.system.locks import locked
from bigimg.system.sync import sync_folder
from bigimg.types import Array, Json, Region

VERSIONS = ("0.4", "0.5", "0.6")


@dataclass(frozen=True, slots=True)
class LabelPlace:
    """Where a label image goes."""

    image: Store
    folder: Path
    """``labels`` of the image; may not be there yet."""
    name: str


def label_place(target: str | os.PathLike[str]) -> LabelPlace | None:
    """Return the place that ``target`` names when it is ``<image store>/labels/<name>``, else None.

    Raises
    ------
    OutputError
        The image is of a version that bigimg does not write.
    """
    path = Path(os.path.abspath(target))
    if path.parent.name != LABELS or not is_store(path.parent.parent):
        return None
    image = open_store(path.parent.parent)
    if image.version not in VERSIONS:
        raise OutputError(
            f"{target}: the image is OME-Zarr {image.version}, and labels are written into {', '.join(VERSIONS)}: "
            "convert it first"
        )
    return LabelPlace(image, path.parent, path.name)


class LabelReader:
    """A mask as OME-Zarr wants labels: integers, so true and false are 1 and 0; any other reader as it is.

    Parameters
    ----------
    reader : Reader
    flat : bool
        Leave out the axis c, which has one pixel.
    """

    identity = None
    """Of computed pixels, which cannot be known again."""

    def __init__(self, reader: Reader, *, flat: bool = False) -> None:
        self._reader = reader
        spec = reader.spec
        self._left_out = spec.axis("c") if flat else None
        if spec.dtype.kind == "b":
            spec = replace(spec, dtype=np.dtype(np.uint8), kind="mask")
        elif spec.kind == "image":
            spec = replace(spec, kind="labels")
        if self._left_out is not None:
            kept = [i for i, name in enumerate(spec.dims) if name != "c"]
            axes, chunks = tuple(spec.axes[i] for i in kept), tuple(spec.chunks[i] for i in kept)
            spec = replace(spec, axes=axes, chunks=chunks, channels=())
        self._spec = replace(spec, meta={}, private={})  # the tags are those of the image beside it

    @property
    def spec(self) -> ImageSpec:
        """The label image."""
        return self._spec

    @property
    def access(self) -> Access:
        """As of what is wrapped."""
        found = self._reader.access
        return replace(found, order=tuple(name for name in found.order if name in self._spec.dims))

    @property
    def source(self) -> str:
        """Of pixels that were computed; that they come from the image is said by where the label lies."""
        return "array"

    def read(self, region: Region) -> Array:
        """Return the ids of ``region``."""
        at = self._left_out
        if at is not None:
            region = (*region[:at], slice(0, 1), *region[at:])
        found = self._reader.read(region)
        if at is not None:
            found = found[(slice(None),) * at + (0,)]
        return found.view(np.uint8) if found.dtype.kind == "b" else found

    def close(self) -> None:
        """Let go of what is open."""
        self._reader.close()


def as_label(reader: Reader, place: LabelPlace, asked: Mapping[str, Any]) -> tuple[Reader, dict[str, Any]]:
    """Return what to write into ``place``, and the options, of the version of the image.

    A label of one channel lies over all channels of the image: it loses the axis c where the image has more, or none.

    Raises
    ------
    UsageError
        It holds no ids, has an axis that the image has not, or the size of none of its levels.
    """
    image, given = place.image, dict(zip(reader.spec.dims, reader.spec.shape, strict=True))
    channels = dict(zip(image.dims, image.levels[0].shape, strict=True)).get("c")
    label = LabelReader(reader, flat=given.get("c") == 1 != channels)
    spec = label.spec
    if spec.dtype.kind not in "iu":
        raise UsageError(
            f"label {place.name}: {spec.dtype} is no id; write a mask, as img < 125, or integers"
        )
    if unknown := [name for name in spec.dims if name not in image.dims]:
        raise UsageError(
            f"label {place.name}: what is written has the axes {' '.join(spec.dims)}, its image {image.path} has "
            f"{' '.join(image.dims)}, without {unknown[0]}: cut that away, or write it to the "
            "store that it was made from"
        )
    sizes = dict(zip(spec.dims, spec.shape, strict=True))
    levels = [dict(zip(image.dims, level.shape, strict=True)) for level in image.levels]
    if not any(all(level[name] == size for name, size in sizes.items()) for level in levels):
        name = next(name for name in sizes if levels[0][name] != sizes[name])
        raise UsageError(
            f"label {place.name}: {sizes[name]} pixels along {name}, and the image has "
            f"{', '.join(str(level[name]) for level in levels)} in its levels"
        )
    return label, {"ome_version": image.version, **asked}


@contextmanager
def adding_label(place: LabelPlace | None) -> Iterator[None]:
    """Make the folder of labels before the label is written into it, and put it on the list afterwards."""
    if place is None:
        yield
        return
    with explained(place.folder):
        _, _, listed = _listing(place)
        if not isinstance(listed.get("labels") or [], list):
            raise OutputError(
                f"{place.folder}: its list of labels is {listed['labels']!r}, which is no list, and is left "
                'alone: write it again, as in "labels": ["cells"]'
            )
        place.folder.mkdir(exist_ok=True)
    try:
        yield
    except BaseException:
        if not any(place.folder.iterdir()):
            place.folder.rmdir()
        raise
    hook("labelled")
    with explained(place.folder):
        _list(place)


def _list(place: LabelPlace) -> None:
    """Put the name on the list in one step, and with it whatever whole label of ours an earlier run left off it."""
    with locked(place.folder):
        ours = sorted(
            entry.name for entry in os.scandir(place.folder)
            if not entry.name.startswith(".") and (Path(entry.path) / MANIFEST).is_dir()
        )  # fmt: skip
        path, document, block = _listing(place)
        listed = block.get("labels") or []
        block["labels"] = [*listed, *(name for name in ours if name not in listed)]
        if path.name == ".zattrs" and not (place.folder / ".zgroup").exists():
            _replace(place.folder / ".zgroup", {"zarr_format": 2})
        _replace(path, document)
        sync_folder(place.folder)


def _listing(place: LabelPlace) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Return the document that lists labels, as it is or is to be, and the part of it that does."""
    if place.image.version == "0.4":
        path = place.folder / ".zattrs"
        document = _document(path)
        return path, document, document
    path, version = place.folder / "zarr.json", place.image.version
    document = _document(path) or {**group_metadata({})}
    return path, document, document.setdefault("attributes", {}).setdefault("ome", {"version": version})


def _document(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise OutputError(
            f"{path}: not JSON as zarr writes it, and is left alone: restore the list of labels"
        )
    return found


def _replace(path: Path, document: Mapping[str, Json]) -> None:
    """Write a document whole or not at all."""
    new = path.with_name(f".{path.name}.bigimg")
    with open(new, "wb") as file:
        file.write(dumps(document))
        os.fsync(file.fileno())
    os.replace(new, path)
