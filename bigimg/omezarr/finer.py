"""What a store of reduced levels says of the finer levels, which it leaves out, and of the source that has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, get_args, get_type_hints

from bigimg.geometry.axes import Axis
from bigimg.reader import Access
from bigimg.types import Json, Opening, Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Finer:
    """The levels from 0 to the first that is stored, which stays out."""

    path: str
    """Of the source, from the folder that holds the store, with slashes."""
    digest: Mapping[str, Any]
    """What :func:`bigimg.readers.digest.source_digest` says of it."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of :class:`bigimg.types.Opening` with which it is opened, and ``kind``."""
    shapes: tuple[Shape, ...]
    """Pixels of each level, fine to coarse."""
    chunks: Shape
    """Of the source."""
    access: Access
    """Of the source."""
    spacing: tuple[float, ...] = ()
    """Of level 0, as of the other levels, in the unit of each axis."""
    origin: tuple[float, ...] = ()

    def at(self, axes: Sequence[Axis]) -> Finer:
        """Return the same with the places of ``axes``, those of level 0."""
        spacing, origin = (tuple(getattr(axis, name) for axis in axes) for name in ("spacing", "origin"))
        return replace(self, spacing=spacing, origin=origin)

    def to_json(self) -> dict[str, Json]:
        """Return the block ``source`` of the attributes of bigimg."""
        return {
            "path": self.path,
            **self.digest,
            "options": dict(self.options),
            "levels": [list(shape) for shape in self.shapes],
            "chunks": list(self.chunks),
            "access": asdict(self.access) | {"order": list(self.access.order)},
            "spacing": list(self.spacing),
            "origin": list(self.origin),
        }


def finer_of(ours: Mapping[str, Any]) -> Finer | None:
    """Return what the block of bigimg in the attributes of an image says; None of a store with all its levels."""
    block = ours.get("source")
    if block is None:
        return None
    access, options = dict(block["access"]), dict(block["options"])
    if unknown := options.keys() - Opening.__annotations__.keys() - {"kind"}:
        raise ValueError(f"source has the options {sorted(unknown)}, which do not exist")
    found = Finer(
        path=str(block["path"]),
        digest={key: block[key] for key in ("sha256", "files", "bytes", "of")},
        options=options,
        shapes=tuple(tuple(map(int, shape)) for shape in block["levels"]),
        chunks=tuple(map(int, block["chunks"])),
        access=Access(**access | {"order": tuple(access["order"])}),
        spacing=tuple(map(float, block["spacing"])),
        origin=tuple(map(float, block["origin"])),
    )
    costs = found.access.fixed_bytes, found.access.read_bytes
    if found.access.kind not in get_args(get_type_hints(Access)["kind"]) or min(costs) < 0:
        raise ValueError(f"source has an access of kind {found.access.kind!r} and {costs} bytes")
    axes = len(found.chunks)
    lengths = [*found.shapes, found.spacing, found.origin]
    whole = all(n > 0 for sizes in (*found.shapes, found.chunks) for n in sizes)
    if not found.shapes or not whole or any(len(each) != axes for each in lengths):
        raise ValueError(f"source has levels of {found.shapes}, and chunks of {found.chunks}")
    return found
