"""Read every natural chunk of a source once through bigimg, two at a time; keep nothing.

    python reading.py SOURCE

What conversion asks of a reader, without conversion: beside ``peers/tiles_alone.py`` it says what our reading costs.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from math import prod

from bigimg.opening.open import open_source

THREADS = 2
LEAST = 4 << 20
"""Bytes that are read at once where chunks are smaller, as planes and rows."""


def main() -> None:
    reader = open_source(sys.argv[1])
    spec = reader.spec
    sides = list(spec.chunks)
    for axis in reversed(range(len(sides))):
        while prod(sides) * spec.dtype.itemsize < LEAST and sides[axis] < spec.shape[axis]:
            sides[axis] = min(spec.shape[axis], 2 * sides[axis])
    starts = [range(0, n, side) for n, side in zip(spec.shape, sides, strict=True)]
    regions = [
        tuple(slice(s, min(s + side, n)) for s, side, n in zip(corner, sides, spec.shape, strict=True))
        for corner in product(*starts)
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        total = sum(pool.map(lambda region: reader.read(region).nbytes, regions))
    reader.close()
    print(total, "bytes read in", len(regions), "regions of", " x ".join(map(str, sides)))


main()
