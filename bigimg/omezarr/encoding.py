"""How an array of anybody is stored: names of its objects, and the steps from their bytes to pixels.

It is read from ``.zarray`` or ``zarr.json``. Only codecs of :mod:`~bigimg.omezarr.decoders` are taken: the metadata of
others cannot name any code to run, and each step knows how many bytes it may make.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bigimg.errors import counted
from bigimg.omezarr.decoders import COMPRESSORS, FILTERS, decompressed, unfiltered
from bigimg.types import Array, DType, Json, Shape

SLACK_BYTES = 1 << 16
"""What a codec adds to data that it cannot make smaller is an eighth and these, at most."""

NUMERIC = re.compile(r"[<>|=]?([iu][1248]|f[248]|b1)|bool|u?int(8|16|32|64)|float(16|32|64)")
"""Types of values that are read, as zarr 2 and zarr 3 name them."""

TEXTS = "vlen-utf8"
MOST_TEXT = 999
"""Letters of a text."""

type Step = str | Mapping[str, Json]
"""A codec on bytes by its name, or a filter with its settings."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the objects of an array are named, and how their bytes become chunks."""

    dtype: DType
    """As stored, byte order included."""
    chunk: Shape
    """Unit of reading."""
    turn: tuple[int, ...]
    """For each axis in the bytes of a chunk, the axis of the array."""
    steps: tuple[Step, ...]
    """What was done with the values and bytes of a chunk, in this order."""
    fill: float | int | str
    """Value of what is absent."""
    separator: Literal["/", "."]
    prefix: Literal["c", ""]
    index: Literal["start", "end"] | None = None
    """Where a shard has its index; None without shards."""
    texts: bool = False
    """Whether values are texts, each after its length."""
    index_checked: bool = False
    """Whether a crc32c follows the index."""

    def key(self, index: Shape) -> str:
        """Return the path of an object inside its array."""
        numbers = [str(i) for i in index] or ([] if self.prefix else ["0"])
        return self.separator.join([self.prefix, *numbers] if self.prefix else numbers)

    @property
    def chunk_bytes(self) -> int:
        """Length of a decoded chunk."""
        return math.prod(self.chunk) * self.dtype.itemsize

    @property
    def widest_bytes(self) -> int:
        """Largest length of a chunk while it is decoded: a filter may make wider values of its own."""
        return self._plain_bytes(len(self.steps))

    @property
    def most_bytes(self) -> int:
        """Largest length that an encoded chunk may have."""
        return self._most(len(self.steps)) if self.steps else self.chunk_bytes

    def _most(self, step: int) -> int:
        """Return how many bytes there may be after the first ``step`` steps."""
        most = self._plain_bytes(step)
        return most + most // 8 + SLACK_BYTES if step else most

    def _plain_bytes(self, step: int) -> int:
        """Return the length of a chunk after the first ``step`` steps without what its codecs save or add."""
        filtered = any(not isinstance(name, str) for name in self.steps[:step])
        return 8 * math.prod(self.chunk) if filtered else self.chunk_bytes

    def decode(self, data: bytes) -> Array:
        """Return the chunk in ``data``, with the axes of the array.

        Raises
        ------
        ValueError and others of :data:`~bigimg.omezarr.decoders.UNDECODABLE`
            The bytes are not those of a chunk.
        """
        found: Any = data
        for i, step in reversed([*enumerate(self.steps)]):
            if isinstance(step, str):
                found = decompressed(step, bytes(found) if i + 1 < len(self.steps) else found, self._most(i))
            else:
                found = unfiltered(step, found)
        if self.texts:
            return _texts(bytes(found), self.chunk, self.dtype)
        if len(found) != self.chunk_bytes:
            raise ValueError(f"it decodes to {counted(len(found), 'byte')}, not {self.chunk_bytes}")
        values = np.frombuffer(found, self.dtype).reshape([self.chunk[axis] for axis in self.turn])
        return values.transpose(np.argsort(self.turn))


