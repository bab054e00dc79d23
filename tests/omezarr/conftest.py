"""A small store of ours, made from the parts that the pass is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bigimg.geometry.axes import Axis
from bigimg.geometry.levels import plan_levels
from bigimg.geometry.region import grid, piece
from bigimg.geometry.spec import RGB, ImageSpec
from bigimg.omezarr.codecs import CODECS
from bigimg.omezarr.manifest import (
    PROVENANCE,
    RECORD,
    provenance_documents,
    write_documents,
    write_manifest,
    write_statistics,
)
from bigimg.omezarr.metadata import array_documents, group_documents, image_attributes
from bigimg.omezarr.shard import ShardLayout, write_shard
from bigimg.places.folder_target import FolderTarget
from bigimg.types import Array, CodecName, Shape, Version, ZarrFormat

type MakeStore = Callable[..., Array]

RGB_SPEC = ImageSpec(
    (Axis("c", 3), Axis("y", 90, 0.5, "micrometer", -3.0), Axis("x", 70, 0.25, "micrometer")),
    np.dtype(np.uint8),
    (3, 90, 70),
    channels=RGB,
)


def make_store(
    root: Path,
    spec: ImageSpec = RGB_SPEC,
    chunk: Shape = (1, 16, 16),
    shard: Shape = (3, 32, 32),
    codec: CodecName = "lz4",
    version: Version = "0.5",
) -> Array:
    """Write a pyramid of seeded noise, every other pixel kept from level to level; return level 0."""
    image = np.random.default_rng(1).integers(0, 200, spec.shape).astype(spec.dtype)
    levels = plan_levels(spec.axes, chunk, method="nearest")
    zarr: ZarrFormat = 2 if version == "0.4" else 3
    shard = chunk if zarr == 2 else shard
    records = {}
    for level in levels:
        pixels = image[tuple(slice(None, None, f) for f in level.factors)]
        layout = ShardLayout(level.shape, spec.dtype, chunk, shard, CODECS[codec], zarr)
        rows = np.zeros(grid(level.shape, shard), RECORD)
        (root / str(level.index)).mkdir(parents=True)
        for index in np.ndindex(*rows.shape):
            record = write_shard(
                FolderTarget(root / str(level.index), root),
                index,
                pixels[piece(index, shard, level.shape)],
                layout,
            )
            rows[index] = record.length, record.crc32c, record.index_crc32c
        write_documents(root / str(level.index), array_documents(layout, spec.dims))
        records[level.index] = rows
    counts = np.stack(
        [np.bincount(plane.ravel(), minlength=256) for plane in image.reshape(-1, spec.shape[-1])[:1]]
    )
    write_statistics(root, {"channels": [{"name": "R", "count": image.size, "min": 0}]}, counts, 0, zarr)
    attributes = image_attributes(spec, levels, method="nearest", name="noise", version=version)
    documents = group_documents(attributes, zarr)
    write_documents(root / PROVENANCE, provenance_documents({"system": "a test"}, zarr))
    write_manifest(root, records, documents)
    write_documents(root, documents)
    return image


@pytest.fixture(name="make_store")
def make_store_fixture() -> MakeStore:
    """The function that writes a store into a folder and returns its pixels."""
    return make_store


@pytest.fixture
def ours(tmp_path: Path) -> tuple[Path, Array]:
    """A small RGB store of ours, and its pixels."""
    return tmp_path / "ours.ome.zarr", make_store(tmp_path / "ours.ome.zarr")
