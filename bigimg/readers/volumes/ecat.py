"""A reader of ECAT 7 PET: nibabel's headers, one big-endian volume a frame with its own header before it.

What only this module knows: frames are mirrored as nibabel mirrors them, by the patient's orientation, and each has
a scale factor. One factor for all is the scaling of the image; several give real values.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np

from bigimg.errors import InputError
from bigimg.geometry.region import pieces, shape_of, shift
from bigimg.reader import Access
from bigimg.readers.failures import reading
from bigimg.readers.raw.frames import Place, frames
from bigimg.readers.raw.plain import READ_BYTES, Pixels, RawReader
from bigimg.readers.raw.scaled import slab_shape
from bigimg.readers.volumes.headers import Step, Volume, checked_shape, heard, only_image
from bigimg.types import Array, DType, Region, Shape

if TYPE_CHECKING:
    from nibabel.ecat import EcatHeader, EcatSubHeader

PERSONAL = "patient_(?!orientation).*|.*_name|.*filename|study_.*|serial_number|.*_start_time"
"""Fields that may tell who was imaged, when and where."""
BLOCK = 512
"""Bytes of a block; numbers of blocks begin at 1."""


@dataclass(frozen=True)
class Mirrored:
    """``pixels`` turned round along some axes."""

    pixels: Pixels
    shape: Shape
    dtype: DType
    """In native byte order."""
    axes: tuple[bool, ...]

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region`` in C order: who takes a view with negative strides copies it whole."""
        result = np.empty(shape_of(region), self.dtype)
        back = tuple(slice(None, None, -1) if turned else slice(None) for turned in self.axes)
        start = tuple(s.start for s in region)
        for _, part in pieces(shift(region, start), slab_shape(result.shape)):
            there = tuple(
                slice(n - o - s.stop, n - o - s.start) if turned else slice(s.start + o, s.stop + o)
                for s, o, n, turned in zip(part, start, self.shape, self.axes, strict=True)
            )
            result[part] = self.pixels.read(there)[back]
        return result

    def close(self) -> None:
        """Let go of the file."""
        self.pixels.close()


def open_ecat(path: str | os.PathLike[str], *, series: int | None = None) -> RawReader:
    """Return a reader of the ECAT 7 image at ``path``.

    Parameters
    ----------
    path : str or path-like
    series : int, optional
        Only 0: frames are the axis ``t``.

    Raises
    ------
    InputError
        A header makes no sense, frames differ in shape or type, or the file is too short.
    """
    source = os.fspath(path)
    only_image(source, series)
    header, sub, notes = _headers(source)
    order = _frame_order(sub)
    count = len(order)
    sizes = {checked_shape(source, sub.get_shape(frame)) for frame in range(count)}
    types = {sub._get_data_dtype(frame) for frame in range(count)}
    if len(sizes) != 1 or len(types) != 1:
        raise InputError(
            f"{source}: its {count} frames have {len(sizes)} shapes and {len(types)} types; split it first"
        )
    dtype = np.dtype(types.pop()).newbyteorder(header.endianness)
    inner = tuple(reversed(sizes.pop()))
    outer = (count,) if count > 1 else ()
    dims, shape = ("t", "z", "y", "x")[-len(outer) - 3 :], (*outer, *inner)
    # nibabel counts these bytes in 32 bits, which go round after 2 GiB.
    places = [Place(source, int(sub._mlist[frame][1]) * BLOCK) for frame in order]
    pixels = frames(places, outer=outer, inner=inner, dtype=dtype)
    turned = _turned(int(header["patient_orientation"]))
    pixels = Mirrored(pixels, shape, dtype.newbyteorder("="), (*(False for _ in outer), *turned))
    access = Access("random", f"uncompressed frames, {dtype.newbyteorder('=')}", dims, read_bytes=READ_BYTES)
    factor = float(header["ecat_calibration_factor"])
    slopes = np.array([factor * float(sub.subheaders[frame]["scale_factor"]) for frame in order])
    with np.errstate(all="ignore"):  # of headers full of noise
        affine = sub.get_frame_affine()
    found = Volume(
        dims=dims, shape=shape, dtype=dtype, affine=affine, steps=_steps(sub, order, notes),
        slopes=slopes.reshape((-1, 1, 1, 1) if outer else (1, 1, 1)), frame="frame",
        fields={name: header[name] for name in header.keys() if name != "fill"}, personal=PERSONAL,  # noqa: SIM118
    )  # fmt: skip
    return found.reader(source, pixels, access, notes)