def encoding_v2(document: Mapping[str, Any], dtype: DType, chunk: Shape, fill: Any) -> Encoding:
    """Return the encoding that a ``.zarray`` describes; its shape and type are checked already.

    Raises
    ------
    ValueError
        A member is wrong, or names a codec that is not known.
    """
    order = document.get("order", "C")
    separator = document.get("dimension_separator", ".")
    filters = document.get("filters") or []
    compressor = document.get("compressor")
    if order not in ("C", "F"):
        raise ValueError(f"order is {order!r:.80}, not C or F")
    if separator not in ("/", "."):
        raise ValueError(f"dimension_separator is {separator!r:.80}, not / or .")
    if not isinstance(filters, list):
        raise ValueError(f"filters is {filters!r:.80}, not a list")
    texts = dtype.kind == "U" and [_name(one, "id") for one in filters] == ["vlen-utf8"]
    steps = [_step("filters", one, _name(one, "id"), one) for one in filters if not texts]
    if compressor is not None:
        steps.append(_step("compressor", compressor, _name(compressor, "id"), compressor))
    axes = range(len(chunk))
    turn = tuple(axes) if order == "C" else tuple(reversed(axes))
    return Encoding(dtype, chunk, turn, tuple(steps), _fill(fill, dtype), separator, "", texts=texts)


def encoding_v3(document: Mapping[str, Any], dtype: DType, chunk: Shape, fill: Any) -> Encoding:
    """Return the encoding that a ``zarr.json`` describes; its shape, chunks and type are checked already.

    Raises
    ------
    ValueError
        A member is wrong, or names a codec that is not known.
    """
    keys = document.get("chunk_key_encoding", {"name": "default"})
    known: dict[str, tuple[Literal["c", ""], str]] = {"default": ("c", "/"), "v2": ("", ".")}
    name = _name(keys, "name")
    if name not in known:
        raise ValueError(f"chunk_key_encoding is {name!r:.80}, not default or v2")
    prefix, separator = known[name]
    separator = _configuration(keys).get("separator", separator)
    if separator not in ("/", "."):
        raise ValueError(f"separator of chunk_key_encoding is {separator!r:.80}, not / or .")
    if document.get("storage_transformers"):
        raise ValueError("storage_transformers are not read")
    codecs = _codecs(document["codecs"])
    place: Literal["start", "end"] | None = None
    checked = False
    if any(_name(one, "name") == "sharding_indexed" for one in codecs):
        if len(codecs) != 1:
            raise ValueError("codecs around sharding_indexed are not read")
        inner = _configuration(codecs[0])
        place = inner.get("index_location", "end")
        if place not in ("start", "end"):
            raise ValueError(f"index_location is {place!r:.80}, not start or end")
        checked = _index_checked(inner.get("index_codecs"))
        codecs = _codecs(inner["codecs"])
    turn, steps, stored = _chain(codecs, len(chunk), dtype)
    texts = dtype.kind == "U" and any(_name(one, "name") == TEXTS for one in codecs)
    return Encoding(stored, chunk, turn, steps, _fill(fill, dtype), separator, prefix, place, texts, checked)


def _chain(codecs: Sequence[Any], ndim: int, dtype: DType) -> tuple[tuple[int, ...], tuple[Step, ...], DType]:
    """Return the order of axes, the steps, and the type with its byte order."""
    turn, steps, stored = tuple(range(ndim)), list[Step](), None
    for one in codecs:
        name, settings = _name(one, "name"), _configuration(one)
        if name == "transpose":
            order = settings.get("order")
            if (
                stored is not None
                or steps
                or not isinstance(order, list)
                or sorted(order) != list(range(ndim))
            ):
                raise ValueError(f"order of transpose is {order!r:.80}, not one of the {ndim} axes")
            turn = tuple(turn[axis] for axis in order)
        elif name == TEXTS and dtype.kind == "U" and stored is None:
            stored = dtype
        elif name == "bytes":
            endian = settings.get("endian", "little")
            if stored is not None or endian not in ("little", "big"):
                raise ValueError(f"endian of bytes is {endian!r:.80}, not little or big")
            stored = dtype.newbyteorder("<" if endian == "little" else ">")
        else:
            short = name.removeprefix("numcodecs.")
            steps.append(_step("codecs", one, short, {**settings, "id": short}))
    if stored is None:
        raise ValueError("codecs lack bytes")
    filtered = any(not isinstance(step, str) for step in steps)
    if filtered and (stored != dtype.newbyteorder("<") or turn != tuple(range(ndim))):
        raise ValueError("codecs: a filter together with a transposition or big-endian bytes is not read")
    return turn, tuple(steps), stored


