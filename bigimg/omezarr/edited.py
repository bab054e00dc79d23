"""What others may edit in a store of ours, and what counts after they did.

The manifest guards what pixels hang on: of each array the shape, type, chunks, codecs, fill value and names of axes,
and of the image its axes and the list of its levels. All other attributes may be edited by anybody. The manifest keeps
those of the image as bigimg wrote them, so an edit can be told, and this is what counts then:

- spacing, origin and units of level 0, names, colours and windows of channels: what the file says now;
- the places of the other levels: they follow from level 0, as they were made from it;
- what bigimg alone writes (``attrs["bigimg"]``: kind, world, scaling, padding, metadata of the source): what was
  written, so no edit of it gives other values; its world follows the units, its channels and window those of the file.

Other attributes of arrays, other groups and consolidated metadata say nothing of pixels and places.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from bigimg.errors import ACCEPT, CorruptChunk, InputError, without_remedy
from bigimg.geometry.affine import as_affine, in_units
from bigimg.geometry.axes import short_unit
from bigimg.geometry.levels import same_place
from bigimg.geometry.spec import Channel
from bigimg.omezarr.finer import finer_of
from bigimg.omezarr.manifest import Manifest, Record, attributes_of, check_small, read_object, record_of
from bigimg.omezarr.metadata import ATTRIBUTES, MANIFEST, array_documents, dumps, group_documents
from bigimg.omezarr.objects import Location
from bigimg.omezarr.parse import ImageMeta, LevelMeta, is_image, parse_array, parse_image
from bigimg.types import Kind, ZarrFormat

OURS = {"ome", "multiscales", "omero", "image-label", "bigimg"}
"""Attributes that bigimg writes."""
OTHER_COPY = "holds other attributes of the image than were written; restore the object"
SHOWN = 3
"""Changes that a note names; ``verify`` names all."""
UNKNOWN = "attributes are not those that were written; an older bigimg kept no copy to say which"
SAID = re.compile(
    r"multiscales\[0\](\.datasets\[\d+\])?\.coordinateTransformations|axes\[\d+\]\.unit"
    r"|omero\.channels\[\d+\]\.(label|color|window\.(start|end))$"
)
"""Attributes of which a line says what they mean, in place of their names."""

type Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Edited:
    """The attributes of an image of ours that others edited."""

    attributes: Attributes
    """Those of the file, with the block of bigimg that counts."""
    image: ImageMeta
    changes: tuple[str, ...]
    """What is not as bigimg wrote it, a line each; nothing where it is only written otherwise."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What ``info`` says of the edit."""
        if not self.changes:
            return ()
        more = len(self.changes) - SHOWN
        rest = f"; and {more} more, which bigimg verify lists" if more > 0 else ""
        said = "; ".join(self.changes[:SHOWN]) + rest
        return (f"edited since bigimg wrote it: {said}; {ACCEPT}",)


def check_document(root: Location, key: str, record: Record) -> None:
    """Compare a document of an array, or ``.zgroup``, with its record; attributes that others added do not count.

    Raises
    ------
    MissingChunk, CorruptChunk
        It is gone, or says something else of the array than was written.
    """
    data = read_object(root / key)
    if record_of(key, data) != record and record_of(key, _guarded(key.rpartition("/")[2], data)) != record:
        check_small(root, key, record)


def _guarded(name: str, data: bytes) -> bytes:
    """Return the document that bigimg would write of an array like that in ``data``; ``data`` where it has no such."""
    try:
        document = json.loads(data)
        if name == ".zgroup":
            return group_documents({}, 2)[name] if document == {"zarr_format": 2} else data
        if name == ATTRIBUTES[2]:
            return dumps({"_ARRAY_DIMENSIONS": document["_ARRAY_DIMENSIONS"]})
        meta = parse_array({**document, "attributes": {}}, source=name)
    except (ValueError, KeyError, TypeError, RecursionError):
        return data
    if meta.layout is None:
        return data
    written = array_documents(meta.layout, tuple(map(str, meta.dims or ())))[name]
    alike = {**document, "attributes": {}} == {**json.loads(written), "attributes": {}}
    return written if alike else data


