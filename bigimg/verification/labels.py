"""The label images inside a store; each of them is a store, and is checked as one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from bigimg.errors import BigimgError, InputError
from bigimg.geometry.spec import ImageSpec
from bigimg.omezarr.archive import Archive
from bigimg.omezarr.label_places import level_under, lies_on
from bigimg.omezarr.metadata import LABELS
from bigimg.omezarr.open import BELOW, open_store
from bigimg.omezarr.parse import label_names, ome_block
from bigimg.omezarr.store import Store
from bigimg.omezarr.tree import Tree, join
from bigimg.verification.report import Finding, Findings


def check_labels(image: Tree, found: Findings, check: Callable[[Tree], Findings]) -> None:
    """Add the findings on each label image of ``image`` to ``found``; also on those that its list lacks.

    Parameters
    ----------
    image : Tree
        Of the image that holds the label images.
    found : Findings
        Of the image. The files of added findings begin with ``labels/<name>/``.
    check : callable
        Checks one store.
    """
    try:
        group = image.node(LABELS)
    except InputError as error:
        found.add(Finding("metadata", LABELS, str(error)))
        group = None
    if not isinstance(image.objects, Archive | None):
        if group is not None:
            found.note("labels: were not checked; give the address of each")
        return
    names = [name for name in image.children(LABELS) if not name.startswith(".")]
    attributes = {} if group is None else group["attributes"]
    if names and not isinstance(ome_block(attributes).get("labels") or [], list):
        message = 'the list of label images is no list; write it again, as in "labels": ["cells"]'
        found.add(Finding("metadata", LABELS, message))
    stores = {name for name in names if _is_store(image, join(LABELS, name))}
    for name in sorted({*label_names(attributes), *stores}):
        path = f"{LABELS}/{name}"
        label = image.below(path)
        assert label is not None
        if name not in names:
            message = "is on the list of labels and not there; restore it, or take it off the list"
            found.add(Finding("missing", path, message))
            continue
        try:
            found.add_image(path, check(label))
        except InputError as error:
            found.add(Finding("metadata", path, str(error).removeprefix(f"{label.path}: ")))
            continue
        with suppress(BigimgError):  # damage is told already
            _compare_places(path, open_store(label).spec(), open_store(image), found)


def _is_store(image: Tree, key: str) -> bool:
    """Return whether there is a store at ``key``, even if its root is gone."""
    with suppress(InputError):
        return any(image.node(join(key, each)) is not None for each in ("", *BELOW))
    return True


def _compare_places(path: str, label: ImageSpec, image: Store, found: Findings) -> None:
    """Note a label image that has the pixels of a level of its image, and not its places."""
    level = level_under(label, image)
    if level is not None and not lies_on(label, image.spec(level).axes):
        found.note(
            f"{path}: has another spacing or origin than level {level} of its image: correct one of them"
        )
