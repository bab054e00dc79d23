"""Patches to files: a folder of pictures, one array, or a zarr group, with a table of their positions.

Patches are written in the order in which the source is read fastest, and numbered in the order of the sequence.
Everything is written under a hidden name beside the target and renamed at the end, so the target is whole or absent.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bigimg.conversion.commit import explained
from bigimg.conversion.progress import Meter, Report, reporting
from bigimg.conversion.target import checked_target
from bigimg.errors import UsageError, counted
from bigimg.exporters.staging import give_name, part_of, staged
from bigimg.omezarr.metadata import strict
from bigimg.ops.patches.cutting import portions
from bigimg.planning.disk import check_free
from bigimg.planning.memory import human_bytes
from bigimg.types import Array, Json

if TYPE_CHECKING:
    from bigimg.ops.patches.sequence import Patches

TABLE = "coordinates.csv"
PICTURES = ("png", "tif", "npy")
ENDING = re.compile(r"\.(?!(?:npy|zarr)$)[a-z][a-z0-9]*$", re.IGNORECASE)
"""Ending of a file format in which patches cannot be written. A folder may be called ``run.2``: a number is none."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What was written."""

    target: str
    format: str
    """``png``, ``tif`` or ``npy`` for a folder of files, ``array`` for one ``.npy``, ``zarr``."""
    patches: int
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    """Shape of one patch, in the order of :attr:`dims`."""
    dtype: str
    seed: int | None
    coordinates: str
    """Path of the table."""
    decoded_bytes: int
    """Of all patches."""
    seconds: float

    def to_dict(self) -> dict[str, Json]:
        """Return JSON-safe values; the schema is in docs/reference/json.md."""
        values = {name: strict(value) for name, value in asdict(self).items()}
        return values | {"seconds": round(self.seconds, 3)}

    def __str__(self) -> str:
        size = " ".join(f"{name} {n}" for name, n in zip(self.dims, self.shape, strict=True))
        drawn = "" if self.seed is None else f", drawn with seed {self.seed}"
        return (
            f"{self.target}: {counted(self.patches, 'patch')} of {size}, {self.dtype}{drawn} "
            f"({human_bytes(self.decoded_bytes)} decoded), places in {self.coordinates}\n"
            f"{self.seconds:.1f} s, {human_bytes(self.decoded_bytes / max(self.seconds, 1e-3))}/s"
        )


def save_patches(
    patches: Patches,
    target: str | os.PathLike[str],
    *,
    format: str | None = None,
    progress: bool | Report | None = None,
) -> Saved:
    """Write all ``patches`` to ``target``, and their positions to a table of comma-separated values.

    Parameters
    ----------
    patches : Patches
    target : path
        A name ending in ``.npy`` gives one array (n, y, x, c), as ``patches.stack()``; one ending in ``.zarr`` gives
        a group that ``xarray.open_zarr`` reads. Their table lies beside them, with ``.csv`` after the name. Any other
        name gives a folder with one file for each patch and the table.
    format : {"png", "tif", "npy"}, optional
        Format of the files in a folder; by default ``png`` if it can hold the pixels, else ``tif``.
    progress : bool or callable, optional
        As in :func:`bigimg.convert`.

    Raises
    ------
    UsageError
        The format cannot hold such patches, or ``target`` has the ending of another format.
    TargetExistsError, OutputError
        Nothing is left behind, nothing was changed.
    """
    path = checked_target(target, patches)
    if format is None and not os.fspath(target).endswith(os.sep) and ENDING.search(path.name):
        raise UsageError(
            f"{target}: patches are not written as {path.suffix}: give a name ending in .npy or .zarr, or that of a "
            f"folder, as in {path.with_suffix('')} or {target}{os.sep}"
        )
    kind = {".npy": "array", ".zarr": "zarr"}.get(path.suffix.lower()) or format
    kind = kind or ("tif" if _no_png(patches) else "png")
    if kind in ("array", "zarr") and format is not None:
        raise UsageError(
            f"format={format!r} is of the files in a folder, and {path.name} is none: leave it out"
        )
    if kind not in (*PICTURES, "array", "zarr"):
        raise UsageError(f"format={kind!r}: give one of {', '.join(PICTURES)}")
    if kind == "png" and (why := _no_png(patches)):
        raise UsageError(f"{target}: {why}: give format='tif' or 'npy', or a target ending in .npy or .zarr")
    if kind in ("array", "npy", "tif"):
        check_free(target, path.parent, patches.nbytes)
    started = time.monotonic()
    with reporting(progress) as report:
        meter = Meter(patches.nbytes, report)
        meter.stage = "patches"
        if kind in PICTURES:
            _folder(patches, path, kind, meter)
        else:
            with staged([checked_target(path.with_name(path.name + ".csv"), patches)]) as (table,):
                _write_table(patches, table, None)
                (_array if kind == "array" else _folder)(patches, path, kind, meter)
    typed = Path(target)
    table = typed / TABLE if kind in PICTURES else typed.with_name(typed.name + ".csv")
    return Saved(
        os.fspath(target), kind, len(patches), patches.dims, patches.shape[1:], str(patches.dtype), patches.seed,
        str(table), patches.nbytes, time.monotonic() - started,
    )  # fmt: skip


