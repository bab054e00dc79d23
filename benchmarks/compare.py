"""Measure bigimg against its peers, whole processes in turns, and keep the figures in data/results.json.

    python benchmarks/compare.py [JOB ...] [-n 5] [--scratch FOLDER]
    python benchmarks/compare.py --list

Needs the data (make_data.py) and the environments (environments.py). ``report.py`` makes the tables of RESULTS.md.
Stop everything else on the machine first: the load at the start of each job is kept with its figures.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from environments import FOLDER, PACKAGES, make, python, versions
from jobs import DATA, JOBS, MICROSCOPES, OURS, SLIDES, Job, slide
from measure import Contender, Run, awaken_memory, files_in, fresh, run_once, take_turns, told, warm

RESULTS = DATA / "results.json"
SHORT_RUNS = 4
"""Commands of a fraction of a second are run this many times as often."""
FIRST_FILE = "photo.png"
ROOM = 0.75
"""Free disk asked for, in decoded bytes; the store of the virtual slide takes 0.60 of them, all levels."""

type Row = dict[str, Any]


def compared(job: Job, runs: int, scratch: Path) -> Row:
    """Run a job and return its figures by contender."""
    awaken_memory()
    if job.source:
        warm(DATA / job.source)
    if job.short:
        figures = take_turns((job.ours, job.peer), SHORT_RUNS * runs, scratch)
        return {"runs": _as_rows(figures)}
    with fresh(scratch) as folder:
        figures = take_turns((job.ours, job.peer), min(runs, 3) if job.slow else runs, folder)
        checked = {
            contender.name: check(job, folder / "turn0" / contender.writes)
            for contender in (job.ours, job.peer)
            if contender.name in job.checked
        }
    return {"runs": _as_rows(figures), "checked": checked}


def _as_rows(figures: Mapping[str, Sequence[Run]]) -> Row:
    return {name: [asdict(run) for run in runs] for name, runs in figures.items()}


def check(job: Job, store: Path) -> str:
    """Compare a store with its source and return its levels."""
    here = MICROSCOPES if Path(job.ours.command[0]).is_relative_to(FOLDER / MICROSCOPES) else OURS
    command = [python(here), str(Path(__file__).with_name("check.py")), str(DATA / job.source), str(store)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{job.name}: {store.name}: {done.stderr.strip()[-1000:]}")
    return done.stdout.strip()


def grown(runs: int, scratch: Path) -> Row:
    """Convert virtual slides of growing size and return their figures; sizes without disk for them are left out."""
    figures: dict[str, list[Row]] = {}
    left_out = []
    for name, side in SLIDES.items():
        if shutil.disk_usage(scratch).free < ROOM * 3 * side * side:
            left_out.append(f"{name}: needs {ROOM * 3 * side * side / 1e9:.0f} GB of free disk")
            continue
        # One at a time, for the outputs are large; the largest takes minutes and evens out what else goes on.
        figures[name] = []
        for _ in range(runs if side < 100_000 else 1):
            with fresh(scratch) as folder:
                figures[name] += _as_rows(take_turns((slide(side),), 1, folder))[OURS]
    return {"runs": figures, "left out": left_out}


def first_time(runs: int, scratch: Path) -> Row:
    """Install afresh, convert a small PNG ten times, and return the figures of the first and the tenth time."""
    photo = DATA / FIRST_FILE
    figures: dict[str, list[Row]] = {"first": [], "tenth": []}
    for _ in range(min(runs, 3)):
        with fresh(scratch) as folder:
            place = make(OURS, folder=folder / "fresh", copied=True)
            command = (str(place / "bin" / "bigimg"), "convert", str(photo), "{output}", "--memory", "512MB")
            contender, home = Contender(OURS, command, f"{OURS}.ome.zarr"), folder / "home"
            done = [run_once(contender, folder / f"turn{turn}", home=home) for turn in range(10)]
            for turn, run in enumerate(done):
                print(f"  time {turn + 1}: {told(run)}", flush=True)
            print(f"  caches left in the home folder: {[file.name for file in files_in(home)] or 'none'}")
        figures["first"].append(asdict(done[0]))
        figures["tenth"].append(asdict(done[-1]))
    return {"runs": figures}


def machine() -> dict[str, str]:
    """Return what the figures depend on beside the programs."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": f"{len(os.sched_getaffinity(0))} cores of {model}",
        "memory": f"{memory / 1e9:.0f} GB",
        "system": f"{os.uname().sysname} {os.uname().release}",
        "python": f"Python {sys.version.split()[0]}",
    }


def main() -> None:
    special: dict[str, Callable[[int, Path], Row]] = {"sizes": grown, "first": first_time}
    by_name = {job.name: job for job in JOBS}
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("jobs", nargs="*", metavar="JOB", help="all of them by default")
    parser.add_argument("-n", type=int, default=5, help="runs of each contender (default 5)")
    parser.add_argument(
        "--scratch", type=Path, default=DATA / "out", help="where outputs go, and are removed again"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--list", action="store_true", help="print the names of the jobs")
    asked = parser.parse_args()
    names = asked.jobs or [*by_name, *special]
    if unknown := [name for name in names if name not in by_name and name not in special]:
        parser.error(f"no such job: {', '.join(unknown)}; --list prints them")
    if asked.list:
        print("\n".join(names))
        return
    scratch = asked.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    results = json.loads(asked.results.read_text()) if asked.results.exists() else {}
    results["machine"] = machine()
    made = {name: versions(name) for name in PACKAGES if (FOLDER / name).is_dir()}
    results["versions"] = results.get("versions", {}) | made
    warm(FOLDER)
    for name in names:
        row: Row = {"load": os.getloadavg()[0], "started": time.strftime("%Y-%m-%d %H:%M")}
        print(f"{name} (load {row['load']:.1f})", flush=True)
        work = special.get(name)
        row |= work(asked.n, scratch) if work else compared(by_name[name], asked.n, scratch)
        results.setdefault("jobs", {})[name] = row
        asked.results.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
