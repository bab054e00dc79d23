"""A reader of ECAT 7 PET: nibabel reads the headers; each frame is a big-endian volume behind its own header.

Frames are mirrored as nibabel mirrors them, by the orientation of the patient. Each frame has a scale factor: if all
factors are equal, they are the scaling of the image, otherwise the reader gives real values.
"""

from __future__ import annotations

import warnings
from typing import BinaryIO, Literal

import numpy as np
from nibabel import ecat
from nibabel.wrapstruct import WrapStructError

from bigimg.errors import InputError
from bigimg.readers.raw.frames import FrameStart, open_frames
from bigimg.readers.raw.plain import RawReader
from bigimg.readers.raw.scaled import Mirrored
from bigimg.readers.volumes.headers import Step, Volume, in_space, reading_header, volumes
from bigimg.types import Array

BLOCK = 512
"""Bytes of a block; block numbers begin at 1."""


def open_ecat(source: str) -> RawReader:
    """Return a reader of the ECAT 7 image at ``source``.

    Parameters
    ----------
    source : str

    Raises
    ------
    InputError
        A header makes no sense, frames differ in shape or type, or the file is too short.
    """
    header, sub, notes = _headers(source)
    order = _frame_order(sub)
    count = len(order)
    sizes = {tuple(sub.get_shape(frame)) for frame in range(count)}
    types = {sub._get_data_dtype(frame) for frame in range(count)}
    if len(sizes) != 1 or len(types) != 1:
        raise InputError(f"{source}: frames have {len(sizes)} shapes and {len(types)} types; split it first")
    dtype = np.dtype(types.pop()).newbyteorder(header.endianness)
    stored = volumes(source, (*sizes.pop(), count), dtype)
    # nibabel computes these bytes in 32 bits, which overflow at 2 GiB.
    starts = [FrameStart(source, int(sub._mlist[frame][1]) * BLOCK) for frame in order]
    pixels, access = open_frames(starts, stored, "uncompressed frames")
    axes = (False, *_mirrored(int(header["patient_orientation"])))[-len(stored.shape) :]
    pixels = Mirrored(pixels, dtype.newbyteorder("="), stored.shape, axes)
    factor = float(header["ecat_calibration_factor"])
    slopes = np.array([factor * float(sub.subheaders[frame]["scale_factor"]) for frame in order])
    with np.errstate(all="ignore"):  # headers may hold random bytes
        affine = sub.get_frame_affine()
    volume = Volume(
        stored=stored, affine=affine, steps=_steps(sub, order, notes),
        slopes=slopes.reshape((-1, 1, 1, 1)[-len(stored.shape) :]), frame="frame",
        fields={name: header[name] for name in header.keys() if name != "fill"}, family="ecat",  # noqa: SIM118
    )  # fmt: skip
    return volume.reader(source, pixels, access, notes)


def _headers(path: str) -> tuple[ecat.EcatHeader, ecat.EcatSubHeader, list[str]]:
    """Return the main header, the headers of the frames, and the warnings of nibabel."""
    notes: list[str] = []
    with reading_header(path, path, (WrapStructError,), "fetch it again", notes), open(path, "rb") as file:
        header = ecat.EcatHeader.from_fileobj(file)
        matrices = _matrix_list(file, header)
        sub = ecat.EcatSubHeader(header, matrices, file)
        if not len(matrices) or not sub.get_nframes() or len(sub.subheaders) < sub.get_nframes():
            raise ValueError("it lists no frames")
        sub._check_affines(), sub.get_frame_affine()
        [sub._get_data_dtype(frame) for frame in range(sub.get_nframes())]
    sub.fileobj = None  # the file is closed: bigimg reads the pixels
    return header, sub, notes


def _matrix_list(file: BinaryIO, header: ecat.EcatHeader) -> Array:
    """Return the list of matrices; its blocks are checked first, because nibabel follows a circle for ever."""
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
    listed = ecat.read_mlist(file, header.endianness)
    rows = np.zeros((int(header["num_frames"]), 4), np.int32)
    rows[: len(listed)] = listed
    return rows


def _frame_order(sub: ecat.EcatSubHeader) -> list[int]:
    """Return the rows of the frames in the order of their numbers, as nibabel sorts them."""
    with warnings.catch_warnings(action="ignore"):  # the same warnings as for the headers
        found = ecat.get_frame_order(sub._mlist)
    return [int(found[number][0]) for number in sorted(found)]


def _mirrored(orientation: int) -> tuple[bool, bool, bool]:
    """Return whether nibabel mirrors z, y and x, for a code of ``patient_orientation``."""
    known = orientation in ecat.patient_orient_neurological
    return (known or orientation in ecat.patient_orient_radiological,) * 2 + (known,)


def _steps(sub: ecat.EcatSubHeader, order: list[int], notes: list[str]) -> dict[str, Step]:
    """Return spacing and unit of each axis; ``t`` has a time step if all frames start at even times."""
    steps = in_space(sub.get_zooms())
    starts = [int(sub.subheaders[frame]["frame_start_time"]) for frame in order]
    gaps = set(np.diff(starts).tolist())
    if len(gaps) == 1 and min(gaps) > 0:
        steps["t"] = (float(gaps.pop()), "millisecond")
    elif gaps:
        notes.append(f"frames do not start at even times ({starts[:8]} ms ...); t counts them")
    return steps