def _array(patches: Patches, path: Path, kind: str, meter: Meter) -> None:
    """Write one ``.npy``."""
    with staged([path]) as (part,):
        shape = (len(patches), *patches.labels.shape(patches.cutter.patch, "last"))
        descr = np.lib.format.dtype_to_descr(patches.dtype)
        header = {"descr": descr, "fortran_order": False, "shape": shape}
        with open(part, "r+b") as file:
            np.lib.format.write_array_header_2_0(file, header)
            first = file.tell()
            for rank, pixels in patches.items():
                file.seek(first + rank * patches.cutter.nbytes)
                file.write(np.ascontiguousarray(pixels).data)
                meter.advance(pixels.nbytes)


def _folder(patches: Patches, path: Path, kind: str, meter: Meter) -> None:
    """Write a folder of files with their table, or a zarr group."""
    part = part_of(path)
    with explained(path):
        part.mkdir()
        try:
            if kind == "zarr":
                import dask
                import zarr  # noqa: F401  # before cutter.fit measures memory

                patches.cutter.fit(patches.cutter.memory)
                group = patches.to_dataset().drop_encoding()
                group["image"].attrs = {}  # the name of the source may tell who was imaged
                # Zarr format 3 has no specified text type, which channel names need, and no consolidated metadata.
                written = group.to_zarr(part, mode="w", zarr_format=2, consolidated=True, compute=False)
                # One thread holds one block in memory, and its patches are read ahead.
                written.compute(scheduler=dask.get)
            else:
                name = f"{{:0{len(str(max(0, len(patches) - 1)))}}}.{kind}"
                write: Callable[[Path, Array, Patches], None] = {"png": _png, "tif": _tif, "npy": _npy}[kind]
                for rank, pixels in patches.items("last"):
                    write(part / name.format(rank), pixels, patches)
                    meter.advance(pixels.nbytes)
                _write_table(patches, part / TABLE, name)
            give_name(part, path)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _write_table(patches: Patches, path: Path, name: str | None) -> None:
    """Write a row for each patch: number, file (if ``name`` formats one), first pixel and its coordinates."""
    axes = [axis for axis in patches.labels.dims if axis != "c"]
    with open(path, "w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text, lineterminator="\n")
        indices, positions = [f"{axis}_index" for axis in axes], [f"{axis}_position" for axis in axes]
        writer.writerow(["patch", *(["file"] if name else []), *indices, *positions])
        for ranks in portions(len(patches)):
            starts = patches.positions.starts(ranks)
            places = [patches.labels.position(axis, starts[:, i]).tolist() for i, axis in enumerate(axes)]
            for rank, start, *position in zip(ranks.tolist(), starts.tolist(), *places, strict=True):
                writer.writerow([rank, *([name.format(rank)] if name else []), *start, *position])


def _no_png(patches: Patches) -> str | None:
    """Return why PNG cannot hold the patches; None if it can."""
    shape = patches.labels.shape(patches.cutter.patch, "last")
    channels = shape[-1] if "c" in patches.dims else 1
    if len(shape) - ("c" in patches.dims) != 2:
        return "a PNG has two axes beside the channels"
    allowed = {1: ("uint8", "uint16", "bool"), 3: ("uint8",), 4: ("uint8",)}
    if str(patches.dtype) not in allowed.get(channels, ()):
        return f"no PNG is written of {channels} channels of {patches.dtype}"
    return None


def _png(path: Path, pixels: Array, patches: Patches) -> None:
    from PIL import Image

    flat = pixels[..., 0] if "c" in patches.dims and pixels.shape[-1] == 1 else pixels
    Image.fromarray(np.ascontiguousarray(flat)).save(path, "PNG")


def _tif(path: Path, pixels: Array, patches: Patches) -> None:
    import tifffile

    color = "c" in patches.dims and pixels.shape[-1] in (3, 4) and patches.dtype.name in ("uint8", "uint16")
    planar = patches.labels.kept
    if "c" in planar and not color:
        pixels = np.moveaxis(pixels, -1, planar.index("c"))
    values = pixels.astype(np.uint8) if pixels.dtype == bool else pixels
    axes = "".join(name for name in planar if name != "c") + "S" if color else "".join(planar)
    photometric = "rgb" if color else "minisblack"
    tifffile.imwrite(
        path, np.ascontiguousarray(values), photometric=photometric, metadata={"axes": axes.upper()}
    )


def _npy(path: Path, pixels: Array, patches: Patches) -> None:
    np.save(path, np.ascontiguousarray(pixels))
