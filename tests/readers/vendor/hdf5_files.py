"""Imaris and BigDataViewer files, made with h5py as those programs lay them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from bigimg.types import Array

CHUNKS = (4, 16, 16)


def letters(value: object) -> Array:
    """Return a text as Imaris writes it: an array of single letters."""
    return np.frombuffer(str(value).encode(), "S1")


def imaris(
    path: Path, array: Array, *, leave_out: Sequence[tuple[int, int]] = (), seconds: Sequence[float] = (),
    about: Mapping[str, object] | None = None, colors: Sequence[str] = ("1.000 0.500 0.000", "0.000 1.000 0.000"),
    names: Sequence[str] = ("DAPI", "GFP"), chunks: tuple[int, ...] = CHUNKS, **packing: Any,
) -> Path:  # fmt: skip
    """Write ``array`` (t, c, z, y, x), padded to chunks; views of ``leave_out`` have no dataset."""
    times, channels, *sizes = array.shape
    padded = [-(-n // chunk) * chunk for n, chunk in zip(sizes, chunks, strict=True)]
    with h5py.File(path, "w") as file:
        file.attrs["ImarisDataSet"] = letters("ImarisDataSet")
        file.attrs["DataSetDirectoryName"] = letters("DataSet")
        file.attrs["DataSetInfoDirectoryName"] = letters("DataSetInfo")
        image = file.create_group("DataSetInfo/Image")
        fields: dict[str, object] = {
            "X": sizes[2], "Y": sizes[1], "Z": sizes[0], "Unit": "um", "ExtMin0": -1.0, "ExtMin1": 0, "ExtMin2": 5,
            "ExtMax0": sizes[2] * 0.5 - 1, "ExtMax1": sizes[1] * 0.25, "ExtMax2": 5 + sizes[0] * 2, "Name": "Ann",
        }  # fmt: skip
        for name, value in (fields | dict(about or {})).items():
            image.attrs[name] = letters(value)
        for c in range(channels):
            group = file.create_group(f"DataSetInfo/Channel {c}")
            for name, value in {"Name": names[c], "Color": colors[c], "ColorRange": "0 900"}.items():
                group.attrs[name] = letters(value)
        moments = file.create_group("DataSetInfo/TimeInfo")
        moments.attrs["FileTimePoints"] = letters(times)
        for t in range(times):
            second = seconds[t] if seconds else t * 10
            moments.attrs[f"TimePoint{t + 1}"] = letters(f"2020-01-01 10:00:{second:06.3f}")
        for t, c in np.ndindex(times, channels):
            if (t, c) in leave_out:
                continue
            group = file.create_group(f"DataSet/ResolutionLevel 0/TimePoint {t}/Channel {c}")
            for name, size in zip(("ImageSizeZ", "ImageSizeY", "ImageSizeX"), sizes, strict=True):
                group.attrs[name] = letters(size)
            full = np.full(padded, 7, array.dtype)
            full[tuple(slice(0, n) for n in sizes)] = array[t, c]
            group.create_dataset("Data", data=full, chunks=chunks, **({"compression": "gzip"} | packing))
    return path


def bdv(
    path: Path, views: Mapping[tuple[int, int], Array], setups: Sequence[Mapping[str, int]], *,
    times: str = '<Timepoints type="range"><first>0</first><last>{last}</last></Timepoints>', name: str = "a.h5",
    loader: str = "bdv.hdf5",
) -> Path:  # fmt: skip
    """Write ``views`` by time point and setup, and the XML with the attributes of each of ``setups``."""
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        for setup in range(len(setups)):
            file[f"s{setup:02d}/resolutions"] = np.ones((1, 3))
            file[f"s{setup:02d}/subdivisions"] = np.full((1, 3), 16)
        for (t, setup), array in views.items():
            where = f"t{t:05d}/s{setup:02d}/0/cells"
            file.create_dataset(where, data=array, chunks=CHUNKS, compression="gzip")
    shape = {setup: array.shape for (_, setup), array in views.items()}
    elements = "".join(
        f"<ViewSetup><id>{i}</id><size>{' '.join(map(str, shape[i][::-1]))}</size><voxelSize><unit>um</unit>"
        f"<size>0.25 0.5 2.0</size></voxelSize><attributes>"
        + "".join(f"<{kind}>{number}</{kind}>" for kind, number in setup.items())
        + "</attributes></ViewSetup>"
        for i, setup in enumerate(setups)
    )
    kinds = {kind: sorted({setup[kind] for setup in setups}) for kind in setups[0]}
    words = {"channel": ("DAPI", "GFP", "RFP"), "angle": ("left", "right")}
    named = "".join(
        f'<Attributes name="{kind}">'
        + "".join(
            f"<{kind.title()}><id>{n}</id><name>{words.get(kind, '0123')[n]}</name></{kind.title()}>"
            for n in numbers
        )
        + "</Attributes>"
        for kind, numbers in kinds.items()
    )
    last = max(t for t, _ in views)
    path.write_text(
        f'<?xml version="1.0" encoding="UTF-8"?>\n<SpimData version="0.2"><BasePath type="relative">.</BasePath>'
        f'<SequenceDescription><ImageLoader format="{loader}"><hdf5 type="relative">{name}</hdf5></ImageLoader>'
        f"<ViewSetups>{elements}{named}</ViewSetups>{times.format(last=last)}</SequenceDescription></SpimData>"
    )
    return path
