"""The first picture of a 100-gigapixel store in napari, by bigimg's plugin and by napari-ome-zarr: time, bytes, chunks.

    python benchmarks/first_picture.py make STORE              # 100.8 gigapixels, RGB: seconds, and 20 MB of disk
    xvfb-run -a -s "-screen 0 1400x900x24" python benchmarks/first_picture.py show STORE PLUGIN

The store is written by hand: one textured shard and hard links to it, so the pyramid is not one that a pass would
make, but every reader has the same objects, keys and metadata to go through as in a real one. ``show`` prints JSON;
its clock runs from ``viewer.open``, in a window that has drawn something before and with the plugin imported.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from measure import SHRINK

SIDE = 155 * 2048 // SHRINK


def make(root: Path) -> None:
    from bigimg.geometry.axes import Axis
    from bigimg.geometry.levels import plan_levels
    from bigimg.geometry.region import grid, piece, shape_of
    from bigimg.geometry.spec import RGB, ImageSpec
    from bigimg.omezarr.codecs import CODECS
    from bigimg.omezarr.manifest import (
        PROVENANCE,
        provenance_documents,
        write_documents,
        write_manifest,
        write_statistics,
    )
    from bigimg.omezarr.metadata import array_documents, group_documents, image_attributes
    from bigimg.omezarr.shard import ShardLayout, write_shard
    from bigimg.places.folder_target import FolderTarget
    from bigimg.readers.demo import SlideReader

    axes = (Axis("c", 3), Axis("y", SIDE, 0.25, "micrometer"), Axis("x", SIDE, 0.25, "micrometer"))
    chunk, shard = (1, 512, 512), (3, 2048, 2048)
    spec = ImageSpec(axes, np.dtype(np.uint8), chunk, channels=RGB)
    tile = SlideReader(16384, 16384).read((slice(0, 3), slice(8192, 8192 + 2048), slice(8192, 8192 + 2048)))
    levels = plan_levels(axes, chunk, method="mean")
    records = {}
    for level in levels:
        layout = ShardLayout(level.shape, spec.dtype, chunk, shard, CODECS["lz4"])
        rows = np.zeros((*grid(level.shape, shard), 2), np.uint64)
        known: dict[tuple[int, ...], tuple[Path, Any]] = {}
        folder = root / str(level.index)
        folder.mkdir(parents=True)
        for index in np.ndindex(*rows.shape[:-1]):
            shape = shape_of(piece(index, shard, level.shape))
            if shape in known:
                path = folder / layout.key(index)
                path.parent.mkdir(parents=True, exist_ok=True)
                os.link(known[shape][0], path)
            else:
                record = write_shard(
                    FolderTarget(folder, folder), index, tile[tuple(map(slice, shape))], layout
                )
                known[shape] = folder / layout.key(index), record
            rows[index] = known[shape][1].length, known[shape][1].crc32c
        write_documents(folder, array_documents(layout, spec.dims))
        records[level.index] = rows
    write_statistics(root, {"channels": []}, None)
    write_documents(root / PROVENANCE, provenance_documents({"system": "a benchmark"}))
    attributes = image_attributes(spec, levels, method="mean", name="slide")
    write_manifest(root, records, group_documents(attributes, 3))
    write_documents(root, group_documents(attributes, 3))
    print(f"{SIDE} x {SIDE}, {len(levels)} levels, {sum(r[..., 0].size for r in records.values())} objects")


def read_bytes() -> int:
    """Return what this process has read so far, from the page cache or the disk."""
    return int(Path("/proc/self/io").read_text().split()[1])


def resident(key: str = "VmRSS") -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) * 1024


def show(root: Path, plugin: str) -> None:
    import importlib

    import napari

    names = {
        "bigimg": ["bigimg.viewing.napari.layers", "bigimg.viewing.napari.window", "imagecodecs"],
        "napari-ome-zarr": ["napari_ome_zarr._reader"],
    }
    for name in names[plugin]:
        importlib.import_module(name)
    chunks = 0
    if plugin == "bigimg":
        from bigimg.omezarr.shard import ShardFile

        decode = ShardFile._decode

        def counted(*asked: Any) -> Any:
            nonlocal chunks
            chunks += 1
            return decode(*asked)

        ShardFile._decode = counted  # type: ignore[method-assign]
    viewer = napari.Viewer(show=True)
    viewer.add_image(np.random.default_rng(0).random((64, 64)))
    viewer.screenshot(flash=False)
    viewer.layers.clear()
    before, held, started = read_bytes(), resident(), time.perf_counter()
    layers = viewer.open(str(root), plugin=plugin)
    opened = time.perf_counter() - started
    picture = viewer.screenshot(canvas_only=True, flash=False)
    drawn = time.perf_counter() - started
    found = {
        "plugin": plugin,
        "open_s": round(opened, 3),
        "picture_s": round(drawn, 3),
        "read_bytes": read_bytes() - before,
        "chunks": chunks or None,
        "resident_bytes": resident() - held,
        "std": round(float(picture[..., :3].std()), 1),
        "layers": [
            {
                "name": layer.name,
                "rgb": layer.rgb,
                "level": layer.data_level,
                "scale": list(map(float, layer.scale)),
                "units": list(map(str, layer.units)),
                "labels": list(layer.axis_labels),
                "limits": list(map(float, layer.contrast_limits)),
            }
            for layer in layers
        ],
    }
    print(json.dumps(found))
    viewer.close()


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    else:
        show(Path(sys.argv[2]), sys.argv[3])
