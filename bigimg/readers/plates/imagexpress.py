"""ImageXpress: a ``.HTD`` file, and planes with names as ``PLATE_A01_s1_w1….TIF``.

Times and planes along z are in folders ``TimePoint_1`` and ``ZStep_1`` beside the file. Where there are such folders of
z, planes beside them are projections, which are left out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from bigimg.errors import InputError
from bigimg.geometry.spec import Channel
from bigimg.geometry.wells import MOST_SIDE, row_name
from bigimg.readers.folders.pattern import Value
from bigimg.readers.plates.grids import Key, Told, fields_of, tabled, there
from bigimg.readers.plates.source import PlateSource
from bigimg.types import OnGap

MOST_BYTES = 1 << 20
NAME = re.compile(
    r"(?P<well>[A-Z]{1,2}\d{2,3})(?:_s(?P<s>\d+))?(?:_w(?P<w>\d{1,2}))?(?P<id>[0-9A-F-]{36})?\.tiff?",
    re.IGNORECASE,
)
FOLDER = re.compile(r"(?P<what>TimePoint|ZStep)_(?P<number>\d+)", re.IGNORECASE)


def is_htd(name: str) -> bool:
    """Return whether a file is called as these are."""
    return name.lower().endswith(".htd")


def open_imagexpress(path: str, *, on_gap: OnGap | None = None) -> PlateSource:
    """Return the plate that a ``.HTD`` file describes.

    Raises
    ------
    InputError
        It makes no sense, images that it promises are not there, or two have one place.
    """
    said = _read(path)
    rows: dict[str, dict[str, Value]] = {}
    projections = 0
    stem = os.path.splitext(os.path.basename(path))[0]
    planes = list(_planes(os.path.dirname(path) or ".", stem))
    steps = any(z is not None for *_, z in planes)
    for file, match, time, z in planes:
        if steps and not z:
            projections += 1
            continue
        place = match["well"].upper(), int(match["s"] or 1)
        rows[file] = {"well": place[0], "field": place[1], "c": int(match["w"] or 1), "t": time, "z": z or 1}
    count = _number(said, "NWavelengths", 1) if said.get("Waves", "TRUE") == "TRUE" else 1
    listed: set[Key] = {(row["well"], row["field"]) for row in rows.values()}
    expected: set[Key] = {(well, site) for well in _wells(said) for site in _sites(said) or [1]}
    for well, site in sorted(expected - listed, key=str):
        lost = f"{stem}_{well}_s{site}"  # stands for all of its planes
        rows[os.path.join(os.path.dirname(path), lost)] = {
            "well": well,
            "field": site,
            "c": 1,
            "t": 1,
            "z": 1,
        }
    found, notes = there(rows, path, on_gap)
    if projections:
        notes += (
            f"{projections} images beside the folders of planes along z are projections, and are left out",
        )
    channels = tuple(Channel(said.get(f"WaveName{i + 1}") or f"w{i + 1}") for i in range(count))
    fields = fields_of(tabled(found), path, on_gap=on_gap, told=Told(channels))
    size = _number(said, "YWells", 0), _number(said, "XWells", 0)
    return PlateSource(path, stem, fields, size if all(size) else None, notes=notes, format="ImageXpress")


def _read(path: str) -> dict[str, str]:
    """Return the values of the file by their keys, quotes removed."""
    with open(path, "rb") as file:
        data = file.read(MOST_BYTES)
    text = data.decode("utf-8-sig", "replace")
    pairs = (line.partition(",") for line in text.splitlines())
    said = {key.strip().strip('"'): value.strip().strip('"') for key, _, value in pairs}
    if not {"XWells", "YWells"} <= said.keys():
        raise InputError(
            f"{path}: has no XWells and YWells, so it is no file of MetaXpress; export the plate again"
        )
    return said


def _number(said: dict[str, str], key: str, default: int) -> int:
    value = said.get(key, "")
    return min(int(value), MOST_SIDE) if value.isdecimal() and len(value) < 9 else default


def _flags(text: str) -> list[bool]:
    return [flag.strip().upper() == "TRUE" for flag in text.split(",")]


def _wells(said: dict[str, str]) -> Iterator[str]:
    """Yield the wells that were chosen."""
    for row in range(_number(said, "YWells", 0)):
        for column, chosen in enumerate(_flags(said.get(f"WellsSelection{row + 1}", ""))):
            if chosen:
                yield f"{row_name(row)}{column + 1:02}"


def _sites(said: dict[str, str]) -> list[int]:
    """Return the numbers of the sites that were chosen."""
    if said.get("Sites", "").upper() != "TRUE":
        return []
    width = _number(said, "XSites", 1)
    return [
        row * width + column + 1
        for row in range(_number(said, "YSites", 1))
        for column, chosen in enumerate(_flags(said.get(f"SiteSelection{row + 1}", "")))
        if chosen
    ]


def _planes(
    folder: str, stem: str, time: int | None = None, z: int | None = None
) -> Iterator[tuple[str, re.Match[str], int, int | None]]:
    """Yield the planes in ``folder`` and below: path, parts of the name, number of the time and of the plane."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if not entry.is_dir():
            if entry.name.startswith(f"{stem}_") and (match := NAME.fullmatch(entry.name[len(stem) + 1 :])):
                yield entry.path, match, time or 1, z
        elif (step := FOLDER.fullmatch(entry.name)) is not None:
            number, is_time = int(step["number"]), step["what"].lower() == "timepoint"
            if (time if is_time else z) is None:  # a link may lead back
                yield from _planes(entry.path, stem, *((number, z) if is_time else (time, number)))
