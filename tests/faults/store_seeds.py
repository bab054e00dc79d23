"""Small stores of every kind that mutants are made of: objects by their keys."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, BytesCodec, GzipCodec, TransposeCodec, ZstdCodec

import bigimg

type Files = dict[str, bytes]

PIXELS = np.random.default_rng(13).integers(0, 9, (2, 24, 20)).astype(np.uint16)
V2_KEYS = {"name": "v2", "separator": "/"}


def _axes(dims: str) -> list[dict[str, str]]:
    kinds = {"c": "channel", "t": "time"}
    return [{"name": name, "type": kinds.get(name, "space"), "unit": "micrometer"} for name in dims]


def _multiscale(dims: str, version: str | None) -> dict[str, Any]:
    scales = [[1.0] + [0.5 * 2**i] * 2 for i in range(2)]
    steps = [
        [{"type": "scale", "scale": scale}, {"type": "translation", "translation": [0.0, 1.0, 2.0]}]
        for scale in scales
    ]
    datasets = [{"path": str(i), "coordinateTransformations": step} for i, step in enumerate(steps)]
    named = {} if version is None else {"version": version}
    return {"axes": _axes(dims), "datasets": datasets, "name": "a", "type": "mean", **named}


OMERO = {
    "channels": [
        {"label": name, "color": color, "active": True, "window": {"start": 0, "end": 8, "min": 0, "max": 9}}
        for name, color in (("DAPI", "0000FF"), ("GFP", "00FF00"))
    ],
    "rdefs": {"model": "color", "defaultT": 0},
}


def _levels(group: zarr.Group, **how: Any) -> None:
    for i, pixels in enumerate((PIXELS, PIXELS[:, ::2, ::2])):
        array = group.create_array(str(i), shape=pixels.shape, dtype=pixels.dtype, chunks=(1, 8, 8), **how)
        array[...] = pixels


def _image_2(root: Path | zarr.Group, **how: Any) -> None:
    group = zarr.create_group(root, zarr_format=2) if isinstance(root, Path) else root
    _levels(group, chunk_key_encoding=V2_KEYS, **how)
    group.attrs.update({"multiscales": [_multiscale("cyx", "0.4")], "omero": OMERO})


def _image_3(root: Path | zarr.Group, **how: Any) -> None:
    group = zarr.create_group(root) if isinstance(root, Path) else root
    _levels(group, **how)
    ome = {"version": "0.5", "multiscales": [_multiscale("cyx", None)], "omero": OMERO}
    group.attrs["ome"] = ome


def _image_06(root: Path) -> None:
    group = zarr.create_group(root)
    _levels(group, dimension_names=tuple("cyx"))
    steps: list[dict[str, Any]] = [
        {"type": "scale", "scale": [1.0, 0.5, 0.5]},
        {"type": "affine", "affine": [[1, 0, 0, 0], [0, 1, 0.5, 1], [0, 0, 1, 2]]},
    ]
    sequence = {
        "type": "sequence",
        "input": {"path": "0"},
        "output": {"name": "world"},
        "transformations": steps,
    }
    multiscale = {
        "coordinateSystems": [{"name": "world", "axes": _axes("cyx")}],
        "datasets": [{"path": str(i), "coordinateTransformations": [sequence]} for i in range(2)],
    }
    group.attrs["ome"] = {"version": "0.6", "multiscales": [multiscale]}


def _labels(root: Path) -> None:
    _image_3(root)
    labels = zarr.open_group(root, mode="r+").create_group("labels")
    labels.attrs["ome"] = {"version": "0.5", "labels": ["cells"]}
    cells = labels.create_group("cells")
    _image_3(cells)
    colors = [{"label-value": 1, "rgba": [255, 0, 0, 255]}]
    about = {"colors": colors, "properties": [{"label-value": 1, "area": 3}], "source": {"image": "../../"}}
    cells.attrs["ome"] = {**dict(cells.attrs)["ome"], "image-label": about}


def _plate(root: Path) -> None:
    group = zarr.create_group(root)
    plate = {
        "columns": [{"name": "1"}], "rows": [{"name": "A"}], "name": "p", "field_count": 1,
        "wells": [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}],
    }  # fmt: skip
    group.attrs["ome"] = {"version": "0.5", "plate": plate}
    well = group.create_group("A/1")
    well.attrs["ome"] = {"version": "0.5", "well": {"images": [{"path": "0", "acquisition": 0}]}}
    _image_3(well.create_group("0"))


def _bioformats(root: Path) -> None:
    group = zarr.create_group(root, zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    _image_2(group.create_group("0"))
    group.create_group("OME").attrs["series"] = ["0"]
    (root / "OME" / "METADATA.ome.xml").write_text("<OME/>", encoding="utf-8")


def _netcdf(root: Path, version: int) -> None:
    image = xr.DataArray(
        PIXELS, dims=("c", "y", "x"), name="image",
        coords={"c": ["a", "b"], "y": np.arange(24) * 0.5, "x": ("x", np.arange(20) * 0.25, {"units": "mm"})},
    )  # fmt: skip
    with warnings.catch_warnings():  # text has no specification in zarr 3
        warnings.simplefilter("ignore")
        image.to_dataset().to_zarr(root, zarr_format=version, consolidated=version == 2)


def _ours(root: Path, version: str) -> None:
    image = bigimg.from_array(PIXELS, dims="cyx", spacing={"y": 0.5, "x": 0.5}, unit="um")
    bigimg.write(image, root, ome_version=version, chunks=8, progress=False)


SEEDS: dict[str, Callable[[Path], None]] = {
    "0.4 blosc": _image_2,
    "0.4 gzip": lambda root: _image_2(root, compressors={"id": "gzip", "level": 1}),
    "0.4 zlib, delta, F": lambda root: _image_2(
        root, compressors={"id": "zlib", "level": 1}, filters=[numcodecs.Delta(dtype="<u2")], order="F"
    ),
    "0.4 bz2": lambda root: _image_2(root, compressors={"id": "bz2", "level": 1}),
    "0.4 lzma": lambda root: _image_2(root, compressors={"id": "lzma"}),
    "0.4 lz4": lambda root: _image_2(root, compressors={"id": "lz4"}),
    "0.5 zstd": _image_3,
    "0.5 gzip, shards": lambda root: _image_3(root, shards=(2, 16, 16), compressors=GzipCodec(level=1)),
    "0.5 blosc, transposed": lambda root: _image_3(
        root, filters=TransposeCodec(order=(2, 1, 0)), serializer=BytesCodec(endian="big"),
        compressors=BloscCodec(cname="zstd", typesize=2, shuffle="shuffle"),
    ),
    "0.5 zstd, shards": lambda root: _image_3(root, shards=(1, 16, 16), compressors=ZstdCodec(level=1)),
    "0.6": _image_06,
    "labels": _labels,
    "plate": _plate,
    "bioformats2raw": _bioformats,
    "xarray 2": lambda root: _netcdf(root, 2),
    "xarray 3": lambda root: _netcdf(root, 3),
    "ours 0.4": lambda root: _ours(root, "0.4"),
    "ours 0.5": lambda root: _ours(root, "0.5"),
    "ours 0.6": lambda root: _ours(root, "0.6"),
}  # fmt: skip


def made(name: str, folder: Path) -> Files:
    """Return the objects of the store ``name``, which is made in the new ``folder``."""
    SEEDS[name](folder)
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
