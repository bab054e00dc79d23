"""Moves of ``bigimg.browse`` through a 1-GiB volume, in all three planes: how long until the next plane is seen.

    python benchmarks/browse_moves.py FOLDER [BACKEND] [--level N]     # volume.ome.zarr of planes.py, made when missing
    xvfb-run -a -s "-screen 0 1400x900x24" python benchmarks/browse_moves.py FOLDER qtagg

Real events, sent one after the other without a pause, so the thread that reads ahead has only the time of the moves
themselves: 60 on and back by keys, 40 by the wheel, 30 pages of ten planes, 30 jumps to any place by the slider. A move
ends when the canvas is drawn; of Qt, when Qt has nothing more to do. Milliseconds on the wall and of CPU (reading
ahead counts in), median and 95th percentile; the first row of an axis is all moves.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from measure import SHRINK
from planes import make

import bigimg

GOAL_MS = 80
"""p95 on the wall."""
SIZE = (7.5, 7.5)
"""Inches of the window that browse itself opens."""


def window(backend: str) -> Any:
    """Return an empty figure that takes events."""
    if backend != "agg":
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=SIZE)
        plt.show(block=False)
        plt.pause(0.2)
        return figure
    from matplotlib.backend_bases import FigureManagerBase
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=100)
    FigureManagerBase(FigureCanvasAgg(figure), 1)
    return figure


def events(figure: Any, count: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the sort of each move, and what sends its event."""
    from matplotlib.backend_bases import KeyEvent, MouseEvent

    canvas, slider = figure.canvas, figure.axes[1]
    random = np.random.default_rng(0)

    def press(key: str) -> Callable[[], None]:
        return lambda: KeyEvent("key_press_event", canvas, key)._process()

    def scroll(step: int) -> Callable[[], None]:
        return lambda: MouseEvent("scroll_event", canvas, 300, 300, step=step)._process()

    def jump(place: int) -> Callable[[], None]:
        def click() -> None:
            x, y = slider.transData.transform((place, 0.5))
            MouseEvent("button_press_event", canvas, x, y, button=1)._process()
            MouseEvent("button_release_event", canvas, x, y, button=1)._process()

        return click

    yield from (("key", press("k")) for _ in range(30))
    yield from (("key", press("j")) for _ in range(30))
    yield from (("wheel", scroll(1)) for _ in range(20))
    yield from (("wheel", scroll(-1)) for _ in range(20))
    yield from (("page", press("pageup" if i % 20 < 10 else "pagedown")) for i in range(30))
    yield from (("jump", jump(int(place))) for place in random.permutation(count)[:30])


def main(folder: Path, backend: str, level: int | None) -> None:
    """Print a row for each axis and sort of move."""
    mpl.use(backend)
    store, _ = make(folder)
    print(f"| across | moves | wall p50, ms | wall p95 (goal {GOAL_MS}) | worst | CPU p50 | CPU p95 |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for axis in "zyx":
        figure = window(backend)
        bigimg.browse(store, axis, figure=figure, level=level)
        figure.canvas.draw()
        figure.canvas.flush_events()
        spent: dict[str, list[tuple[float, float]]] = {}
        high = round(figure.axes[1].get_xlim()[1])
        for sort, send in events(figure, high):
            before = figure.axes[0].get_title()
            started, cpu = time.perf_counter(), time.process_time()
            send()
            figure.canvas.flush_events()
            row = (1e3 * (time.perf_counter() - started), 1e3 * (time.process_time() - cpu))
            if figure.axes[0].get_title() != before:  # at an end there is no move
                spent.setdefault(sort, []).append(row)
        every = [row for rows in spent.values() for row in rows]
        assert len(every) >= 100 // SHRINK
        for sort, rows in {"all": every, **spent}.items():
            wall, cpus = np.array(rows).T
            found = (
                np.median(wall),
                np.percentile(wall, 95),
                wall.max(),
                np.median(cpus),
                np.percentile(cpus, 95),
            )
            print(
                f"| {axis if sort == 'all' else ''} | {sort}, {len(rows)} |", *(f"{ms:.0f} |" for ms in found)
            )
        if backend != "agg":
            figure.canvas.manager.destroy()


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("folder", type=Path)
    asked.add_argument("backend", nargs="?", default="agg")
    asked.add_argument("--level", type=int)
    given = asked.parse_args()
    main(given.folder, given.backend, given.level)
