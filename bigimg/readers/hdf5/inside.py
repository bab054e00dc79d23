"""h5py, the extra ``hdf5``, and what a file from a stranger may not do with it: lead to other files, inflate a bomb."""

from __future__ import annotations

import os
from typing import Any

from bigimg.errors import InputError, reading
from bigimg.readers.extras import imported
from bigimg.readers.hdf5.filters import NAMES

HDF5_BYTES = 8 << 20
"""Memory of an open HDF5 file: the library's metadata and its chunk cache of 1 MiB, measured and rounded up."""

ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)
"""What h5py raises on a file that it cannot read."""

MOST_LINKS = 32
"""Soft links that follow one another at most."""

ONE_FILE = "make one file of it with h5repack, where you trust it"

MINC_FILTERS = (1, 2, 3)
"""Filters that MINC writes; all others, and one twice, unpack to sizes that no one has checked."""


def reading_hdf5(path: str) -> reading:
    """Return what names the file in each error of h5py, of which a file that was cut is the most frequent cause."""
    return reading(path, ERRORS, "fetch it again", what="is truncated or damaged")


def find_inside(path: str, file: Any, name: str, links: int = MOST_LINKS) -> Any:
    """Return the group or dataset ``name`` of an open file, None where there is none; links lead nowhere else.

    Raises
    ------
    InputError
        A link or a dataset leads to another file: a file from a stranger must not be able to read any file here.
    """
    h5py = imported("h5py", path)
    at, walked = file, ""
    for part in filter(None, name.split("/")):
        if not isinstance(at, h5py.Group) or (link := at.get(part, getlink=True)) is None:
            return None
        if isinstance(link, h5py.ExternalLink):
            raise InputError(f"{path}: its {name} is a link to the file {link.filename!r}; {ONE_FILE}")
        if isinstance(link, h5py.SoftLink):
            if not links:
                raise InputError(f"{path}: its {name} is a link that never ends; write the file again")
            target = os.path.normpath(os.path.join("/", walked, link.path)).replace(os.sep, "/")
            at = find_inside(path, file, target, links - 1)
        else:
            at = at[part]
        walked = f"{walked}/{part}"
    if wrong := _elsewhere(h5py, name, at):
        raise InputError(f"{path}: {wrong}")
    return at


def check_inside(path: str, file: Any) -> None:
    """Check that all of an open HDF5 file lies in it, and that its datasets unpack only by filters of MINC.

    Raises
    ------
    InputError
        A link or a dataset leads to another file, or another filter is there.
    """
    h5py = imported("h5py", path)

    def wrong_link(name: str, link: Any) -> str | None:
        leads_out = isinstance(link, h5py.ExternalLink)
        return f"its {name} is a link to the file {link.filename!r}; {ONE_FILE}" if leads_out else None

    def wrong_object(name: str, found: Any) -> str | None:
        if not isinstance(found, h5py.Dataset):
            return None
        if wrong := _elsewhere(h5py, name, found):
            return wrong
        made = found.id.get_create_plist()
        numbers = [made.get_filter(i)[0] for i in range(made.get_nfilters())]
        if len(set(numbers)) == len(numbers) and set(numbers) <= set(MINC_FILTERS):
            return None
        what = f"its {name} is packed by the filters {', '.join(map(str, numbers))} of HDF5"
        return f"{what}, and MINC has {', '.join(NAMES[n] for n in MINC_FILTERS)}; pack it so with h5repack"

    # A visit ends at the first that is returned; h5py 3.16 makes a SystemError of what is raised within.
    if wrong := file.visititems_links(wrong_link) or file.visititems(wrong_object):
        raise InputError(f"{path}: {wrong}")


def _elsewhere(h5py: Any, name: str, found: Any) -> str | None:
    """Return what is wrong with a dataset whose values lie in other files."""
    if not isinstance(found, h5py.Dataset) or not (found.is_virtual or found.external):
        return None
    where = found.external[0][0] if found.external else "others"
    return f"the values of its {name} lie in the file {where!r}; {ONE_FILE}"
