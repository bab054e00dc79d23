"""Plan a folder of very many small TIFFs as t, c, z, and convert a smaller one, beside decoding its files alone.

python many_files.py MANY FEWER [-n 3] [--scratch FOLDER]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from measure import Contender, fresh, median, run_once, take_turns, told

NAMES = "img_t{t:04}_c{c}_z{z:03}.tif"
MOST_SECONDS, MOST_PEAK, LEAST = 20, 300e6, 0.8


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("many", type=Path)
    parser.add_argument("fewer", type=Path)
    parser.add_argument("-n", type=int, default=3)
    parser.add_argument("--scratch", type=Path, default=Path())
    asked = parser.parse_args()
    ours = (sys.executable, "-m", "bigimg")
    with fresh(asked.scratch.resolve()) as folder:
        many, fewer = (str(each.resolve() / NAMES) for each in (asked.many, asked.fewer))
        plan = Contender("plan", (*ours, "plan", many, str(folder / "a.ome.zarr"), "--memory", "512MB"))
        planned = [run_once(plan, folder / f"plan{turn}") for turn in range(asked.n)]
        for run in planned:
            print("plan", told(run))
        alone = Path(__file__).with_name("peers") / "tiles_alone.py"
        turns = take_turns(
            (
                Contender("bigimg", (*ours, "convert", "-q", fewer, "{output}", "--memory", "512MB"), "b.ome.zarr"),
                Contender("decoding", (sys.executable, str(alone), str(asked.fewer.resolve()))),
            ),
            asked.n, folder,
        )  # fmt: skip
    seconds, peak = median(planned)["wall"], median(planned)["peak"]
    ratio = median(turns["decoding"])["wall"] / median(turns["bigimg"])["wall"]
    count = sum(1 for _ in asked.many.iterdir())
    print(
        f"{count} files planned in {seconds:.1f} s (< {MOST_SECONDS}), {peak / 1e6:.0f} MB (< {MOST_PEAK / 1e6:.0f})"
    )
    print(f"converted at {ratio:.2f} of decoding alone (>= {LEAST})")


main()
