"""Files that a file names, in its own folder or below: one from a stranger must not be able to read any file here."""

from __future__ import annotations

import ntpath
import os

from bigimg.errors import InputError, InputNotFoundError


def inside(name: str, start: str = "") -> str | None:
    r"""Return the path of ``name`` in a folder, as seen from its folder ``start``; None if it leads out of the folder.

    >>> inside("a.raw"), inside("..\\a.raw", "sub"), inside("../a.raw"), inside("/a.raw"), inside("C:a.raw")
    ('a.raw', 'a.raw', None, None, None)
    """
    found = os.path.normpath(os.path.join(start, name.replace("\\", "/")))
    leads_out = os.path.isabs(found) or found.split(os.sep)[0] in (".", "..")
    return None if not name or leads_out or ntpath.splitdrive(found)[0] else found


def path_beside(source: str, name: str, start: str = "") -> str:
    """Return the path of what the file ``source`` calls ``name``, which may not be there.

    Parameters
    ----------
    source, name : str
    start : str
        The folder from which the name is seen, as seen from that of ``source``.

    Raises
    ------
    InputError
        It leads out of the folder of ``source``.
    """
    if (found := inside(name, start)) is None:
        what = f"names the file {name!r:.200}, outside its own folder"
        raise InputError(f"{source}: {what}; put that file beside it, and correct the name")
    return os.path.join(os.path.dirname(source), found)


def file_beside(source: str, name: str, start: str = "", *, what: str = "its pixels") -> str:
    """Return the path of the file that the file ``source`` calls ``name``; see :func:`path_beside`.

    Parameters
    ----------
    source, name, start : str
    what : str
        What is in it, for the message.

    Raises
    ------
    InputNotFoundError, InputError
        There is no such file, or it leads out of the folder of ``source``.
    """
    path = path_beside(source, name, start)
    if not os.path.isfile(path):
        shown = os.path.relpath(path, os.path.dirname(source) or ".")
        where = "there" if os.path.dirname(shown) else "beside it"
        raise InputNotFoundError(
            f"{source}: {what} should be in {shown}, which is not there; put that file {where}"
        )
    return path
