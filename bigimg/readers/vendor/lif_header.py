"""What the header of a Leica image says: its axes, where their elements lie, channels and settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from bigimg.errors import InputError, damage
from bigimg.geometry.axes import Axis
from bigimg.geometry.spec import RGB, Channel
from bigimg.readers.several import pick_indices
from bigimg.readers.vendor.planes import MOST_PLANES
from bigimg.types import Array, DType, Shape

DESCRIPTION = "./Data/Image/ImageDescription"

NAMES = dict(enumerate(("x", "y", "z", "t", "λ", "A", "N", "Q", "Λ", "M", "L"), 1))
"""Axes by DimID, with the letters of liffile: emission, rotation, slices over time, excitation, mosaic, loop."""

WAVELENGTHS = {"Λ": "excitation", "λ": "emission"}
"""Axes that become channels."""

COLORS = {
    "red": "FF0000", "green": "00FF00", "blue": "0000FF", "cyan": "00FFFF", "magenta": "FF00FF", "yellow": "FFFF00",
    "gray": "FFFFFF", "grey": "FFFFFF",
}  # fmt: skip
"""By the name of the lookup table."""

UNITS = {"m": ("micrometer", 1e6), "s": ("second", 1.0)}


class Step(NamedTuple):
    """An axis as the header describes it."""

    size: int
    stride: int
    """Bytes from one element to the next."""
    origin: float = 0.0
    length: float = 0.0
    """From the first element to the last."""
    unit: str = ""


ONE = Step(1, 0)
"""An axis that an image has not."""


class Header:
    """The description of an image.

    Parameters
    ----------
    image : liffile.LifImage

    Raises
    ------
    KeyError, ValueError
        It makes no sense.
    """

    def __init__(self, image: Any) -> None:
        self.image = image
        self.dtype: DType = image.dtype
        steps = [
            _step(each)
            for each in image.xml_element.iterfind(f"{DESCRIPTION}/Dimensions/DimensionDescription")
        ]
        self.steps = dict(steps)
        if len(self.steps) < len(steps):
            raise ValueError("an axis is there twice")
        described = image.xml_element.findall(f"{DESCRIPTION}/Channels/ChannelDescription")
        self.described = sorted(described, key=lambda each: int(each.attrib["BytesInc"]))
        item, x = self.dtype.itemsize, self.steps.get("x", ONE)
        self.samples = max(1, x.stride // item)
        """Values that lie side by side in a pixel."""
        self.width = x.size * self.samples
        """Values in a row."""
        y = self.steps.get("y", ONE)
        self.rows, row_bytes = y.size, y.stride if y.size > 1 else self.width * item
        self.row = row_bytes // item
        """Values from one row to the next."""
        places = np.array([int(each.attrib["BytesInc"]) for each in self.described])
        self.groups = places[:: self.samples]
        """Byte of the first channel of each group of samples."""
        self.readable = (
            x.stride % item == row_bytes % item == len(places) % self.samples == 0
            and self.row >= self.width
            and not any(int(each.get("BitInc", 0)) for each in described)
            and bool(
                (
                    places.reshape(-1, self.samples) == self.groups[:, None] + np.arange(self.samples) * item
                ).all()
            )
        )
        """Whether the pixels lie in an order that is read."""

    @property
    def channel_count(self) -> int:
        """Channels, each of them at each wavelength."""
        return len(self.described) * math.prod(self.steps.get(name, ONE).size for name in WAVELENGTHS)

    @property
    def shape(self) -> Shape:
        """Elements along the axes that are longer than 1: those that must be chosen first, then t c z y x."""
        sizes = (
            self.others
            | {name: self.steps.get(name, ONE).size for name in "tczyx"}
            | {"c": self.channel_count}
        )
        return tuple(size for size in sizes.values() if size > 1)

    @property
    def others(self) -> dict[str, int]:
        """Sizes of the axes that are none of t c z y x, and no wavelengths."""
        return {name: step.size for name, step in self.steps.items() if name not in {*"tzyx", *WAVELENGTHS}}

    def indices(
        self, path: str, name: str, axis: Mapping[str, int] | None
    ) -> tuple[dict[str, int], tuple[str, ...]]:
        """Return the index along each of :attr:`others`; see :func:`~bigimg.readers.several.pick_indices`.

        Raises
        ------
        InputError
            The image is a mosaic, or an axis lacks its index.
        UsageError
            There is no such index.
        """
        if self.others.get("M", 1) > 1 and "M" not in (axis or {}):
            what = f"{name} is a mosaic of {self.others['M']} tiles that were not merged"
            raise InputError(
                f"{path}: {what}; export it merged by LAS X, or take one tile by axis={{'M': 0}}"
            )
        return pick_indices(path, name, {other: range(n) for other, n in self.others.items()}, axis)

    def places(self, path: str, name: str, index: Mapping[str, int]) -> Array:
        """Return the bytes at which planes begin in the memory of the image, by t, group of samples and z.

        Parameters
        ----------
        path, name : str
            Of the file and the image, for messages.
        index : mapping of str to int
            Along :attr:`others`.

        Raises
        ------
        InputError
            The planes are too many, or their pixels lie in an order that is not read.
        """
        if not self.readable:
            raise InputError(
                f"{path}: the pixels of {name} lie in an order that is not read; export them as TIFF"
            )
        first = sum(self.steps[other].stride * at for other, at in index.items())
        t, z, *waves = (self.steps.get(each, ONE) for each in ("t", "z", *WAVELENGTHS))
        count = math.prod(step.size for step in (t, z, *waves)) * len(self.groups)
        if count > MOST_PLANES:
            raise damage(path, f"{name} should have {count} planes, and at most {MOST_PLANES} are read")
        before, *after = (np.arange(step.size) * step.stride for step in (t, *waves, z))
        found: Array = reduce(np.add.outer, (before, self.groups, *after)) + first
        return found.reshape(t.size, -1, z.size)

    def axes(self) -> tuple[tuple[Axis, ...], tuple[str, ...]]:
        """Return the axes t c z y x; of t c z those that are longer than 1; and notes."""
        found, notes = [], []
        for name in "tczyx":
            step = self.steps.get(name, ONE)
            if name == "c" and self.channel_count > 1:
                found.append(Axis("c", self.channel_count))
            elif step.size > 1 or name in "yx":
                found.append(_axis(name, step))
            if step.length < 0:
                notes.append(f"{name} was recorded from its far end on: index 0 has the largest coordinate")
            if name in "yx" and step is ONE:
                scan = f"the file has no axis {name} (it is a scan along {' '.join(self.steps)})"
                notes.append(f"{scan}, so {name} has size 1")
        return tuple(found), tuple(notes)

    @property
    def backwards(self) -> bool:
        """Whether the colours of a pixel lie as B G R."""
        return self.samples == 3 and self._tags()[:3] == ["3", "2", "1"]

    def channels(self) -> list[Channel]:
        """Return the channels, as they lie in the file."""
        tags = self._tags()
        if all(sorted(tags[i : i + 3]) == ["1", "2", "3"] for i in range(0, len(tags), 3)):
            base = [RGB[int(tag) - 1] for tag in tags]
            if len(base) > 3:
                base = [Channel(f"{each.name} {i // 3}", each.color) for i, each in enumerate(base)]
        else:
            colors = [COLORS.get(each.get("LUTName", "").lower()) for each in self.described]
            base = [Channel(name, color) for name, color in zip(self._names(), colors, strict=True)]
        found = [""]
        for axis, what in WAVELENGTHS.items():
            if (step := self.steps.get(axis, ONE)).size > 1:
                waves = np.linspace(step.origin, step.origin + step.length, step.size) * 1e9
                found = [f"{before} {what} {wave:.4g} nm" for before in found for wave in waves]
        if len(found) == 1:
            return base
        names = ["" if len(base) == 1 else each.name for each in base]
        starts = range(0, len(base), self.samples)
        order = [i + k for i in starts for _ in found for k in range(self.samples)]
        waved = [wave for _ in starts for wave in found for _ in range(self.samples)]
        return [
            Channel(f"{names[i]}{wave}".strip(), base[i].color) for i, wave in zip(order, waved, strict=True)
        ]

    def settings(self) -> dict[str, Any]:
        """Return how the microscope was set."""
        for name in ("ATLConfocalSettingDefinition", "ATLCameraSettingDefinition"):
            if (found := self.image.xml_element.find(f".//{name}")) is not None:
                return dict(found.attrib)
        return {}

    def _tags(self) -> list[str]:
        return [each.get("ChannelTag", "") for each in self.described]

    def _names(self) -> list[str]:
        """Return the dyes of channels, or what else liffile finds to name them by."""
        with suppress(ValueError, AssertionError):  # liffile knows no padded rows but those of colours
            for name in "CS":
                if len(found := self.image.coords.get(name, ())) == len(self.described):
                    return [str(each) for each in found]
        dyes = [each.findtext("ChannelProperty[Key='DyeName']/Value") for each in self.described]
        return [dye.removeprefix("Leica/") if dye else f"Ch{i}" for i, dye in enumerate(dyes)]


def _step(described: Any) -> tuple[str, Step]:
    fields = described.attrib
    name = NAMES.get(int(fields["DimID"]), f"D{fields['DimID']}")
    size, stride = int(fields["NumberOfElements"]), int(fields["BytesInc"])
    if size < 1 or stride < 0:
        raise ValueError(f"axis {name} of {size} elements, {stride} bytes apart")
    return name, Step(size, stride, float(fields["Origin"]), float(fields["Length"]), fields["Unit"])


def _axis(name: str, step: Step) -> Axis:
    unit, factor = UNITS.get(step.unit, (None, 1.0))
    spacing = abs(step.length) * factor / max(step.size - 1, 1)
    if not 0 < spacing < math.inf:
        return Axis(name, step.size)
    upwards = step.length > 0 and math.isfinite(step.origin)
    return Axis(name, step.size, spacing, unit, round(step.origin * factor, 9) if upwards else 0.0)
