"""Export to NRRD: a text header, and pixels behind it (``.nrrd``) or in a ``.raw`` file (``.nhdr``).

The first axis is the fastest. An axis of space has a vector, its direction times its spacing; channels and time have
none. The world is that of :mod:`~bigimg.exporters.itk`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bigimg.exporters.itk import axis_count, behind_text, digits, geometry
from bigimg.exporters.layout import Layout, Options
from bigimg.geometry.spec import RGB, RGBA, ImageSpec

TYPES = {
    "b1": "uint8", "i1": "int8", "u1": "uint8", "i2": "int16", "u2": "uint16", "i4": "int32", "u4": "uint32",
    "i8": "int64", "u8": "uint64", "f4": "float", "f8": "double",
}  # fmt: skip


def lay_out(levels: Sequence[ImageSpec], target: Path, options: Options) -> Layout:
    """Return how a ``.nrrd``, or a ``.nhdr`` and its ``.raw``, hold the image; channels are the fastest axis.

    Raises
    ------
    UsageError
        float16 pixels.
    """
    spec = levels[0]
    time = "NRRD keeps no origin of time, and ITK reads no NRRD with time: write .mha for it"
    notes = [time] if "t" in spec.dims else []
    if spec.channels and spec.channels not in (RGB, RGBA):
        notes.append("NRRD keeps no names of channels")
    return behind_text("NRRD", TYPES, _header, spec, target, detached=".nhdr", notes=notes)


def _header(spec: ImageSpec, kind: str, pixels: Path | None) -> bytes:
    """Return the text of the header, with the empty line before attached pixels."""
    sizes, count = spec.sizes, axis_count(spec)
    space = min(count, 3)
    names = [*(["c"] if "c" in sizes else []), *"xyzt"[:count]]
    spacing, directions, origin = geometry(spec, count)
    vectors = {name: _vector(directions[:space, i] * spacing[i]) for i, name in enumerate("xyz"[:space])}
    colour = {RGB: "RGB-color", RGBA: "RGBA-color"}.get(spec.channels, "vector")
    kinds = {"c": colour, "t": "time"}
    fields = {
        "type": kind,
        "dimension": str(len(names)),
        **({"space": "left-posterior-superior"} if space == 3 else {"space dimension": "2"}),
        "sizes": " ".join(str(sizes.get(name, 1)) for name in names),
        "space directions": " ".join(vectors.get(name, "none") for name in names),
        "kinds": " ".join(kinds.get(name, "domain") for name in names),
        "endian": "little",
        "encoding": "raw",
        "space units": " ".join(['"mm"'] * space),
        "space origin": _vector(origin[:space]),
    }
    if "t" in sizes:
        step = spec.axes[spec.axis("t")]
        fields["spacings"] = " ".join(digits([step.spacing]) if name == "t" else "nan" for name in names)
        fields["units"] = " ".join(f'"{(step.unit or "") if name == "t" else ""}"' for name in names)
    if pixels is not None:
        fields["data file"] = pixels.name
    text = "".join(f"{name}: {value}\n" for name, value in fields.items())
    return ("NRRD0005\n" + text + ("" if pixels else "\n")).encode()


def _vector(numbers: Iterable[float]) -> str:
    return "(" + digits(numbers).replace(" ", ",") + ")"
