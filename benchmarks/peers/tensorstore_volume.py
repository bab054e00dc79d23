"""Write a zarr pyramid of a 3-D TIFF with tensorstore: a copy, then each level by its ``downsample`` driver.

    python tensorstore_volume.py SOURCE TARGET [--sharded]

The file is mapped into memory, the cheapest way to read it. Chunks, codec and number of levels are ours; memory limits
and concurrency its defaults. ``--sharded`` writes our shards too.
"""

import sys

import tensorstore as ts
import tifffile

CHUNK, SHARD, LEVELS = 64, 256, 5
source, target = sys.argv[1:3]
sharded = "--sharded" in sys.argv

BLOSC = {"name": "blosc", "configuration": {
    "cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "typesize": 2, "blocksize": 0}}  # fmt: skip
CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, BLOSC, {"name": "crc32c"}]


def create(level: int, shape: tuple[int, ...]) -> ts.TensorStore:
    codecs, chunk = CODECS, [min(CHUNK, n) for n in shape]
    if sharded:
        codecs = [{"name": "sharding_indexed", "configuration": {"chunk_shape": chunk, "codecs": CODECS}}]
        chunk = [min(SHARD, n) for n in shape]
    metadata = {
        "shape": shape, "data_type": "uint16", "codecs": codecs,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
    }  # fmt: skip
    return ts.open(
        {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{target}/{level}"}, "metadata": metadata},
        create=True,
    ).result()


pixels = ts.array(tifffile.memmap(source, mode="r"))
for level in range(LEVELS):
    store = create(level, pixels.shape)
    store.write(pixels).result()
    pixels = ts.downsample(store, [2, 2, 2], "mean")
