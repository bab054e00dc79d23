"""Peak memory of every operation on an image far larger than memory: operation x type of pixels x layout.

    python benchmarks/memory_of_operations.py                       # the table, 64 GiB, all of each image
    python benchmarks/memory_of_operations.py --mib 500             # so much of each; the peak comes early
    python benchmarks/memory_of_operations.py --only stats --gib 4

The image is made while it is read, so a cell's memory is that of the operation alone. Each cell is a process of its
own that opens the image within ``--memory`` and reports the most it ever held (``VmHWM``), imports included. A cell
fails when that is more than the budget. To add an operation, write a function of the lazy image into ``OPERATIONS``;
it has to consume what it makes, a piece at a time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
GIB = 1 << 30
TYPES = ("u1", "u2", "i4", "f4")


@dataclass(frozen=True)
class Layout:
    """How the pixels of the source lie."""

    dims: str
    chunk: tuple[int, ...]
    square: int
    """Axes, the last ones, that share the size of the image; the others are given in ``few``."""
    few: tuple[int, ...] = ()
    order: str = ""


LAYOUTS = {
    "slide, RGB 512²": Layout("cyx", (3, 512, 512), 2, (3,)),
    "volume 64³": Layout("zyx", (64, 64, 64), 3),
    "rows in order": Layout("yx", (1, 65536), 2, (), "yx"),
}


@dataclass(frozen=True)
class Cell:
    """One measurement."""

    operation: str
    dtype: str
    layout: str
    image_bytes: int
    read_bytes: int
    seconds: float
    finished: bool
    peak_bytes: int
    budget_bytes: int
    error: str = ""

    @property
    def inside(self) -> bool:
        """Whether the promise was kept."""
        return not self.error and self.peak_bytes <= self.budget_bytes


# ------------------------------------------------------------------------------------------------- what is measured


def _stats(img: Any) -> None:
    import bigimg

    bigimg.stats(img).compute()


def _stats_with_histogram(img: Any) -> None:
    import bigimg

    bigimg.stats(img, bins=256, range=(0, 256)).compute()


def _stats_along(img: Any) -> None:
    import bigimg

    bigimg.stats(img, by=img.dims[0]).compute()


def _stats_where(img: Any) -> None:
    import bigimg

    bigimg.stats(img, where=bigimg.mask(img, above=100)).compute()


def _stats_of_computed(img: Any) -> None:
    import bigimg

    bigimg.stats(img.astype("f4") * 2 + 1).compute()


def _histogram(img: Any) -> None:
    import bigimg

    bigimg.histogram(img, bins=50).compute()


def _percentile(img: Any) -> None:
    import bigimg

    bigimg.percentile(img, [1, 50, 99]).compute()


def _otsu(img: Any) -> None:
    import bigimg

    bigimg.otsu(img).compute()


def _sweep(img: Any) -> None:
    import bigimg

    bigimg.sweep(img, list(range(0, 250, 10))).compute()


def _fraction(img: Any) -> None:
    import bigimg

    bigimg.fraction(bigimg.mask(img, between=(20, 90))).compute()


def _apply_mask(img: Any) -> None:
    import bigimg

    bigimg.stats(bigimg.apply_mask(img, bigimg.mask(img, below=125))).compute()


def _consumed(make: Callable[[Any, Any], Any]) -> Callable[[Any], None]:
    """Return what goes through all pixels of an image that ``make(bigimg, img)`` gives, keeping none."""

    def consume(img: Any) -> None:
        import bigimg

        bigimg.stats(make(bigimg, img)).compute()

    return consume


def _small_shape(bigimg: Any, img: Any) -> Any:
    return bigimg.resize(img, {name: n // 37 + 1 for name, n in img.sizes.items() if name in "zyx"})


def _top_of_pyramid(bigimg: Any, img: Any) -> Any:
    return bigimg.build_pyramid(img, levels=6)["scale5"]["image"]


def _grey(bigimg: Any, img: Any) -> Any:
    return bigimg.gray(img) if "c" in img.dims else bigimg.map(img, abs)


def _half(bigimg: Any, img: Any) -> Any:
    return bigimg.crop(img, {name: (n // 4, n // 4 * 3) for name, n in img.sizes.items() if name in "yx"})


def _plane(img: Any) -> None:
    import bigimg

    bigimg.plane(img, "x", index=1000).compute()
    bigimg.plane(img, "y").compute()


def _profile(img: Any) -> None:
    import bigimg

    ends = [dict.fromkeys("yx", 0), {name: img.sizes[name] - 1 for name in "yx"}]
    few = {name: 0 for name in img.dims if name in "cz"}
    bigimg.profile(img.isel(few), *ends).compute()


def _random_patches(img: Any) -> None:
    import bigimg

    for _ in bigimg.patches(img, (174, 187), n=1_000_000, seed=0).items():
        pass


def _grid_of_patches(img: Any) -> None:
    import bigimg

    for _ in bigimg.patches(img, 96, overlap=32):
        pass


def _covered_patches(img: Any) -> None:
    import bigimg

    for _ in bigimg.patches(
        img, (256, 256), where=img > 100 if "c" not in img.dims else (img > 100).any("c")
    ).items():
        pass


def _mapped_patches(img: Any) -> None:
    import bigimg

    bigimg.stats(bigimg.map_patches(abs, img, (256, 256), overlap=32, dtype=img.dtype)).compute()


OPERATIONS: dict[str, Callable[[Any], None]] = {
    "stats": _stats,
    "stats with a histogram": _stats_with_histogram,
    "stats along an axis": _stats_along,
    "stats where": _stats_where,
    "stats of 2 a + 1": _stats_of_computed,
    "histogram": _histogram,
    "percentile": _percentile,
    "otsu": _otsu,
    "sweep": _sweep,
    "fraction of a mask": _fraction,
    "apply_mask, then stats": _apply_mask,
    "downsample by 3": _consumed(lambda bigimg, img: bigimg.downsample(img, 3)),
    "downsample by 4, gaussian": _consumed(lambda bigimg, img: bigimg.downsample(img, 4, method="gaussian")),
    "downsample by 8, mode": _consumed(lambda bigimg, img: bigimg.downsample(img, 8, method="mode")),
    "resize to a 37th": _consumed(_small_shape),
    "build_pyramid, level 5": _consumed(_top_of_pyramid),
    "gray, or map": _consumed(_grey),
    "rescale by percentiles": _consumed(lambda bigimg, img: bigimg.rescale(img, percentiles=(1, 99), by="c")),
    "crop": _consumed(_half),
    "plane": _plane,
    "profile": _profile,
    "patches, random": _random_patches,
    "patches, grid": _grid_of_patches,
    "patches where": _covered_patches,
    "map_patches, then stats": _mapped_patches,
}


# ------------------------------------------------------------------------------------------------ one cell, a process


class Endless:
    """A reader of texture without end, that counts the bytes it gave."""

    source = "virtual"

    def __init__(self, layout: Layout, dtype: str, size: int) -> None:
        import numpy as np

        from bigimg.geometry.axes import Axis
        from bigimg.geometry.spec import RGB, ImageSpec
        from bigimg.reader import Access

        kind = np.dtype(dtype)
        side = round((size / kind.itemsize / math.prod(layout.few)) ** (1 / layout.square))
        shape = (*layout.few, *(max(1, side),) * layout.square)
        axes = tuple(Axis(name, n) for name, n in zip(layout.dims, shape, strict=True))
        chunk = tuple(min(c, n) for c, n in zip(layout.chunk, shape, strict=True))
        self.spec = ImageSpec(axes, kind, chunk, channels=RGB if "c" in layout.dims else ())
        self.access = Access("sequential" if layout.order else "random", "virtual", tuple(layout.order))
        self.row = np.random.default_rng(0).integers(0, 250, 1 << 16).astype(kind)
        self.given = 0

    def read(self, region: Any) -> Any:
        """Return some rows of the texture."""
        import numpy as np

        out = np.empty([s.stop - s.start for s in region], self.spec.dtype)
        width = out.shape[-1]
        for start in range(0, width, len(self.row)):
            part = out[..., start : start + len(self.row)]
            part[...] = self.row[: part.shape[-1]]
        self.given += out.nbytes
        return out

    def close(self) -> None:
        """Nothing is open."""


def measured(operation: str, dtype: str, layout: str, size: int, memory: str, most: int | None) -> Cell:
    """Return one cell, measured in this process, which ends when ``most`` bytes were read."""
    import dask.array  # noqa: F401  # 1 s, which is not to count as time at work

    import bigimg
    import bigimg.accessor
    import bigimg.ops.statistics.reducing
    from bigimg.opening import open_source
    from bigimg.planning.memory import budget_bytes

    reader = Endless(LAYOUTS[layout], dtype, size)
    said: list[str] = []

    def work() -> None:
        try:
            OPERATIONS[operation](bigimg.open(open_source(reader), memory=memory))
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")

    started = time.monotonic()
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive() and (most is None or reader.given < most):
        thread.join(0.02)
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    return Cell(
        operation, dtype, layout, reader.spec.nbytes, reader.given, time.monotonic() - started,
        not thread.is_alive(), peak, budget_bytes(memory), "".join(said),
    )  # fmt: skip


def cells(
    names: list[str], types: list[str], layouts: list[str], size: int, memory: str, most: int | None
) -> Iterator[Cell]:
    """Yield every cell, each measured in a process of its own."""
    for operation in names:
        for dtype in types:
            for layout in layouts:
                asked = json.dumps([operation, dtype, layout, size, memory, most])
                done = subprocess.run(
                    [sys.executable, str(Path(__file__).resolve()), "--cell", asked],
                    capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
                )  # fmt: skip
                if done.returncode:
                    raise SystemExit(f"{asked}: {done.stderr}")
                yield Cell(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure what is asked for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", help="operations whose names begin so")
    parser.add_argument("--gib", type=float, default=64)
    parser.add_argument("--memory", default="512MB")
    parser.add_argument("--mib", type=int, help="end each cell when so much was read")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.cell:
        print(json.dumps(asdict(measured(*json.loads(asked.cell)))), flush=True)
        os._exit(0)  # whatever is still at work
    names = [name for name in OPERATIONS if name.startswith(asked.only or "")]
    found: list[Cell] = []
    most = None if asked.mib is None else asked.mib << 20
    print("| operation | pixels | layout | read, GiB | peak, MB | |\n| --- | --- | --- | ---: | ---: | --- |")
    for cell in cells(names, list(TYPES), list(LAYOUTS), int(asked.gib * GIB), asked.memory, most):
        found.append(cell)
        said = cell.error or ("all of it" if cell.finished else "some of it")
        mark = "" if cell.inside else "**over** "
        print(
            f"| {cell.operation} | {cell.dtype} | {cell.layout} | {cell.read_bytes / GIB:.1f} "
            f"| {cell.peak_bytes / 1e6:.0f} | {mark}{said} |",
            flush=True,
        )
    inside = sum(cell.inside for cell in found)
    highest = max(cell.peak_bytes for cell in found) / 1e6
    print(f"\n{inside} of {len(found)} cells inside {asked.memory}, highest {highest:.0f} MB")


if __name__ == "__main__":
    main()
