"""A store of the reduced levels alone: which sources it may have, and what it says of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bigimg.conversion.identity import said
from bigimg.errors import UsageError
from bigimg.omezarr.finer import Finer
from bigimg.omezarr.open import StoreReader
from bigimg.planning.plan import ConversionPlan
from bigimg.reader import Reader
from bigimg.readers.digest import source_digest


def beside(
    plan: ConversionPlan, source: object, reader: Reader, opening: Mapping[str, Any], kind: str | None
) -> ConversionPlan:
    """Return ``plan`` with what its store says of its source, where that has the finer levels.

    Parameters
    ----------
    source : path
        As the user gave it.
    reader : Reader
        Of it.
    opening : mapping
        Options of :class:`bigimg.types.Opening` with which it was opened.
    kind : str, optional
        What the user says that its numbers mean.

    Raises
    ------
    UsageError
        It is no file or folder of this machine.
    """
    if not plan.first:
        return plan
    local = isinstance(source, str | os.PathLike) and os.path.lexists(source)
    local &= not isinstance(reader, StoreReader)
    digest = source_digest(reader) if local else None
    if not isinstance(digest, dict):
        raise UsageError(
            f"{plan.source}: levels_only=True reads level 0 from the source, which must be a file, or a folder of "
            "files, of this machine: give one (of a pattern the folder, with pattern=), or convert it whole"
        )
    finer = Finer(
        path=path_from(plan.target, str(source)),
        digest=digest,
        options=said({**opening, "kind": kind}),
        shapes=tuple(each.level.shape for each in plan.levels[: plan.first]),
        chunks=reader.spec.chunks,
        access=reader.access,
    )
    return replace(plan, finer=finer)


def path_from(target: str | os.PathLike[str], source: str | os.PathLike[str]) -> str:
    """Return the path of ``source`` from the folder of the store ``target``; whole where they are on different drives.

    Links to folders are followed on both sides, so that the path leads there from wherever the store is seen.
    """
    folder, path = (Path(os.path.realpath(Path(os.path.abspath(each)).parent)) for each in (target, source))
    path /= Path(source).name
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return path.as_posix()