def edited_image(root: Location, manifest: Manifest, *, trusting: bool = False) -> Edited | None:
    """Return the image in the store ``root`` if its attributes are not as bigimg wrote them; None if they are.

    Parameters
    ----------
    root : Location
    manifest : Manifest
        Of this store.
    trusting : bool
        Take a document of which an older bigimg kept no copy as it is now.

    Raises
    ------
    MissingChunk, CorruptChunk
        The document is gone, or is no longer that of this image, or nothing tells what was written.
    """
    if (key := _root_key(manifest)) is None:
        return None
    zarr: ZarrFormat = 3 if key == ATTRIBUTES[3] else 2
    data, record, written = read_object(root / key), manifest.objects[key], manifest.written
    if manifest.replaced is not None and manifest.replaced.document == record_of(key, data):
        record, written = manifest.replaced.record, manifest.replaced.written
    if record_of(key, data) == record:
        return None
    file = f"{root / key}"
    try:
        now = attributes_of(data, zarr)
        if zarr == 3 and not {"zarr_format": 3, "node_type": "group"}.items() <= json.loads(data).items():
            raise ValueError("it is no group of zarr 3")
    except (ValueError, RecursionError) as error:
        raise CorruptChunk(f"{file}: not JSON as zarr writes it ({error}); restore the object") from None
    if written is None:
        written = _without_copy(now, record, zarr)
    elif not _is_copy(written, record, zarr):
        raise CorruptChunk(f"{root / MANIFEST / key}: {OTHER_COPY}")
    if written is not None:
        return _followed(written, now, file)
    if not trusting:
        _refuse(root, key, record)
    block = now.get("bigimg")
    if not isinstance(block, Mapping) or block.get("kind") not in get_args(Kind.__value__):
        raise CorruptChunk(f"{file}: what bigimg wrote of the image is gone; restore the object")
    return Edited(now, _parsed(now, file), (UNKNOWN,))


def _refuse(root: Location, key: str, record: Record) -> None:
    """Raise the error of a changed document, with the way to keep an edit that was meant."""
    try:
        check_small(root, key, record)
    except CorruptChunk as error:
        raise CorruptChunk(f"{error}, or, if the edit was meant, {ACCEPT}") from None


def check_copy(root: Location, manifest: Manifest) -> None:
    """Compare the attributes that the manifest keeps with their record.

    Raises
    ------
    CorruptChunk
        They are not those that were written.
    """
    if (key := _root_key(manifest)) is None:
        return
    kept = [(manifest.written, manifest.objects[key])]
    if manifest.replaced is not None:
        kept.append((manifest.replaced.written, manifest.replaced.record))
    zarr: ZarrFormat = 3 if key == ATTRIBUTES[3] else 2
    if not all(written is None or _is_copy(written, record, zarr) for written, record in kept):
        raise CorruptChunk(f"{root / MANIFEST / key}: {OTHER_COPY}")


def _root_key(manifest: Manifest) -> str | None:
    """Return the name of the document with the attributes of the image, if the manifest lists one."""
    return next((name for name in ATTRIBUTES.values() if name in manifest.objects), None)


def _is_copy(attributes: Attributes, record: Record, zarr: ZarrFormat) -> bool:
    key = ATTRIBUTES[zarr]
    return record_of(key, group_documents(attributes, zarr)[key]) == record


def _without_copy(now: Attributes, record: Record, zarr: ZarrFormat) -> Attributes | None:
    """Return what was written, where only the form changed or attributes of others came; else it is not known."""
    ours = {key: value for key, value in now.items() if key in OURS}
    return next((each for each in (now, ours) if _is_copy(each, record, zarr)), None)


def _parsed(attributes: Attributes, file: str) -> ImageMeta:
    try:
        if not is_image(attributes):
            raise InputError(f"{file}: names no multiscales")
        return parse_image(attributes, source=file)
    except InputError as error:
        cause = without_remedy(error).removeprefix(f"{file}: ")
        raise CorruptChunk(
            f"{file}: is no longer the metadata of this image ({cause}); restore the object"
        ) from error