def _step(field: str, given: Any, name: str, settings: Mapping[str, Any]) -> Step:
    """Return one step; nothing but the codecs that are known by name is ever run."""
    if name in COMPRESSORS and not (name == "lzma" and settings.get("format", 1) != 1):
        return name
    if name not in FILTERS:
        raise ValueError(
            f"{field} has the codec {given!r:.80}, and {', '.join([*COMPRESSORS, *FILTERS])} can be read"
        )
    for key, value in settings.items():
        if key.endswith("type") and value is not None:
            numeric(value)
        elif not isinstance(value, str | int | float | None):
            raise ValueError(f"{key} of {name} is {value!r:.80}")
    import numcodecs

    numcodecs.get_codec(dict(settings))  # raises for settings that it does not have
    return dict(settings)


def _name(given: Any, member: str) -> str:
    name = given.get(member) if isinstance(given, Mapping) else given if member == "name" else None
    if not isinstance(name, str):
        raise ValueError(f"{member} of {given!r:.80} is not text")
    return name


def _configuration(given: Any) -> Mapping[str, Any]:
    found = (given.get("configuration") or {}) if isinstance(given, Mapping) else {}
    if not isinstance(found, Mapping):
        raise ValueError(f"configuration of {given!r:.80} is not an object")
    return found


def _codecs(given: Any) -> list[Any]:
    if not isinstance(given, list):
        raise ValueError(f"codecs is {given!r:.80}, not a list")
    return given


def _index_checked(given: Any) -> bool:
    """Return whether the index of shards ends in a checksum."""
    names = [_name(one, "name") for one in _codecs(given)]
    if names[:1] != ["bytes"] or names[1:] not in ([], ["crc32c"]):
        raise ValueError(f"index_codecs is {given!r:.80}, and bytes with crc32c can be read")
    if _configuration(given[0]).get("endian", "little") != "little":
        raise ValueError("index_codecs are big-endian, and little-endian ones can be read")
    return len(names) == 2


def numeric(name: Any) -> DType:
    """Return the type of numbers that ``name`` is.

    Raises
    ------
    ValueError
        It is another type, or none.
    """
    if not isinstance(name, str) or NUMERIC.fullmatch(name) is None:
        raise ValueError(f"values of type {name!r:.80}, and numbers and bool can be read")
    return np.dtype(name)


def text_type(name: Any) -> DType:
    """Return the type of texts that ``name`` is, of up to :data:`MOST_TEXT` letters.

    Raises
    ------
    ValueError
        It is another type, or of longer texts.
    """
    if name in ("|O", "string"):
        return np.dtype(f"<U{MOST_TEXT}")
    if _name(name, "name") == "fixed_length_utf32":
        length = _configuration(name).get("length_bytes")
        name = f"<U{length // 4}" if type(length) is int else name
    if not isinstance(name, str) or re.fullmatch(r"[<>]U[1-9]\d{0,2}", name) is None:
        raise ValueError(f"texts of type {name!r:.80}")
    return np.dtype(name)


def _texts(data: bytes, shape: Shape, dtype: DType) -> Array:
    """Return the texts of a chunk: their number, then each after the number of its bytes."""
    (count,), at, found = struct.unpack_from("<I", data), 4, list[str]()
    if count != math.prod(shape):
        raise ValueError(f"it decodes to {counted(count, 'text')}, not {math.prod(shape)}")
    for _ in range(count):
        (length,) = struct.unpack_from("<I", data, at)
        if at + 4 + length > len(data):
            raise ValueError("it ends early")
        text = data[at + 4 : at + 4 + length].decode()
        if len(text) > MOST_TEXT:
            raise ValueError(f"it has a text of {len(text)} letters, and {MOST_TEXT} are allowed")
        found.append(text)
        at += 4 + length
    return np.array(found, dtype).reshape(shape)


def _fill(value: Any, dtype: DType) -> float | int | str:
    """Return the fill value as a number; it was checked."""
    if isinstance(value, str) and value.startswith("0x"):
        return float(np.frombuffer(bytes.fromhex(value[2:]), dtype.newbyteorder(">"))[0])
    if value is None or dtype.kind == "U":
        return 0 if dtype.kind != "U" else ""
    return float(value) if dtype.kind == "f" else int(value)
