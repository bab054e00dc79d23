"""A mask or label image written into the store of its image, as ``<image>/labels/<name>``.

A label image is a store with its own manifest and pyramid, staged and renamed as any other store, inside ``labels``.
After that its name is added to the list in ``labels``. The image is not changed, so its manifest stays valid. If a
run dies between the two steps, the next label image that is written there adds both names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bigimg.conversion.commit import explained, hook
from bigimg.errors import OutputError, UsageError
from bigimg.geometry.affine import Affine
from bigimg.geometry.axes import Axis
from bigimg.geometry.holes import through
from bigimg.geometry.levels import level_of_sizes, step_between
from bigimg.geometry.spec import ImageSpec
from bigimg.omezarr.manifest import replace_file
from bigimg.omezarr.metadata import LABELS, MANIFEST, dumps, group_metadata
from bigimg.omezarr.open import is_store, open_store
from bigimg.reader import Reader
from bigimg.system.locks import locked
from bigimg.types import Array, Region, Shape

VERSIONS = ("0.4", "0.5", "0.6")


@dataclass(frozen=True, slots=True)
class Grids:
    """What the label images of an image must fit."""

    path: str
    """Of the image."""
    version: str
    axes: tuple[tuple[Axis, ...], ...]
    """Those of each level."""
    world: Affine | None

    @property
    def dims(self) -> tuple[str, ...]:
        """Axis names of the image."""
        return tuple(axis.name for axis in self.axes[0])

    @property
    def shapes(self) -> list[Shape]:
        """Pixels of each level."""
        return [tuple(axis.size for axis in axes) for axes in self.axes]

    def halving(self, level: int, dims: Sequence[str]) -> dict[str, Any]:
        """Return the options by which a label image of ``level``, with the axes ``dims``, has the levels from there.

        The specification wants as many levels in a label image as in its image. None are said where another program
        made levels that halving does not make.
        """
        steps = [step_between(*pair) for pair in pairwise(self.shapes[level:])]
        if any(step is None or max(step) == 1 for step in steps):
            return {}
        names = [
            "".join(name for name, n in zip(self.dims, step or (), strict=True) if n == 2 and name in dims)
            for step in steps
        ]
        halved = tuple(filter(None, names))  # a label without z lacks the levels that halve z alone
        return {"levels": len(halved) + 1, "halve": halved}


@dataclass(frozen=True, slots=True)
class LabelTarget:
    """The image and the name under which a label image is written."""

    image: Grids
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
    if path.parent.parent.is_file():
        raise OutputError(
            f"{target}: the image is in one file, and labels are written into folders: unpack it first"
        )
    image = open_store(path.parent.parent)
    if image.version not in VERSIONS:
        raise OutputError(
            f"{target}: the image is OME-Zarr {image.version}, and labels are written into {', '.join(VERSIONS)}: "
            "convert it first"
        )
    # A label image has the levels that are stored of its image: its models refuse more.
    levels = [image.spec(number) for number in range(image.finer, len(image.levels))]
    grids = Grids(image.path, image.version, tuple(spec.axes for spec in levels), levels[0].world)
    return LabelTarget(grids, path.parent, path.name)


class LabelReader:
    """A reader of a mask or labels, as OME-Zarr wants labels: as integers, so true and false become 1 and 0.

    Parameters
    ----------
    reader : Reader
    flat : bool
        Leave out the axis c, which has one pixel.
    """

    identity: str | None = None
    """Which label image of its store it is. None if the pixels may be computed: a later run cannot recognise them."""

    source = "array"
    """What it is in messages; the path of a label whose pixels are computed already names the image."""

    local: str | None = None
    """The folder or file that holds the store of ``identity``."""

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

    def lie_on(self, axes: Sequence[Axis], world: Affine | None) -> None:
        """Take the place of an image with ``axes`` and ``world``."""
        by_name = {axis.name: axis for axis in axes}
        self.spec = replace(self.spec, axes=tuple(by_name[name] for name in self.spec.dims), world=world)

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
    reader: Reader, target: LabelTarget, options: Mapping[str, Any], *, moved: bool = False
) -> tuple[LabelReader, dict[str, Any]]:
    """Return the reader to write into ``target``, and the options, with the OME-Zarr version and levels of the image.

    A label of one channel belongs to all channels of the image. It loses the axis c, unless the image has one channel
    too. If nothing says where the label lies, or if the image was ``moved``, it lies where the level of its size does.

    Raises
    ------
    UsageError
        The pixels are no ids, there is an axis that the image lacks, or no level of the image has this size.
    """
    image = target.image
    finest = dict(zip(image.dims, image.shapes[0], strict=True))
    label = LabelReader(reader, flat=reader.spec.sizes.get("c") == 1 != finest.get("c"))
    spec = label.spec
    if spec.dtype.kind not in "iu":
        raise UsageError(f"label {target.name}: {spec.dtype} is no id; write a mask (img < 125) or integers")
    if unknown := [name for name in spec.dims if name not in image.dims]:
        raise UsageError(
            f"label {target.name}: what is written has the axes {' '.join(spec.dims)}, its image {image.path} has "
            f"{' '.join(image.dims)}, without {unknown[0]}: cut that away, or write it to the "
            "store that it was made from"
        )
    sizes = spec.sizes
    if (level := level_of_sizes(image.dims, image.shapes, sizes)) is None:
        name = next(name for name in sizes if finest[name] != sizes[name])
        along = image.dims.index(name)
        raise UsageError(
            f"label {target.name}: {sizes[name]} pixels along {name}, and the image has "
            f"{', '.join(str(shape[along]) for shape in image.shapes)} in its levels"
        )
    if moved or says_no_place(spec):
        label.lie_on(image.axes[level], image.world)
    given = {name: value for name, value in options.items() if value is not None}
    levels = {} if "halve" in given else image.halving(level, spec.dims)
    return label, {**levels, **given, "ome_version": image.version}


def says_no_place(spec: ImageSpec) -> bool:
    """Return whether the axes of space are mere indices."""
    return spec.world is None and all(
        axis.unit is None and axis.spacing == 1 and axis.origin == 0
        for axis in spec.axes
        if axis.type == "space"
    )


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
            replace_file(target.folder / ".zgroup", dumps({"zarr_format": 2}))
        replace_file(path, dumps(document))


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
