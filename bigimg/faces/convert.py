"""``plan``, ``convert`` and ``write``: any image to an OME-Zarr pyramid.

Only the opened pyramid that ``convert`` and ``write`` return needs xarray and dask.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Unpack

from bigimg.conversion.cluster import chosen_cluster, for_workers
from bigimg.conversion.estimate import probe_all
from bigimg.conversion.labels import adding_label, as_label, label_target
from bigimg.conversion.planned import planned
from bigimg.conversion.plates import PlateResult, plan_plate, run_plate
from bigimg.conversion.progress import Report
from bigimg.conversion.run import Result, Running, run
from bigimg.conversion.target import check_local, checked_target
from bigimg.errors import UsageError
from bigimg.exporters.formats import EXPORTERS
from bigimg.faces.plates import plate_source
from bigimg.geometry.lengths import Pixels, Spacing
from bigimg.opening.open import open_source
from bigimg.opening.sources import split
from bigimg.planning.channels import Windows
from bigimg.planning.options import Options, options
from bigimg.planning.plan import ConversionPlan
from bigimg.planning.plate_plan import PlatePlan
from bigimg.reader import as_kind
from bigimg.readers.registry import BUILT_IN
from bigimg.types import CodecName, Kind, Method, Opening, Version

if TYPE_CHECKING:
    import xarray as xr
    from distributed import Client

    from bigimg.opening.plates import Plate

ZIPPED = (".zip", ".zarr.zip")
"""Endings of stores in zip files that are read, and not written: see :mod:`bigimg.omezarr.packed`."""


def plan(
    source: Any,
    target: str | os.PathLike[str],
    *,
    memory: int | float | str | None = None,
    workers: int | None = None,
    chunks: Pixels | None = None,
    shards: Pixels | None = None,
    codec: CodecName = "lz4",
    levels: int | None = None,
    halve: str | None = None,
    method: Method | None = None,
    kind: Kind | None = None,
    spacing: Spacing | None = None,
    channels: Sequence[str] | None = None,
    colors: Sequence[str] | None = None,
    window: Windows | None = None,
    keep_metadata: bool = False,
    ome_version: Version = "0.5",
    levels_only: bool = False,
    probe: bool = True,
    **opening: Unpack[Opening],
) -> ConversionPlan | PlatePlan:
    """Return what converting ``source`` to ``target`` would do; nothing is written.

    Parameters
    ----------
    source : path, array or DataArray, or a plate
        A plate is an opened one or its path, a pattern with ``{well}``, the index or folder of a microscope, or a dict
        of wells and their images: ``{"B03": "b3.tif"}``, with fields ``{("B03", 0): "b.tif", ("B03", 1): "c.tif"}``.
    target : path
        Of the store to be, ``name.ome.zarr``, or ``name.ozx`` for one file; must not exist. The ending of another
        format is refused.
    memory : int or str, optional
        Budget of resident memory for this whole process, as bytes or ``"512MB"``; ``BIGIMG_MEMORY``, or half
        of what is free, at most 4 GB, by default.
    workers : int, optional
        At most this many at once; one a CPU by default, fewer when the budget asks for it.
    chunks, shards : int, str, sequence or mapping, optional
        Pixels of the units of reading and writing: one number for all axes of space, one for each axis, or by name,
        as ``64``, ``"64"``, ``(1, 64, 64)`` or ``"y=512,x=512"``; -1 is all of an axis.
    codec : {"lz4", "zstd", "none"}
    levels : int, optional
        Number of levels; until every halved axis fits one chunk by default.
    halve : str, optional
        Names of the axes that every level halves: ``"yx"`` for viewers that want as many planes in each level, as Viv,
        vizarr and OMERO do. By default an axis is halved while its spacing is under twice the smallest, and z only if
        its spacing is known.
    method : {"mean", "mode", "nearest", "min", "max", "gaussian"}, optional
        How a coarse pixel is made; ``mean`` for images and ``mode`` for labels and masks by default.
    kind : {"image", "labels", "mask"}, optional
        What the numbers mean, in place of what the file says. Of a picture with a palette, labels and masks are
        its indices, and an image its colours.
    spacing : float, str, sequence or mapping, optional
        In place of what the file says: one for all axes of space, one each in their order, or by name, each with a
        unit or without: ``0.5``, ``"0.5um"``, ``(2, 0.5, 0.5)``, ``"z=7mm,y=0.5um"`` or ``{"z": (7, "mm")}``.
    channels : sequence of str, optional
        Names, in place of what the file says.
    colors : sequence of str, optional
        Colours, one for each channel, as six hexadecimal digits: ``"00FF00"``; in place of what the file says.
    window : sequence or mapping, optional
        Real values drawn black and white, in place of what the file or the pixels say: ``(100, 4000)`` for all
        channels, ``{"DAPI": (100, 4000)}`` for some.
    keep_metadata : bool
        Write also those fields of the file that may tell who was imaged: names, dates, ids, free text.
    ome_version : {"0.4", "0.5", "0.6"}
        Version of the store. 0.4 has one file a chunk, for QuPath and older tools; 0.6 has the affine as OME-Zarr
        defines it.
    levels_only : bool
        Store the reduced levels alone, with the statistics of the whole image. The store names its source, which has
        the finest levels: those with more than a tenth of the pixels are read from it.
    probe : bool
        Read and compress samples for a second to estimate size and time.
    **opening
        series, part, insecure, max_download, on_gap, tilt, allow_partial, axis, pattern, axes, pages, plate: see
        :class:`bigimg.types.Opening`.

    Raises
    ------
    BudgetError
        It does not fit; the message names settings that would.
    InputError, OutputError, UsageError
    """
    check_name(target)
    settings = options(
        memory=memory, workers=workers, chunks=chunks, shards=shards, codec=codec, levels=levels, halve=halve,
        method=method, kind=kind, spacing=spacing, channels=channels, colors=colors, window=window,
        keep_metadata=keep_metadata, ome_version=ome_version, levels_only=levels_only,
    )  # fmt: skip
    if (plate := plate_source(source, opening)) is not None:
        return plan_plate(plate, os.fspath(target), settings, opening, sample=probe)
    with closing(as_kind(open_source(source, **opening), kind)) as reader:
        checked_target(target, source, reader, overwrite=False)
        with chosen_cluster(None, reader) as cluster:
            settings, resident = for_workers(settings, cluster, memory)
        made, labels = planned(source, reader, target, settings, opening, resident=resident)
        if not probe:
            return made
        estimate = probe_all(made, reader, [label.reader for label in labels], ask=kind is None)
        return replace(made, estimate=estimate)


def convert_source(source: Any, target: str | os.PathLike[str], **settings: Any) -> Result | PlateResult:
    """Convert as :func:`bigimg.convert` does, and return what was done; imports neither xarray nor dask."""
    check_name(target)
    how, opening, asked = parted(settings)
    if (plate := plate_source(source, opening)) is None:
        return _converted(source, target, how, opening, asked)
    checked = options(**asked)
    with chosen_cluster(how.executor, None) as cluster:
        checked, resident = for_workers(checked, cluster, asked.get("memory"))
        how = replace(how, executor=cluster or how.executor)
        made = plan_plate(
            plate, os.fspath(target), checked, opening, overwrite=how.overwrite, resident=resident
        )
        return run_plate(made, plate, checked, opening, how, resident=resident)


def convert_to_store(source: Any, target: str | os.PathLike[str], **settings: Any) -> Result:
    """Convert one image as :func:`convert_source` does, which also takes plates."""
    check_name(target)
    return _converted(source, target, *parted(settings))


def _converted(
    source: Any, target: str | os.PathLike[str], how: Running, opening: Opening, asked: dict[str, Any]
) -> Result:
    label = label_target(target)
    if label is not None and asked.get("levels_only"):
        raise UsageError(f"{target}: a label image is stored whole: leave levels_only out")
    kind = asked.get("kind") or ("labels" if label is not None else None)
    with closing(as_kind(open_source(source, progress=how.progress, **opening), kind)) as reader:
        if label is not None:
            reader, asked = as_label(reader, label, asked)
        with adding_label(label):
            # A pass checks which of them go along.
            named = getattr(getattr(reader, "store", None), "labels", ())
            checked_target(
                target, source, reader, overwrite=how.overwrite, label=label is not None, labels=named
            )
            wanted = options(**asked)
            with chosen_cluster(how.executor, reader) as cluster:
                wanted, resident = for_workers(wanted, cluster, asked.get("memory"))
                plan, labels = planned(source, reader, target, wanted, opening, resident=resident)
                return run(plan, reader, replace(how, executor=cluster or how.executor), labels=labels)


def parted(settings: Mapping[str, Any]) -> tuple[Running, Opening, dict[str, Any]]:
    """Return how a conversion is run, the options of its source, and those of the store.

    Raises
    ------
    UsageError
        There is no such option.
    """
    opening, others = split(settings)
    how = {field.name: others.pop(field.name) for field in fields(Running) if field.name in others}
    known = [field.name for field in fields(Options)]
    if unknown := [name for name in others if name not in known]:
        names = ", ".join([*known, *Opening.__annotations__])
        raise UsageError(f"convert: there is no option {unknown[0]!r}; there are {names}")
    return Running(**how), opening, others


def convert(
    source: Any,
    target: str | os.PathLike[str],
    *,
    executor: Executor | Client | None = None,
    progress: bool | Report | None = None,
    resume: bool = True,
    overwrite: bool = False,
    sync: bool = True,
    **settings: Any,
) -> xr.DataTree | Plate:
    """Convert ``source`` to the OME-Zarr pyramid ``target`` in one pass, and return it opened.

    Of a store its label images, windows of channels and colours of ids go along; the plan says what does not, and why.
    Its levels and statistics are made anew from level 0. A plate becomes a plate: each of its fields is a pyramid, and
    the fields that an interrupted run has finished are kept.

    Parameters
    ----------
    source, target, **settings
        As in :func:`bigimg.plan`: memory, workers, chunks, shards, codec, levels, halve, method, kind, spacing,
        channels, colors, window, keep_metadata, ome_version, levels_only, and the options of
        :class:`bigimg.types.Opening`.
    executor : concurrent.futures.Executor or distributed.Client, optional
        What runs the blocks; by default an active dask client, else threads. On a cluster ``memory`` is the budget of
        each worker process, by default half of its limit, and the threads of the workers take the place of ``workers``.
        A source that is decoded in order (PNG, gzip), and an array in the memory of this process, are converted by
        threads of this process.
    progress : bool or callable, optional
        None draws a bar on a terminal or in a notebook; True prints lines elsewhere too; False is silent; a callable
        gets each :class:`~bigimg.conversion.progress.Progress`.
    resume : bool
        Go on from the blocks that an interrupted run to the same target has written.
    overwrite : bool
        Replace an older store once the new one is whole.
    sync : bool
        Flush everything to the disk before the store gets its name.

    Raises
    ------
    BudgetError, InputError, UsageError
        Nothing is left behind.
    OutputError, WorkerError
        There is nothing at ``target``; the finished blocks stay beside it, for the next run to go on from. On a cluster
        also: a worker cannot read the source or does not see the folder of ``target``, or has another version.
    ResumeError
        The blocks of an earlier run are of another source or of other options.
    """
    from bigimg.opening.open import open_pyramid
    from bigimg.opening.plates import open_plate

    result = convert_source(
        source, target, executor=executor, progress=progress, resume=resume,
        overwrite=overwrite, sync=sync, **settings,
    )  # fmt: skip
    return open_plate(target) if isinstance(result, PlateResult) else open_pyramid(target)


def write(img: Any, target: str | os.PathLike[str], **settings: Any) -> Any:
    """Write a DataArray or array to an OME-Zarr pyramid as :func:`convert` does, and return it opened.

    Parameters
    ----------
    img : DataArray or array
        Lazy arrays are computed block by block.
    target, **settings
        As in :func:`convert`. A mask or label image with the target ``<image store>/labels/<name>`` becomes a label
        of that image, with the levels and in the OME-Zarr version of the image. It must have the axes and the
        size of one of the image's levels. Booleans are stored as 0 and 1, a single channel without the axis c.
    """
    return convert(img, target, **settings)


def check_name(target: str | os.PathLike[str]) -> None:
    """Refuse an address, and a target with the ending of a file format: a store is a folder, or has the name ``.ozx``.

    Raises
    ------
    UsageError
        ``target`` is an address, or has the ending of a format that is read or exported.
    """
    check_local(target)
    name = os.fspath(target).rstrip("/")
    lower = os.path.basename(name).lower()
    written = {ending: format.title for format in EXPORTERS for ending in format.extensions}
    known = {ending: format.title for format in BUILT_IN for ending in format.extensions}
    known |= dict.fromkeys(ZIPPED, "zip archive") | written
    ending = max((ending for ending in known if lower.endswith(ending)), key=len, default=None)
    if ending is None:
        return
    way = f", or write {ending} with bigimg export" if ending in written else ""
    raise UsageError(
        f"{target}: {ending} is the name of a file ({known[ending]}), and an OME-Zarr store is a folder: "
        f"name it {name[: -len(ending)]}.ome.zarr{way}"
    )
