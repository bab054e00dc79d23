"""A mask or label image written into the store of its image, as ``<image>/labels/<name>``.

A label image is a store with its own manifest and pyramid, staged and renamed as any other store, inside ``labels``.
After that its name is added to the list in ``labels``. The image is not changed, so its manifest stays valid. If a
run dies between the two steps, the next label image that is written there adds both names.
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
from bigimg.geometry.holes import through
from bigimg.omezarr.metadata import LABELS, MANIFEST, dumps, group_metadata
from bigimg.omezarr.open import Store, is_store, open_store
from bigimg.reader import Reader
from bigimg.system.locks import locked
from bigimg.system.sync import sync_folder
from bigimg.types import Array, Json, Region

VERSIONS = ("0.4", "0.5", "0.6")


@dataclass(frozen=True, slots=True)
class LabelTarget:
    """The image and the name under which a label image is written."""

    image: Store
    folder: Path
    """``labels`` of the image; it need not exist yet."""
    name: str


def label_target(target: str | os.PathLike[str]) -> LabelTarget | None:
    """Return the image and the name of the label if ``target`` is ``<image store>/labels/<name>``, else None.

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
    return LabelTarget(image, path.parent, path.name)


class LabelReader:
    """A reader of a mask or labels, as OME-Zarr wants labels: as integers, so true and false become 1 and 0.

    Parameters
    ----------
    reader : Reader
    flat : bool
        Leave out the axis c, which has one pixel.
    """

    identity = None
    """The pixels are computed, so a later run cannot recognise them."""

    source = "array"
    """The pixels are computed; the path of the label already names the image."""

    def __init__(self, reader: Reader, *, flat: bool = False) -> None:
        self._reader = reader
        spec = reader.spec
        self._left_out = spec.axis("c") if flat else None
        if spec.dtype.kind == "b":
            spec = replace(spec, dtype=np.dtype(np.uint8), kind="mask")
        elif spec.kind == "image":
            spec = replace(spec, kind="labels")
        if self._left_out is not None:
            axes = tuple(axis for axis in spec.axes if axis.name != "c")
            chunks = tuple(n for n, name in zip(spec.chunks, spec.dims, strict=True) if name != "c")
            holes = through(spec.missing, [0 if name == "c" else None for name in spec.dims])
            spec = replace(spec, axes=axes, chunks=chunks, channels=(), missing=holes)
        self.spec = replace(spec, meta={}, private={})  # the image itself has the metadata of the source
        order = tuple(name for name in reader.access.order if name in spec.dims)
        self.access = replace(reader.access, order=order)

    def read(self, region: Region) -> Array:
        """Return the ids of ``region``."""
        at = self._left_out
        if at is None:
            found = self._reader.read(region)
        else:
            found = self._reader.read((*region[:at], slice(0, 1), *region[at:])).squeeze(at)
        return found.view(np.uint8) if found.dtype.kind == "b" else found

    def close(self) -> None:
        """Close the wrapped reader."""
        self._reader.close()


def as_label(
    reader: Reader, target: LabelTarget, options: Mapping[str, Any]
) -> tuple[Reader, dict[str, Any]]:
    """Return the reader to write into ``target``, and the options, with the OME-Zarr version of the image.

    A label of one channel belongs to all channels of the image. It loses the axis c, unless the image has one channel
    too.

    Raises
    ------
    UsageError
        The pixels are no ids, there is an axis that the image lacks, or no level of the image has this size.
    """
    image = target.image
    levels = [dict(zip(image.dims, level.shape, strict=True)) for level in image.levels]
    pixels = dict(zip(reader.spec.dims, reader.spec.shape, strict=True))
    label = LabelReader(reader, flat=pixels.get("c") == 1 != levels[0].get("c"))
    spec = label.spec
    if spec.dtype.kind not in "iu":
        raise UsageError(f"label {target.name}: {spec.dtype} is no id; write a mask (img < 125) or integers")
    if unknown := [name for name in spec.dims if name not in image.dims]:
        raise UsageError(
            f"label {target.name}: what is written has the axes {' '.join(spec.dims)}, its image {image.path} has "
            f"{' '.join(image.dims)}, without {unknown[0]}: cut that away, or write it to the "
            "store that it was made from"
        )
    sizes = dict(zip(spec.dims, spec.shape, strict=True))
    if not any(all(level[name] == size for name, size in sizes.items()) for level in levels):
        name = next(name for name in sizes if levels[0][name] != sizes[name])
        raise UsageError(
            f"label {target.name}: {sizes[name]} pixels along {name}, and the image has "
            f"{', '.join(str(level[name]) for level in levels)} in its levels"
        )
    return label, {"ome_version": image.version, **options}


@contextmanager
def adding_label(target: LabelTarget | None) -> Iterator[None]:
    """Make the folder of labels before the label is written into it, and add its name to the list afterwards."""
    if target is None:
        yield
        return
    with explained(target.folder):
        _, _, listed = _listing(target)
        if not isinstance(listed.get("labels") or [], list):
            raise OutputError(
                f"{target.folder}: its list of labels is {listed['labels']!r}, which is no list, and is left "
                'alone: write it again, as in "labels": ["cells"]'
            )
        target.folder.mkdir(exist_ok=True)
    try:
        yield
    except BaseException:
        if not any(target.folder.iterdir()):
            target.folder.rmdir()
        raise
    hook("labelled")
    with explained(target.folder):
        _add_to_list(target)


def _add_to_list(target: LabelTarget) -> None:
    """Add the names of all labels of ours to the list, in one step; an earlier run may have left one off."""
    with locked(target.folder):
        ours = sorted(
            entry.name for entry in os.scandir(target.folder)
            if not entry.name.startswith(".") and (Path(entry.path) / MANIFEST).is_dir()
        )  # fmt: skip
        path, document, block = _listing(target)
        listed = block.get("labels") or []
        block["labels"] = [*listed, *(name for name in ours if name not in listed)]
        if path.name == ".zattrs" and not (target.folder / ".zgroup").exists():
            _replace(target.folder / ".zgroup", {"zarr_format": 2})
        _replace(path, document)
        sync_folder(target.folder)


def _listing(target: LabelTarget) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Return path and content of the document that lists labels, and the part of it with the list."""
    if target.image.version == "0.4":
        path = target.folder / ".zattrs"
        document = _document(path)
        return path, document, document
    path, version = target.folder / "zarr.json", target.image.version
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
        raise OutputError(f"{path}: not JSON as zarr writes it, and left alone: restore the list of labels")
    return found


def _replace(path: Path, document: Mapping[str, Json]) -> None:
    """Write a document whole or not at all."""
    new = path.with_name(f".{path.name}.bigimg")
    with open(new, "wb") as file:
        file.write(dumps(document))
        os.fsync(file.fileno())
    os.replace(new, path)
