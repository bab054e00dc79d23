"""Compare the sidecar of a JPEG slide (``--levels-only``) with a whole lossless store: bytes, and time to a thumbnail.

python sidecar.py SLIDE [-n 5] [--scratch FOLDER]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from measure import Contender, fresh, median, run_once, size_of, take_turns, warm

MOST_BYTES, MOST_TIME = 0.10, 1.1


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("slide", type=Path)
    parser.add_argument("-n", type=int, default=5)
    parser.add_argument("--scratch", type=Path, default=Path())
    asked = parser.parse_args()
    ours, slide = (sys.executable, "-m", "bigimg"), str(asked.slide.resolve())
    warm(asked.slide)
    with fresh(asked.scratch.resolve()) as folder:
        stores, costs = {}, {}
        for name, more in (("sidecar", ("--levels-only",)), ("whole", ())):
            command = (*ours, "convert", "-q", slide, "{output}", "--memory", "512MB", *more)
            costs[name] = run_once(Contender(name, command, "slide.levels.ome.zarr"), folder / name)
            stores[name] = folder / name / "slide.levels.ome.zarr"
        turns = take_turns(
            [
                Contender(name, (*ours, "thumbnail", "-q", str(store), "{output}"), f"{name}.png")
                for name, store in stores.items()
            ],
            asked.n, folder,
        )  # fmt: skip
        sizes = {name: size_of(store) for name, store in stores.items()}
    seconds = {name: median(runs)["wall"] for name, runs in turns.items()}
    print(
        "| | convert s | peak MB | bytes | of the slide | thumbnail s |\n| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    for name, cost in costs.items():
        of_slide = sizes[name] / asked.slide.stat().st_size
        print(
            f"| {name} | {cost.wall:.2f} | {cost.peak / 1e6:.0f} | {sizes[name]} | {of_slide:.2f} "
            f"| {seconds[name]:.3f} |"
        )
    print(f"bytes {sizes['sidecar'] / sizes['whole']:.1%} of the whole (at most {MOST_BYTES:.0%}), "
          f"thumbnail {seconds['sidecar'] / seconds['whole']:.2f}x its time (at most {MOST_TIME})")  # fmt: skip


main()