def _followed(written: Attributes, now: Attributes, file: str) -> Edited:
    """Return the image of the attributes ``now``, of which some were ``written`` otherwise."""
    was, found = (_parsed(_of_all(each), file) for each in (written, now))
    guarded = [(meta.dims, [level.path for level in meta.levels]) for meta in (was, found)]
    if guarded[0] != guarded[1] or not isinstance(written.get("bigimg"), Mapping):
        raise CorruptChunk(f"{file}: names other axes or levels than were written; restore the object")
    levels = _levels(was, found)
    attributes = {**now, "bigimg": _block(written["bigimg"], was, found)}
    image = replace(_parsed(attributes, file), levels=levels, is_label=was.is_label)
    finer = finer_of(written["bigimg"])
    level = "" if finer is None else f" of level {len(finer.shapes)}"
    changes = tuple(_changes(written, now, was, replace(found, levels=levels), found, level))
    if not changes and now != written:
        changes = ("attributes are written otherwise, and mean the same",)
    return Edited(attributes, image, changes)


def _levels(was: ImageMeta, found: ImageMeta) -> tuple[LevelMeta, ...]:
    """Return the levels as they follow from level 0 of ``found``."""
    base, first = was.levels[0], found.levels[0]
    steps = base.scale or (1.0,) * len(was.dims)
    scale = first.scale or (1.0,) * len(was.dims)
    levels = []
    for level in was.levels:
        factors = [round(a / b) for a, b in zip(level.scale or steps, steps, strict=True)]
        pairs = zip(level.translation, base.translation, steps, strict=True)
        shifts = [round(2 * (a - b) / s) / 2 for a, b, s in pairs]  # half pixels of level 0
        spacing = tuple(s * f for s, f in zip(scale, factors, strict=True))
        origin = tuple(o + s * n for o, s, n in zip(first.translation, scale, shifts, strict=True))
        levels.append(LevelMeta(level.path, spacing, origin))
    return tuple(levels)


def _block(written: Attributes, was: ImageMeta, found: ImageMeta) -> dict[str, Any]:
    """Return what bigimg wrote of the image, with the channels, the window and the units of ``found``."""
    block = dict(written)
    own = [Channel(name, color) for name, color in block.get("channels", ())] or list(was.channels)
    if found.channels != was.channels and len(found.channels) == (len(own) or len(found.channels)):
        before = was.channels if len(was.channels) == len(own) else own
        block["channels"] = [
            [
                mine.name if new.name == old.name else new.name,
                mine.color if new.color == old.color else new.color,
            ]
            for mine, old, new in zip(
                own or found.channels, before or found.channels, found.channels, strict=True
            )
        ]
    if found.shown and [each.window for each in found.shown] != [each.window for each in was.shown]:
        block["window"] = None if found.window is None else _real(found.window, block.get("scaling"))
    if block.get("world") is not None and found.units != was.units:
        units = {name: (a, b) for name, a, b in zip(was.dims, was.units, found.units, strict=True)}
        block["world"] = [list(row) for row in in_units(as_affine(block["world"]), units)]
    return block


def _real(window: tuple[float, float], scaling: Sequence[float] | None) -> list[float]:
    """Return a window of stored values in real values."""
    slope, intercept = scaling or (1.0, 0.0)
    return sorted(value * slope + intercept for value in window)


# ------------------------------------------------------------------------------------------------ what was changed


def changes_between(before: Attributes, after: Attributes, file: str) -> tuple[str, ...]:
    """Return what differs between two attributes of an image that bigimg wrote, a line each; places of level 0."""
    was, found = (_with_level_0(_parsed(_of_all(each), file), each) for each in (before, after))
    return tuple(_changes(_of_all(before), _of_all(after), was, found, found, ""))


