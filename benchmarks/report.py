"""Write the tables of RESULTS.md from data/results.json; what people wrote around them stays.

python benchmarks/report.py
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from compare import RESULTS
from environments import HERE
from jobs import FIRST_TIME, JOBS, SLIDE_PEAK, SLIDE_TIME, SLIDES, Goal, Job
from measure import median

PAGE = HERE / "RESULTS.md"
BEGIN, END = "<!-- tables: written by report.py -->", "<!-- end of tables -->"


def tables(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines between the marks."""
    jobs = results.get("jobs", {})
    yield "Machine: " + ", ".join(results["machine"].values()) + "."
    yield ""
    for name, packages in results["versions"].items():
        yield f"- `{name}`: " + ", ".join(f"{package} {number}" for package, number in packages.items())
    yield ""
    yield "| job | who | wall s (min–max) | CPU-s | peak MB | stored MB | flush s | runs | goal | measured | |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: | --- |"
    for job in JOBS:
        if job.name in jobs:
            yield from _rows(job, jobs[job.name])
    if "sizes" in jobs:
        yield from _sizes(jobs["sizes"])
    if "first" in jobs:
        yield from _first(jobs["first"])
    yield ""
    yield "Levels of the stores, whose level 0 was compared with the source in 8 windows:"
    yield ""
    for job in JOBS:
        for who, levels in jobs.get(job.name, {}).get("checked", {}).items():
            yield f"- {job.name}, {who}: {levels}"
    yield ""
    started = {name: f"{row['started']}, load {row['load']:.1f}" for name, row in jobs.items()}
    yield "Started: " + "; ".join(f"{name} {when}" for name, when in started.items()) + "."


def _rows(job: Job, row: Mapping[str, Any]) -> Iterator[str]:
    ours, theirs = (row["runs"][c.name] for c in (job.ours, job.peer))
    goals = [_judged(goal, median(ours), median(theirs)) for goal in job.goals]
    wanted, measured, met = (
        ("<br>".join(column) for column in zip(*goals, strict=True)) if goals else ("", "", "")
    )
    yield f"| {job.title} | {_figures(job.ours.name, ours)} | {wanted} | {measured} | {met} |"
    yield f"| | {_figures(job.peer.name, theirs)} | | | |"


def _figures(who: str, runs: list[dict[str, float]]) -> str:
    m, walls = median(runs), [run["wall"] for run in runs]
    digits = 3 if m["wall"] < 1 else 2
    return (
        f"{who} | {m['wall']:.{digits}f} ({min(walls):.{digits}f}–{max(walls):.{digits}f}) | {m['cpu']:.{digits}f} "
        f"| {m['peak'] / 1e6:.0f} | {m['stored'] / 1e6:.0f} | {m['flush']:.2f} | {len(runs)}"
    )


def _judged(goal: Goal, ours: Mapping[str, float], theirs: Mapping[str, float]) -> tuple[str, str, str]:
    """Return the goal, what was measured, and whether it is met."""
    number = ours[goal.figure] if goal.alone else ours[goal.figure] / theirs[goal.figure]
    told = f"{number / 1e6:.0f} MB" if goal.alone else f"{number:.2f}x"
    if "faster" in goal.text or "less" in goal.text:
        told = f"{1 / number:.2f}x {goal.text.split('x ')[1]}"
    return goal.text, told, _met(number <= goal.most)


def _met(yes: bool) -> str:
    return "met" if yes else "**not met**"


def _sizes(row: Mapping[str, Any]) -> Iterator[str]:
    medians = {name: median(runs) for name, runs in row["runs"].items()}
    pixel = {name: m["wall"] / SLIDES[name] ** 2 * 1e9 for name, m in medians.items()}
    for name, runs in row["runs"].items():
        yield f"| virtual slide, {name} | {_figures('bigimg', runs)} | | {pixel[name]:.2f} ns a pixel | |"
    for what, values, most in (
        ("time per pixel", list(pixel.values()), SLIDE_TIME),
        ("peak", [m["peak"] for m in medians.values()], SLIDE_PEAK),
    ):
        mean = statistics.mean(values)
        off = max(abs(value / mean - 1) for value in values)
        yield (
            f"| virtual slide, all sizes | bigimg | | | | | | | {what} within {most:.0%} of its mean | {off:.1%} "
            f"| {_met(off <= most)} |"
        )
    for line in row["left out"]:
        yield f"| virtual slide | bigimg | | | | | | 0 | not run: {line} | | **not met** |"


def _first(row: Mapping[str, Any]) -> Iterator[str]:
    first, tenth = (median(row["runs"][name]) for name in ("first", "tenth"))
    ratio = first["wall"] / tenth["wall"]
    for name in ("first", "tenth"):
        goal = (
            f"<= {FIRST_TIME:g}x | {ratio:.2f}x | {_met(ratio <= FIRST_TIME)}" if name == "first" else "| | "
        )
        yield f"| 1-Mpx PNG, {name} time after installing | {_figures('bigimg', row['runs'][name])} | {goal} |"


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    lines = "\n".join(tables(json.loads(RESULTS.read_text())))
    PAGE.write_text(f"{before}{BEGIN}\n\n{lines}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
