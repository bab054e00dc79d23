"""The label images inside a store, each checked as the store of its own that it is."""

from __future__ import annotations

import os
from collections.abc import Callable

from bigimg.errors import InputError
from bigimg.omezarr.metadata import LABELS
from bigimg.omezarr.open import is_store
from bigimg.omezarr.parse import label_names, ome_block
from bigimg.omezarr.tree import Tree, tree_of
from bigimg.verification.report import Finding, Findings


def check_labels(image: Tree, found: Findings, check: Callable[[Tree], Findings]) -> None:
    """Add what is wrong with each label image of ``image``, listed there or not, to ``found``.

    Parameters
    ----------
    image : Tree
        Of the image around them.
    found : Findings
        Of the image; places of what is added begin with ``labels/<name>/``.
    check : callable
        Checks one store.
    """
    try:
        group = image.node(LABELS)
    except InputError as error:
        found.add(Finding("metadata", LABELS, str(error)))
        group = None
    if image.folder is None:
        if group is not None:
            found.note("labels: an image of its own each; verify them where they are folders")
        return
    folder = image.folder / LABELS
    if not folder.is_dir():
        return
    attributes = {} if group is None else group["attributes"]
    if not isinstance(ome_block(attributes).get("labels") or [], list):
        said = 'the list of label images is no list; write it again, as in "labels": ["cells"]'
        found.add(Finding("metadata", LABELS, said))
    there = (
        entry.name for entry in os.scandir(folder)
        if entry.is_dir() and not entry.name.startswith(".") and is_store(entry.path)
    )  # fmt: skip
    for name in sorted({*label_names(attributes), *there}):
        place = f"{LABELS}/{name}"
        if not (folder / name).is_dir():
            said = "is on the list of labels and not there; restore it, or take it off the list"
            found.add(Finding("missing", place, said))
            continue
        try:
            found.take(place, check(tree_of(folder / name)))
        except InputError as error:
            found.add(Finding("metadata", place, str(error).removeprefix(f"{folder / name}: ")))
