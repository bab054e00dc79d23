"""Opened stores: OME-Zarr 0.4, 0.5 and 0.6, series of bioformats2raw, labels, and bare zarr arrays.

This module finds an image in a hierarchy, checks that its levels agree, and checks the metadata of a store of ours
against its manifest; what of it others may edit is in :mod:`~bigimg.omezarr.edited`. A store of ours without a
manifest is damaged. For stores of others, notes say what cannot be known. Opening reads JSON only, and does not
import zarr.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

from bigimg.errors import InputError, IntegrityError, UsageError, few
from bigimg.geometry.axes import ORDER, Axis
from bigimg.geometry.levels import Level, same_place, step_between, stored_levels
from bigimg.omezarr.documents import DOCUMENTS
from bigimg.omezarr.edited import check_document, edited_image
from bigimg.omezarr.manifest import GROUP, Manifest, read_manifest
from bigimg.omezarr.metadata import ATTRIBUTES, LABELS
from bigimg.omezarr.objects import Location
from bigimg.omezarr.parse import (
    ArrayMeta,
    ImageMeta,
    LevelMeta,
    is_image,
    label_names,
    ome_block,
    parse_array,
    parse_image,
)
from bigimg.omezarr.plate_tree import field_named
from bigimg.omezarr.plates import is_plate, is_well, parse_plate, parse_well
from bigimg.omezarr.store import Store, StoredLevel, StoreReader
from bigimg.omezarr.tree import NAMED_ZIPS, ZIPPED, Node, Tree, join, tree_of
from bigimg.omezarr.xarray_groups import image_of_group
from bigimg.places.address import is_url
from bigimg.types import Method, Shape

__all__ = ["Store", "StoreReader", "StoredLevel", "is_store", "open_inside", "open_store"]

GUESSED = {2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}
"""Axes of a bare array that names none."""
BELOW = (GROUP, "0")
"""Nodes by which a store is recognised if its own document is gone: our group, and the first level."""


def is_store(path: str | os.PathLike[str]) -> bool:
    """Return whether ``path`` looks like a zarr hierarchy, even if its root is gone; needs a few requests."""
    local = Path(path)
    if os.path.isdir(local):  # its own is_dir raises for a name that is too long
        folders = (local, *(local / name for name in BELOW))
        return any((folder / name).is_file() for folder in folders for name in DOCUMENTS)
    if os.path.isfile(local) and local.name.lower().endswith(NAMED_ZIPS):
        return True  # even if it is damaged: opening it says what is wrong
    if os.path.isfile(local) and local.suffix.lower() not in ZIPPED:
        return False
    try:
        tree = tree_of(path)
        return any(tree.node(key) is not None for key in ("", *BELOW))
    except InputError:
        if is_url(os.fspath(path)):
            raise  # a server that refuses or fails does not say that there is no store
        return False
    except (OSError, ValueError, ImportError):  # a zip file of something else, an unknown protocol
        return False


def open_store(
    path: str | os.PathLike[str] | Tree, *, series: int | str | None = None, trusting: bool = False
) -> Store:
    """Return the image in the store at ``path``, without reading a pixel.

    Parameters
    ----------
    path : str, path-like or Tree
        A folder, a zip file or a URL; also a series, a label image or an array inside a store.
    series : int or str, optional
        Which image, where there are several: its number or its name. The first by default; of a plate one must be
        chosen, as ``B/03/0``.
    trusting : bool
        Take edited attributes of which an older bigimg kept no copy as they are.

    Raises
    ------
    InputNotFoundError
        There is nothing at ``path``.
    InputError
        It is no image that can be read; the message names what is missing.
    IntegrityError
        It is a store of ours, and part of its metadata is gone or changed.
    UsageError
        There is no such series.
    """
    tree = path if isinstance(path, Tree) else tree_of(path)
    with _naming_damage(tree, ""):
        node = tree.node("")
        if node is None:
            way = "restore it, or give what is below: 0" if tree.node("0") else "give the folder of a store"
            raise InputError(f"{tree.path}: no zarr.json, .zgroup or .zarray here; {way}")
        manifest = read_manifest(tree.location(""))
        if manifest is not None:  # whatever others made of the root, it is that of one image
            _chosen(tree, ("",), series)
            return _open_image(tree, "", node, ("",), manifest, trusting=trusting)
        if series in (None, 0, "0") and _is_bare(node) and (theirs := image_of_group(tree, "")) is not None:
            return _store(tree, "", *theirs, (), ("",))
        found: tuple[str, ...]
        if is_plate(node["attributes"]):
            group = field_named(tree, parse_plate(node["attributes"], source=tree.path), series)
            found = (group,)
        else:
            found = _find(tree, node)
            group = _chosen(tree, found, series)
    with _naming_damage(tree, group):
        node = _node(tree, group, "the group of this series") if group else node
        if _is_array(node):
            return _open_array(tree, group, node, found)
        manifest = read_manifest(tree.location(group))
        return _open_image(tree, group, node, found, manifest, trusting=trusting)


def open_inside(store: Store, key: str) -> Store:
    """Return the image at ``key`` inside the open one, such as a label image; in a zip file and behind a URL too.

    Raises
    ------
    InputError, IntegrityError
        As :func:`open_store`.
    """
    group = join(store.group, key)
    with _naming_damage(store.tree, group):
        node = _node(store.tree, group, "this group")
        return _open_image(store.tree, group, node, (group,), read_manifest(store.tree.location(group)))


def _node(tree: Tree, key: str, what: str) -> Node:
    """Return the node at ``key``, which must exist."""
    node = tree.node(key)
    if node is None:
        raise InputError(f"{tree.where(key)}: {what} is missing; restore it")
    return node


@contextmanager
def _naming_damage(tree: Tree, group: str) -> Iterator[None]:
    """If an image of ours cannot be opened, name the document that was lost or changed, because that is the cause.

    Raises
    ------
    IntegrityError
        A document is not as it was written.
    """
    try:
        yield
    except InputError as error:
        with suppress(InputError):  # the manifest cannot be read, so the first error stands
            _check_documents(tree.location(group), str(error))
        raise


def _check_documents(root: Location, message: str) -> None:
    manifest = read_manifest(root)
    if manifest is None:
        if any((root / GROUP / name).exists() for name in DOCUMENTS):
            raise IntegrityError(f"{message}; its manifest is gone too, so convert it again if need be")
        return
    edited_image(root, manifest)
    for key, record in manifest.objects.items():
        if (
            key.rpartition("/")[2] in DOCUMENTS
            and not key.startswith(f"{GROUP}/")
            and key not in ATTRIBUTES.values()
        ):
            check_document(root, key, record)


def _is_array(node: Node) -> bool:
    return bool(node["node_type"] == "array")


def _find(tree: Tree, node: Node) -> tuple[str, ...]:
    """Return the paths of the images under the root ``node``; ``""`` when it is one itself."""
    attributes = node["attributes"]
    ome = ome_block(attributes)
    if _is_array(node) or is_image(attributes):
        return ("",)
    if "bioformats2raw.layout" in ome or "bioformats2raw.layout" in attributes:
        return _series(tree)
    if isinstance(ome.get("labels"), list):
        return label_names(attributes)
    if is_well(attributes):
        return tuple(field.path for field in parse_well(attributes, source=tree.path))
    inside = {name: tree.node(name) for name in tree.children("") if not name.startswith(".")}
    arrays = tuple(name for name, child in inside.items() if child is not None and _is_array(child))
    if len(arrays) == 1:
        return arrays
    if arrays:
        raise InputError(f"{tree.path}: a group without multiscales; give one of its arrays: {few(arrays)}")
    below = list(itertools.islice(_arrays_below(tree, ""), 9))
    if len(below) == 1:
        return tuple(below)
    if below:
        raise InputError(f"{tree.path}: a group of groups; give one of the arrays in it: {few(below)}")
    raise InputError(f"{tree.path}: a zarr group with neither multiscales nor arrays; not an OME-Zarr image")


def _is_bare(node: Node) -> bool:
    """Return whether it is a group that says nothing of images."""
    attributes = node["attributes"]
    known = {"multiscales", "bioformats2raw.layout", "labels", "plate", "well"}
    return not _is_array(node) and not known & {*ome_block(attributes), *attributes}


def _arrays_below(tree: Tree, key: str, depth: int = 8) -> Iterator[str]:
    """Yield the arrays in a group and in its groups, as a ``component`` of dask is one."""
    for name in tree.children(key) if depth else ():
        child = None if name.startswith(".") else tree.node(join(key, name))
        if child is not None and _is_array(child):
            yield join(key, name)
        elif child is not None:
            yield from _arrays_below(tree, join(key, name), depth - 1)


def _series(tree: Tree) -> tuple[str, ...]:
    """Return the images of a bioformats2raw layout: those its OME group lists, else the numbered groups."""
    node = tree.node("OME")
    listed = None if node is None else ome_block(node["attributes"]).get("series")
    if isinstance(listed, list):
        return tuple(map(str, listed))
    return tuple(name for name in tree.children("") if name.isdecimal()) or ("0",)


def _chosen(tree: Tree, found: Sequence[str], series: int | str | None) -> str:
    if not found:
        raise InputError(f"{tree.path}: the group lists no images; nothing to open")
    if series is None:
        return found[0]
    if isinstance(series, str) and series in found:
        return series
    number = int(series) if isinstance(series, int) or series.isdecimal() else -1
    if not 0 <= number < len(found):
        names = few(found) if found != ("",) else "0"
        raise UsageError(f"{tree.path}: no series {series!r}; there are {len(found)}: {names}")
    return found[number]


def _open_image(
    tree: Tree, group: str, node: Node, found: tuple[str, ...], manifest: Manifest | None, *, trusting: bool = False
) -> Store:  # fmt: skip
    edited = None if manifest is None else edited_image(tree.location(group), manifest, trusting=trusting)
    if edited is None and not is_image(node["attributes"]):
        raise InputError(f"{tree.where(group)}: a zarr group without multiscales; not an OME-Zarr image")
    image = parse_image(node["attributes"], source=tree.where(group)) if edited is None else edited.image
    keys = [join(group, level.path) for level in image.levels]
    nodes = {key: _node(tree, key, "multiscales names this array, and it") for key in keys}
    arrays = tuple(parse_array(nodes[key], source=tree.where(key)) for key in keys)
    _agree(tree.where(group), image, arrays)
    labels = tree.node(join(group, LABELS))
    names = () if labels is None else label_names(labels["attributes"])
    _check_own(tree, group, image, manifest)
    return _store(tree, group, image, arrays, names, found, () if edited is None else edited.notes)


def _agree(where: str, image: ImageMeta, arrays: Sequence[ArrayMeta]) -> None:
    """Refuse levels that cannot be those of one image."""
    for level, meta, above in zip(image.levels, arrays, (arrays[0], *arrays), strict=False):
        if len(meta.shape) != len(image.dims):
            raise InputError(
                f"{where}: array {level.path} has shape {meta.shape}, and its axes are {' '.join(image.dims)}; "
                "correct the metadata"
            )
        if meta.dtype.newbyteorder("=") != arrays[0].dtype.newbyteorder("="):
            types = f"{meta.dtype}, the first {arrays[0].dtype}"
            raise InputError(f"{where}: level {level.path} is {types}; write it again")
        if any(n > m for n, m in zip(meta.shape, above.shape, strict=True)):
            raise InputError(
                f"{where}: level {level.path} of shape {meta.shape} is larger than the one before it, "
                f"{above.shape}; list the largest first"
            )


def _open_array(tree: Tree, group: str, node: Node, found: tuple[str, ...]) -> Store:
    where = tree.where(group)
    meta = parse_array(node, source=where)
    notes: tuple[str, ...] = ()
    names = meta.dims
    if names is None or all(name is None for name in names):
        if len(meta.shape) not in GUESSED:
            raise InputError(f"{where}: {len(meta.shape)} axes without names; name them t c z y x")
        names = tuple(GUESSED[len(meta.shape)])
        notes = (f"the array names no axes: taken as {' '.join(names)}",)
    dims = tuple(str(name).lower() for name in names)
    if len(dims) != len(meta.shape) or not set(dims) <= set(ORDER) or len(set(dims)) != len(dims):
        axes = " ".join(map(str, names))
        raise InputError(f"{where}: axes {axes} are not among {' '.join(ORDER)}; rename them")
    level = LevelMeta("", (1.0,) * len(dims), (0.0,) * len(dims))
    image = ImageMeta(version="", dims=dims, units=(None,) * len(dims), levels=(level,), notes=notes)
    return _store(tree, group, image, (meta,), (), found)


def _store(
    tree: Tree,
    group: str,
    image: ImageMeta,
    arrays: tuple[ArrayMeta, ...],
    labels: tuple[str, ...],
    found: tuple[str, ...],
    more: tuple[str, ...] = (),
) -> Store:
    order = tuple(sorted(range(len(image.dims)), key=lambda i: ORDER.index(image.dims[i])))
    levels = tuple(
        _stored_level(image, level, meta, arrays[0].shape, order)
        for level, meta in zip(image.levels, arrays, strict=True)
    )
    levels = (*_finer_levels(image, levels[0]), *levels)
    notes = (*image.notes, *more)
    if len(found) > 1:
        ways = "choose with series=NAME, or make a store of each with into=FOLDER"
        notes += (f"one of {len(found)} images in the store: {few(found)}; {ways}",)
    has_manifest = image.manifest is not None
    if not has_manifest:
        if not group and tree.folder is not None and (tree.folder.parent / GROUP).is_dir():
            notes += (
                "one array of a store of bigimg: for its places, labels and checks, give the store itself",
            )
        notes += ("no manifest: an object that is absent reads as the fill value, as zarr has it",)
    store = Store(
        tree.path, image, levels, order, tree, group, has_manifest, labels, found, notes, arrays,
        len(levels) - len(arrays),
    )  # fmt: skip
    try:
        store.spec()
    except UsageError as error:
        raise InputError(f"{tree.where(group)}: not an image ({error}); choose another array") from error
    return store


def _stored_level(
    image: ImageMeta, level: LevelMeta, meta: ArrayMeta, largest: Shape, order: Sequence[int]
) -> StoredLevel:
    # Versions without scales downsample by whole factors.
    scale = level.scale or tuple(float(round(n / m)) for n, m in zip(largest, meta.shape, strict=True))
    return StoredLevel(
        level.path,
        tuple(meta.shape[i] for i in order),
        meta.dtype.newbyteorder("="),
        tuple(meta.chunk[i] for i in order),
        tuple(meta.shard[i] for i in order),
        tuple(-abs(scale[i]) if image.dims[i] in image.backwards else scale[i] for i in order),
        tuple(level.translation[i] for i in order),
    )


def _finer_levels(image: ImageMeta, first: StoredLevel) -> Iterator[StoredLevel]:
    """Yield the levels that are not stored; where the ``first`` that is stored was moved, they lie under it."""
    finer = image.finer
    if finer is None:
        return
    steps = [step_between(*pair) for pair in itertools.pairwise((*finer.shapes, first.shape))]
    if None in steps:
        raise InputError(
            f"'source' lists levels of {finer.shapes}, and half of them is not {first.shape}; restore the metadata"
        )
    method = cast(Method, image.method)

    def levels(spacing: Sequence[float], origin: Sequence[float]) -> list[Level]:
        numbers = zip(image.dims, finer.shapes[0], spacing, image.units, origin, strict=True)
        axes = [Axis(*each) for each in numbers]
        return list(filter(None, stored_levels(axes, (*finer.shapes, first.shape), method=method)))

    found = levels(finer.spacing, finer.origin)
    if not (
        same_place(found[-1].spacing, first.spacing, first.spacing)
        and same_place(found[-1].origin, first.origin, first.spacing)
    ):
        spacing = [s / f for s, f in zip(first.spacing, found[-1].factors, strict=True)]
        shift = levels(spacing, [0.0] * len(spacing))[-1].origin
        found = levels(spacing, [o - s for o, s in zip(first.origin, shift, strict=True)])
    for level in found[:-1]:
        chunk = tuple(max(1, c // f) for c, f in zip(finer.chunks, level.factors, strict=True))
        yield StoredLevel("", level.shape, first.dtype, chunk, chunk, level.spacing, level.origin)


def _check_own(tree: Tree, group: str, image: ImageMeta, manifest: Manifest | None) -> None:
    """Compare the metadata of the levels with the manifest, if the store has one.

    Raises
    ------
    IntegrityError
        The store says that it has one, and it is gone or does not match.
    """
    if image.manifest is None:
        return
    if manifest is None:
        where = tree.where(join(group, image.manifest))
        raise IntegrityError(f"{where}: the manifest of this store is gone; restore it, or convert again")
    root, objects = tree.location(group), manifest.objects
    for level in image.levels:
        names = (f"{level.path}/{name}" for name in ("zarr.json", ".zarray", ".zattrs"))
        keys = [name for name in names if name in objects]
        if not keys:
            raise IntegrityError(f"{root / level.path}: this level is not in the manifest; restore the store")
        for key in keys:
            check_document(root, key, objects[key])