def _with_level_0(image: ImageMeta, attributes: Attributes) -> ImageMeta:
    """Return ``image`` with its level 0 first, which is in the source where a store leaves it out."""
    finer = finer_of(attributes["bigimg"])
    if finer is None:
        return image
    return replace(image, levels=(LevelMeta("", finer.spacing, finer.origin), *image.levels))


def _of_all(attributes: Attributes) -> Attributes:
    """Return the attributes that programs share: all but the block of bigimg."""
    return {key: value for key, value in attributes.items() if key != "bigimg"}


def _changes(
    written: Attributes, now: Attributes, was: ImageMeta, counts: ImageMeta, found: ImageMeta, level: str
) -> Iterator[str]:
    """Yield what differs between ``was`` and what ``counts`` of what was ``found``, a line each."""
    yield from _of_places(was, counts, level)
    astray = [
        level.path
        for level, right in zip(found.levels, counts.levels, strict=True)
        if not _alike(level, right)
    ]
    if astray:
        yield f"scale and translation of level {', '.join(astray)} do not follow from level 0, and are not used"
    yield from _of_channels(was, counts)
    if now.get("bigimg") != written.get("bigimg"):
        what = "was changed, and is not followed" if "bigimg" in now else "is gone"
        yield f"bigimg {what}: what bigimg wrote there is kept in the manifest"
    for path, what in _differing("", written, now):
        if not path.startswith("bigimg") and not SAID.search(path):
            yield f"{path} {what}"


def _of_places(was: ImageMeta, counts: ImageMeta, level: str) -> Iterator[str]:
    for i, name in enumerate(was.dims):
        new, old = counts.levels[0], was.levels[0]
        steps = [(each.scale or (1.0,) * len(was.dims))[i] for each in (new, old)]
        units = [f" {short_unit(meta.units[i])}" for meta in (counts, was)]
        yield from _place(f"spacing{level} along {name}", steps, units)
        yield from _place(f"origin{level} along {name}", [new.translation[i], old.translation[i]], ["", ""])


def _place(what: str, numbers: Sequence[float], units: Sequence[str]) -> Iterator[str]:
    """Yield how a new number differs from an old one, in as many digits as that takes."""
    if numbers[0] != numbers[1] or units[0] != units[1]:
        digits = 6 if f"{numbers[0]:.6g}" != f"{numbers[1]:.6g}" or numbers[0] == numbers[1] else 17
        new, old = (f"{number:.{digits}g}{unit}" for number, unit in zip(numbers, units, strict=True))
        yield f"{what} is {new}, was {old}"


def _of_channels(was: ImageMeta, counts: ImageMeta) -> Iterator[str]:
    if len(was.channels) == len(counts.channels):  # else the attribute is named
        for i, (old, new) in enumerate(zip(was.channels, counts.channels, strict=True)):
            if old.name != new.name:
                yield f"name of channel {i} is {new.name}, was {old.name}"
            if old.color != new.color:
                yield f"color of channel {i} is {new.color or 'none'}, was {old.color or 'none'}"
    if len(was.shown) == len(counts.shown):
        for i, (before, after) in enumerate(zip(was.shown, counts.shown, strict=True)):
            if before.window != after.window:
                yield f"window of channel {i} is {_limits(after.window)}, was {_limits(before.window)}"


def _limits(window: tuple[float, float] | None) -> str:
    return "none" if window is None else f"{window[0]:g} to {window[1]:g}"


def _alike(level: LevelMeta, right: LevelMeta) -> bool:
    steps = right.scale or ()
    return same_place(level.scale or (1.0,) * len(steps), steps, steps) and same_place(
        level.translation, right.translation, steps
    )


def _differing(path: str, old: Any, new: Any) -> Iterator[tuple[str, str]]:
    """Yield the path of each attribute that differs, and how; values stay out, which may tell who was imaged."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            inner = f"{path}.{key}".lstrip(".")
            if key not in old or key not in new:
                yield inner, "is new" if key in new else "is gone"
            else:
                yield from _differing(inner, old[key], new[key])
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, pair in enumerate(zip(old, new, strict=True)):
            yield from _differing(f"{path}[{i}]", *pair)
    elif old != new:
        yield path, "was changed"
