"""The metadata of a store of ours edited in place, and edits of others taken over; no pixel is read or written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

from bigimg.conversion import commit
from bigimg.conversion.attributes import write_attributes
from bigimg.errors import InputError, OutputError, UsageError
from bigimg.geometry.axes import Axis
from bigimg.geometry.levels import Level, axes_at, stored_levels
from bigimg.geometry.spec import ImageSpec
from bigimg.omezarr.edited import changes_between, edited_image
from bigimg.omezarr.label_places import level_under, lies_on
from bigimg.omezarr.manifest import attributes_of, read_manifest, read_object, zarr_at
from bigimg.omezarr.metadata import ATTRIBUTES, LABELS
from bigimg.omezarr.open import is_store, open_store
from bigimg.omezarr.revised import revised
from bigimg.omezarr.store import Store
from bigimg.omezarr.tree import tree_of
from bigimg.planning.edits import Asked, edited_places, edited_spec, edited_windows
from bigimg.system.locks import locked
from bigimg.types import Method, Version


@dataclass(frozen=True, slots=True)
class Edit:
    """What an edit changed. Print it, or take :meth:`to_dict`."""

    store: str
    changes: tuple[str, ...]
    """One line each."""
    labels: tuple[str, ...]
    """Label images that got the spacing of their image."""
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }

    def __str__(self) -> str:
        lines = [f"  {change}" for change in self.changes] or ["  nothing to change: it says so already"]
        lines += [f"  labels/{name}: follows" for name in self.labels]
        return "\n".join([self.store, *lines, *(f"note: {note}" for note in self.notes)])


def edit(
    store: str | os.PathLike[str],
    *,
    channels: Sequence[str] | None = None,
    colors: Sequence[str] | None = None,
    spacing: Any = None,
    window: Sequence[float] | Mapping[int | str, Sequence[float]] | None = None,
) -> Edit:
    """Change what ``store`` says of its channels and its spacing; what is not given stays, and no pixel is touched.

    The metadata of all levels, the affine to the world, and the manifest follow; so does the spacing of label images
    in the store that lie where their image does. A run that is killed leaves the old metadata or the new. What others
    edited before is taken over.

    Parameters
    ----------
    store : path
        An OME-Zarr image that bigimg wrote, or a label image in one.
    channels : sequence of str, optional
        Names, one for each channel.
    colors : sequence of str, optional
        Colours, one for each channel, as six hexadecimal digits: ``"00FF00"``.
    spacing : str or mapping, optional
        Distance of pixel centres, as in :func:`bigimg.convert`: ``"z=2,y=0.5,x=0.5um"``. The centre of the first pixel
        stays where it is.
    window : sequence or mapping, optional
        Real values drawn black and white: ``(100, 4000)`` for all channels, ``{"DAPI": (100, 4000)}`` for some.

    Returns
    -------
    Edit
        ``.changes``, a line each; ``.labels`` that follow; ``.notes``; ``.to_dict()``.

    Raises
    ------
    UsageError
        Nothing is asked for, or something that means nothing for this image: the message names it. The store is no
        folder.
    InputNotFoundError, InputError, IntegrityError
        The store does not exist, or its metadata is damaged.
    OutputError
        bigimg did not write the store, or it cannot be written to.
    """
    asked = Asked(channels, colors, spacing, window)
    if asked.nothing:
        raise UsageError(f"{store}: nothing to edit: give channels=, colors=, spacing= or window=")
    root = image_folder(store)
    with commit.explained(root), locked(root):
        own = own_store(root)
        spec = edited_spec(own.spec(), asked)
        windows: Sequence[tuple[float, float]] | None = _shown(own)
        if asked.window is not None:
            window, windows = edited_windows(spec, [each.window for each in own.image.shown], asked.window)
            spec = replace(spec, window=window)
        before = attributes_of_image(root)
        shown = spec.channels != own.spec().channels or asked.window is not None
        levels = levels_of(own, spec.axes)
        after = _revised(own, before, spec, levels, windows=windows, shown=shown)
        # Labels come first: if the run is killed between, the same command finds those that follow already.
        found = {
            name: _label_follows(root / LABELS / name, own, spec, levels) for name in label_folders(root)
        }
        write_attributes(root, after)
        changes = changes_between(before, after, os.fspath(store))
    followed = tuple(name for name, (follows, _) in found.items() if follows)
    notes = tuple(f"{LABELS}/{name}: {note}" for name, (_, note) in found.items() if note)
    return Edit(os.fspath(store), changes, followed, notes)


def accept_edits(root: Path) -> None:
    """Take over what others edited in the attributes of the image in ``root``; a later check finds no edit."""
    with commit.explained(root), locked(root):
        store = own_store(root, trusting=True)
        levels = levels_of(store, store.spec().axes)
        attributes = attributes_of_image(root, trusting=True)
        write_attributes(
            root, _revised(store, attributes, store.spec(), levels, windows=_shown(store), shown=False)
        )


def image_folder(path: str | os.PathLike[str]) -> Path:
    """Return the folder of the image at ``path``; UsageError where it is none."""
    tree = tree_of(path)
    if tree.folder is None:
        raise UsageError(
            f"{tree.path}: metadata are changed in a folder, and this is none: unpack or fetch it first"
        )
    return tree.folder / open_store(tree).group


def own_store(root: Path, *, trusting: bool = False) -> Store:
    """Return the store in ``root``, which must be one of ours.

    Raises
    ------
    OutputError
        Another program wrote it, or gave it a version that bigimg does not write.
    """
    store = open_store(root, trusting=trusting)
    if not store.has_manifest:
        raise OutputError(
            f"{root}: bigimg did not write this store, and edits its own alone: use what wrote it"
        )
    if store.version not in get_args(Version.__value__):
        raise OutputError(
            f"{root}: OME-Zarr {store.version} is none that bigimg writes; correct its version first"
        )
    return store


def attributes_of_image(root: Path, *, trusting: bool = False) -> Mapping[str, Any]:
    """Return the attributes of the image as they count."""
    manifest, zarr = read_manifest(root), zarr_at(root)
    assert manifest is not None
    edited = edited_image(root, manifest, trusting=trusting)
    return attributes_of(read_object(root / ATTRIBUTES[zarr]), zarr) if edited is None else edited.attributes


def _shown(store: Store) -> list[tuple[float, float]] | None:
    """Return the display window of each channel as the file has it, or None."""
    found = [each.window for each in store.image.shown if each.window is not None]
    return found if len(found) == store.spec().sizes.get("c", 1) else None


def levels_of(store: Store, axes: Sequence[Axis]) -> tuple[Level, ...]:
    """Return the stored levels of ``store`` with the places that ``axes``, those of level 0, give them."""
    shapes = [level.shape for level in store.levels]
    levels = tuple(filter(None, stored_levels(axes, shapes, method=method_of(store))))
    if len(levels) != len(shapes):
        raise InputError(f"{store.path}: its levels are no halves of one another; verify says more")
    return levels[store.finer :]


def method_of(store: Store) -> Method:
    """Return how the levels of a store of ours were made."""
    return cast(Method, store.image.method)


def _revised(
    store: Store, attributes: Mapping[str, Any], spec: ImageSpec, levels: Sequence[Level], *,
    windows: Sequence[tuple[float, float]] | None, shown: bool,
) -> dict[str, Any]:  # fmt: skip
    version = cast(Version, store.version)
    return revised(
        attributes,
        spec,
        levels,
        method=method_of(store),
        version=version,
        windows=windows,
        shown=shown,
    )


# ------------------------------------------------------------------------------------------------ label images


def label_folders(root: Path) -> list[str]:
    """Return the names of the label images in ``root``, also of those that its list lacks."""
    folder = root / LABELS
    if not folder.is_dir():
        return []
    return sorted(
        entry.name for entry in os.scandir(folder)
        if entry.is_dir() and not entry.name.startswith(".") and is_store(entry.path)
    )  # fmt: skip


def _label_follows(folder: Path, image: Store, spec: ImageSpec, levels: Sequence[Level]) -> tuple[bool, str]:
    """Give a label image the places and the channels of its image, if it has those that the image had.

    Returns
    -------
    bool
        Whether it was changed.
    str
        Why it keeps its places, or nothing.
    """
    moved = spec.axes != image.spec().axes
    manifest = read_manifest(folder)
    if manifest is None:
        what = "was not written by bigimg, and keeps its spacing: correct it with what wrote it"
        return False, what if moved else ""
    with locked(folder):
        label = own_store(folder)
        old = found = label.spec()
        at, note = level_under(old, image), ""
        under = () if at is None else axes_at(spec.axes, levels[at])
        if at is not None and lies_on(old, image.spec(at).axes):
            places = {axis.name: (axis.spacing, axis.origin, axis.unit) for axis in under}
            found = edited_places(old, places)
        elif moved and (at is None or not lies_on(old, under)):
            note = f"has places of its own, and keeps them: bigimg edit {folder} sets them"
        if "c" in old.dims and old.channels == image.channels:
            found = replace(found, channels=spec.channels)
        if found != old or manifest.replaced is not None:  # an edit that was killed is brought to its end
            attributes, moved_levels = attributes_of_image(folder), levels_of(label, found.axes)
            write_attributes(
                folder, _revised(label, attributes, found, moved_levels, windows=None, shown=False)
            )
    return found != old, note
