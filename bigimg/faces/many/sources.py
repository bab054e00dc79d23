"""The files and stores among many sources, and the name of the store that each of them becomes.

A folder is looked through, with the folders in it: each file whose name is that of a format counts as one image, and
so does a store, a plate, and a folder of DICOM files. Of a store that holds several images each one counts. The folders
are kept below the target. So they are for a pattern with wildcards, from its first part with one on. Of what is given
by name only the name is kept; a pattern with fields, and the index of a plate, has that of its folder.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bigimg.errors import BigimgError, InputError, InputNotFoundError, UnknownFormatError, UsageError
from bigimg.omezarr.open import is_store, open_store
from bigimg.opening.plates import plate_in
from bigimg.places.address import is_fetched
from bigimg.readers.folders.pattern import is_pattern
from bigimg.readers.plates.find import IMAGES
from bigimg.readers.plates.imagexpress import is_htd
from bigimg.readers.plates.opera import is_index
from bigimg.readers.registry import BUILT_IN, find_format, outside_formats

STORES = (".levels.ome.zarr", ".ome.zarr", ".zarr", ".ozx")
MADE = (".levels.ome.zarr", ".ome.zarr")
"""Endings of the names of stores that are made of many files."""
PARTS = {".img": ".hdr", ".brik": ".head", ".brik.gz": ".head", ".rec": ".par"}
"""Endings of files that belong to a header with the same name, which is the image."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image or plate, and its store."""

    source: str
    target: str
    series: str | None = None
    """Name of the image, of a store that holds several."""


def items_of(
    sources: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    into: str | os.PathLike[str],
    ending: str,
    *,
    whole: bool = False,
    each: bool = True,
) -> tuple[Item, ...]:
    """Return the images among ``sources``, in their order, each once.

    Parameters
    ----------
    sources : path, pattern or address, or several of them
    into : path
        The folder of the stores.
    ending : str
        Of their names.
    whole : bool
        Whether a folder that is given is one source, of which a pattern says what is in it.
    each : bool
        Whether each image of a store that holds several, as bioformats2raw makes them, has a store of its own, in a
        folder of the name of theirs.

    Raises
    ------
    InputNotFoundError
        A pattern matches nothing, or no image is in a folder.
    UsageError
        Two images would become one store, or there is no source.
    """
    given = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    if odd := [each for each in given if not isinstance(each, str | os.PathLike)]:
        raise UsageError(f"{type(odd[0]).__name__} is no path: give files, folders, patterns or addresses")
    endings = (*STORES, *_endings())
    root, home = os.fspath(into), os.path.abspath(into)
    pairs = list[Item]()
    for one in [os.fspath(each) for each in given]:
        for path, inside in _images(one, home, endings, whole=whole):
            name = os.path.normpath(os.path.join(root, inside, _stem(_name(path), endings)))
            several = _series(path) if each else ()
            pairs += [Item(path, f"{os.path.join(name, one)}{ending}", one) for one in several]
            pairs += [] if several else [Item(path, f"{name}{ending}")]
    found: dict[str, Item] = {}
    for item in _without_targets(pairs, ending, {os.path.abspath(each) for each in given}):
        key = os.path.abspath(item.target).casefold()  # some systems take a.tif and A.tif for one name
        other = found.setdefault(key, item)
        if (os.path.abspath(other.source), other.series) != (os.path.abspath(item.source), item.series):
            raise UsageError(
                f"{other.source} and {item.source} would both become {item.target}: rename one, convert one by itself, "
                "or give the folder above them, of which the folders are kept"
            )
    if not found:
        raise UsageError("there is no source: give files, folders, patterns or addresses")
    return tuple(found.values())


def _without_targets(items: Sequence[Item], ending: str, named: set[str]) -> Iterator[Item]:
    """Yield the items without stores that a run left beside their sources, whole or reduced; ``named`` ones stay."""
    left = {
        os.path.abspath(item.target.removesuffix(ending)) + each
        for item in items
        for each in MADE
        if not item.source.lower().endswith(MADE)
    }
    for item in items:
        source = os.path.abspath(item.source)
        if source in named or source not in left:
            yield item