def _headers(path: str) -> tuple[EcatHeader, EcatSubHeader, list[str]]:
    """Return the main header, those of the frames, and what nibabel warns of."""
    from nibabel.ecat import EcatHeader, EcatSubHeader
    from nibabel.wrapstruct import WrapStructError

    notes: list[str] = []
    nonsense = (WrapStructError, ValueError, TypeError, KeyError, IndexError, OverflowError)
    with reading(path, nonsense, "fetch the file again"), open(path, "rb") as file, heard(notes):
        header = EcatHeader.from_fileobj(file)
        found = _matrix_list(file, header)
        sub = EcatSubHeader(header, found, file)
        if not len(found) or not sub.get_nframes() or len(sub.subheaders) < sub.get_nframes():
            raise ValueError("it lists no frames")
        sub._check_affines(), sub.get_frame_affine()
        [sub._get_data_dtype(frame) for frame in range(sub.get_nframes())]
    sub.fileobj = None  # closed by now: pixels are read by us
    return header, sub, notes


def _matrix_list(file: BinaryIO, header: EcatHeader) -> Array:
    """Return the list of matrices, once its blocks are known to end: nibabel follows a circle for ever."""
    from nibabel.ecat import read_mlist

    order: Literal["little", "big"] = "little" if header.endianness == "<" else "big"
    block, seen = 2, set[int]()
    while block > 2 or not seen:
        if block in seen:
            raise ValueError(f"its list of frames goes in a circle at block {block}")
        seen.add(block)
        file.seek((block - 1) * BLOCK)
        row = file.read(BLOCK)
        if len(row) < BLOCK:
            raise ValueError(f"it ends within its list of frames, at block {block}")
        block = int.from_bytes(row[4:8], order, signed=True)
    listed = read_mlist(file, header.endianness)
    rows = np.zeros((int(header["num_frames"]), 4), np.int32)
    rows[: len(listed)] = listed
    return rows


def _frame_order(sub: EcatSubHeader) -> list[int]:
    """Return the rows of the frames, in the order of their numbers as nibabel has it."""
    from nibabel.ecat import get_frame_order

    with heard([]):  # it was noted when the headers were read
        found = get_frame_order(sub._mlist)
    return [int(found[number][0]) for number in sorted(found)]


def _turned(orientation: int) -> tuple[bool, bool, bool]:
    """Return whether nibabel turns z, y and x round, for a code of ``patient_orientation``."""
    from nibabel.ecat import patient_orient_neurological, patient_orient_radiological

    known = orientation in patient_orient_neurological
    return (known or orientation in patient_orient_radiological,) * 2 + (known,)


def _steps(sub: EcatSubHeader, order: list[int], notes: list[str]) -> dict[str, Step]:
    """Return spacing and unit; frames are a time apart when they start at even times."""
    steps: dict[str, Step] = {
        name: (float(zoom), "millimeter") for name, zoom in zip("xyz", sub.get_zooms(), strict=False)
    }
    starts = [int(sub.subheaders[frame]["frame_start_time"]) for frame in order]
    gaps = set(np.diff(starts).tolist())
    if len(gaps) == 1 and min(gaps) > 0:
        steps["t"] = (float(gaps.pop()), "millisecond")
    elif gaps:
        notes.append(f"frames do not start at even times ({starts[:8]} ms ...); t counts them")
    return steps
