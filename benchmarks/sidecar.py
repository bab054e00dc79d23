"""Compare the sidecar of a JPEG slide (``--levels-only``) with a whole lossless store: bytes, and time to a thumbnail.

python sidecar.py SLIDE [-n 5] [--scratch FOLDER]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from measure import Contender, fresh, median, take_turns, warm

MOST_BYTES, MOST_TIME = 0.10, 1.1


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("slide", type=Path)
    parser.add_argument("-n", type=int, default=5)
    parser.add_argument("--scratch", type=Path, default=Path())
    asked = parser.parse_args()
    ours, slide = (sys.executable, "-m", "bigimg"), str(asked.slide.resolve())
    warm(asked.slide)
    options = {"sidecar": ("--levels-only",), "whole": ()}
    with fresh(asked.scratch.resolve()) as folder:
        command = (*ours, "convert", "-q", slide, "{output}", "--memory", "512MB")
        converters = [
            Contender(name, (*command, *more), f"{name}.ome.zarr") for name, more in options.items()
        ]
        made = take_turns(converters, asked.n, folder)
        stores = {each.name: str(folder / "turn0" / each.writes) for each in converters}
        viewers = [
            Contender(name, (*ours, "thumbnail", "-q", store, "{output}"), f"{name}.png")
            for name, store in stores.items()
        ]
        shown = take_turns(viewers, asked.n, folder)
    costs = {name: (median(made[name]), median(shown[name])) for name in options}
    print(f"medians of {asked.n} turns")
    print("| | convert s | CPU-s | peak MB | bytes | of the slide | thumbnail s | CPU-s | peak MB |")
    print("| --- |" + " ---: |" * 8)
    for name, (whole, thumbnail) in costs.items():
        of_slide = whole["stored"] / asked.slide.stat().st_size
        print(
            f"| {name} | {whole['wall']:.2f} | {whole['cpu']:.2f} | {whole['peak'] / 1e6:.0f} | {whole['stored']:.0f} "
            f"| {of_slide:.2f} | {thumbnail['wall']:.3f} | {thumbnail['cpu']:.3f} | {thumbnail['peak'] / 1e6:.0f} |"
        )
    (few, small), (all_, large) = costs["sidecar"], costs["whole"]
    print(f"bytes {few['stored'] / all_['stored']:.1%} of the whole (at most {MOST_BYTES:.0%}), thumbnail "
          f"{small['wall'] / large['wall']:.2f}x its time and {small['cpu'] / large['cpu']:.2f}x its CPU time "
          f"(at most {MOST_TIME})")  # fmt: skip


main()
