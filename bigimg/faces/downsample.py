"""``bigimg downsample``: write a smaller image to a store or a file, within one memory budget."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from typing import Any, Unpack

from bigimg.conversion.progress import Report
from bigimg.errors import UsageError
from bigimg.exporters.run import export
from bigimg.faces.convert import convert_to_store
from bigimg.omezarr.metadata import strict
from bigimg.opening import coordinates
from bigimg.opening.open import Memory, Source
from bigimg.opening.open import open as open_image
from bigimg.ops.downsampling import downsample
from bigimg.ops.resizing import resize
from bigimg.planning.memory import human_bytes
from bigimg.types import Json, Method, Opening

STORES = (".zarr", ".ozx")
"""Endings of targets that are written as stores."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """What was written."""

    source: str
    target: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    spacing: tuple[float | None, ...]
    """None along c."""
    units: tuple[str | None, ...]
    stored_bytes: int
    seconds: float

    def to_dict(self) -> dict[str, Json]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        values = {name: strict(value) for name, value in asdict(self).items()}
        return values | {"seconds": round(self.seconds, 3)}

    def __str__(self) -> str:
        size = " x ".join(map(str, self.shape))
        return f"{self.target}: {size} {self.dtype}, {human_bytes(self.stored_bytes)}, {self.seconds:.1f} s"


def downsample_to(
    source: Source,
    target: str | os.PathLike[str],
    *,
    factor: Any = None,
    to_spacing: Any = None,
    shape: tuple[int, ...] | None = None,
    method: Method | None = None,
    level: int | None = None,
    memory: Memory = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool | Report | None = None,
    **opening: Unpack[Opening],
) -> Reduced:
    """Write ``source`` with fewer pixels to ``target``: a store when it ends in ``.zarr``, else a file.

    Parameters
    ----------
    source : path or anything that opens
    target : path
    factor, to_spacing, method, level :
        As in :func:`bigimg.downsample`. ``factor`` and ``to_spacing`` count from ``level``.
    shape : tuple of int, optional
        As in :func:`bigimg.resize`, in place of ``factor`` and ``to_spacing``.
    memory, workers, overwrite, progress, **opening :
        As in :func:`bigimg.convert`.

    Raises
    ------
    UsageError
        None or several of ``factor``, ``to_spacing`` and ``shape`` are given, or as in :func:`bigimg.downsample`.
    BudgetError, InputError, OutputError
    """
    started = time.monotonic()
    if sum(value is not None for value in (factor, to_spacing, shape)) != 1:
        raise UsageError("downsample: give factor=, to_spacing= or shape=, one of them")
    store = os.fspath(target).rstrip("/").endswith(STORES)
    if not store and overwrite:
        raise UsageError(f"{target}: overwrite=True is for stores: choose another name")
    if not store and workers is not None:
        raise UsageError(f"{target}: workers={workers} is for stores; leave it out for a file")
    # Stored values are averaged, and slope and intercept are written as they are. A negative slope would turn min
    # into max, so these two work on the scaled values.
    img = open_image(source, level=level or 0, memory=memory, **opening, raw=method not in ("min", "max"))
    if shape is not None:
        if method not in (None, "mean", "nearest"):
            raise UsageError(f"method={method}: to a shape it is mean or nearest")
        small = resize(img, shape, method=method, level=None if level is None else 0)
    else:
        small = downsample(img, factor, to_spacing=to_spacing, method=method)
    if store:
        settings: dict[str, Any] = {"workers": workers, "overwrite": overwrite, "method": method}
        stored = convert_to_store(small, target, memory=memory, progress=progress, **settings).stored_bytes
    else:
        stored = export(small, target, memory=memory, progress=progress).stored_bytes
    names = tuple(str(name) for name in small.dims)
    return Reduced(
        os.fspath(source) if isinstance(source, str | os.PathLike) else type(source).__name__,
        os.fspath(target),
        names,
        small.shape,
        str(small.dtype),
        tuple(None if name == "c" else coordinates.spacing(small, name) for name in names),
        tuple(coordinates.units(small, name) for name in names),
        stored,
        time.monotonic() - started,
    )