def _series(path: str) -> tuple[str, ...]:
    """Return the names of the images of a store that holds several, if they can be names of folders."""
    if not is_store(path):
        return ()
    try:
        found = open_store(path).series
    except BigimgError:  # a plate, or what is damaged: it fails by itself
        return ()
    names = [name for name in found if name and name == os.path.basename(name) and not name.startswith(".")]
    return tuple(found) if len(found) > 1 and len(names) == len(found) else ()


def _endings() -> tuple[str, ...]:
    formats = (*BUILT_IN, *outside_formats()[0])
    return tuple(sorted({each for known in formats for each in known.extensions}, key=len, reverse=True))


def _stem(name: str, endings: Sequence[str]) -> str:
    """Return a name without the ending of its format, and without ``.ome`` before it."""
    known = next((each for each in endings if name.lower().endswith(each) and len(name) > len(each)), None)
    return (name[: -len(known)] if known else name).removesuffix(".ome") or name


def _name(path: str) -> str:
    """Return by what name a source is known: that of its folder where its own says nothing."""
    folder, name = os.path.split(path)
    if not os.path.lexists(path) and is_pattern(path):
        folder = os.path.dirname(path[: path.index("{")])
        return os.path.basename(os.path.abspath(folder)) or "images"  # the root has no name
    if is_htd(name):
        return os.path.splitext(name)[0]
    if is_index(path):
        above = os.path.abspath(folder)
        return os.path.basename(os.path.dirname(above) if os.path.basename(above) == IMAGES else above)
    return name


def _images(
    name: str, home: str, endings: tuple[str, ...], *, whole: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield path and kept folders of each image that ``name`` means; ``home``, where the stores are, is left out."""
    if not os.path.lexists(name) and is_pattern(name):
        yield name, ""
        return
    if not os.path.lexists(name) and not is_fetched(name) and any(mark in name for mark in "*?["):
        above = _before_wildcards(name)
        matched = sorted(glob.glob(name, recursive=True))
        if not matched:
            raise InputNotFoundError(f"{name}: no file matches this pattern; check it")
        for path in matched:
            inside = os.path.relpath(os.path.dirname(path) or ".", above or ".")
            yield from (
                (each, os.path.join(inside, more)) for each, more in _images(path, home, endings, whole=whole)
            )
    elif not os.path.isdir(name) or whole or _is_one(name):
        yield os.path.normpath(name) if os.path.lexists(name) else name, ""
    else:
        images = list(_below(name, home, endings))
        if not images:
            raise InputNotFoundError(
                f"{name}: no image is in this folder, by the names of its files; check the path"
            )
        yield from ((path, os.path.relpath(os.path.dirname(path), name)) for path in images)


def _before_wildcards(pattern: str) -> str:
    while any(mark in pattern for mark in "*?["):
        pattern = os.path.dirname(pattern)
    return pattern


def _below(folder: str, home: str, endings: tuple[str, ...]) -> Iterator[str]:
    """Yield the images in ``folder`` and in the folders below it."""
    with os.scandir(folder) as entries:
        inside = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    names = {entry.name.lower() for entry in inside}
    for entry in inside:
        if entry.is_dir():
            if os.path.abspath(entry.path) == home:
                continue
            if _is_one(entry.path):
                yield entry.path
            else:
                yield from _below(entry.path, home, endings)
        elif entry.name.lower().endswith(endings) and not _is_part(entry.name.lower(), names):
            yield entry.path


def _is_part(name: str, names: set[str]) -> bool:
    return any(
        name.endswith(ending) and name.removesuffix(ending) + header in names
        for ending, header in PARTS.items()
    )


def _is_one(folder: str) -> bool:
    """Return whether a folder is one image: a store, a plate, or files of which the first that is an image is DICOM."""
    if is_store(folder) or _is_plate(folder):
        return True
    with os.scandir(folder) as entries:
        files = sorted(entry.path for entry in entries if entry.is_file() and not entry.name.startswith("."))
    for path in files[:8]:
        try:
            return find_format(path).name == "dicom"
        except (UnknownFormatError, OSError, ValueError):
            continue
    return False


def _is_plate(folder: str) -> bool:
    try:
        return plate_in(folder, {}) is not None
    except InputError:  # it is one, and makes no sense: it fails by itself
        return True
