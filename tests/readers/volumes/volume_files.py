"""Files of scanned volumes, made byte by byte where no library writes them: AFNI, PAR/REC, ECAT, MINC."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.ecat import hdr_dtype, subhdr_dtype

from bigimg.types import Array

BUNDLED = Path(nibabel.__file__).parent / "tests" / "data"
"""What nibabel ships for its own tests."""


def mgh(path: Path, array: Array, *, tr: float = 0.0) -> Path:
    """Write ``array`` of shape (x, y, z[, t]) with an oblique affine."""
    affine = np.array([[-1.5, 0.1, 0, 30], [0.1, 0, 2, -40], [0, -2.5, 0.1, 50], [0, 0, 0, 1]])
    image = nibabel.MGHImage(array, affine)
    if array.ndim == 4:
        image.header.set_zooms((*image.header.get_zooms()[:3], tr))
    nibabel.save(image, path)
    return path


def afni(
    stem: Path,
    array: Array,
    *,
    factors: Sequence[float] = (),
    labels: str = "",
    timed: bool = True,
    packed: bool = False,
) -> Path:
    """Write ``array`` of shape (x, y, z, t) as HEAD and BRIK; return the HEAD."""
    code = {"u1": 0, "i2": 1, "f4": 3, "c8": 5}[array.dtype.str[1:]]
    order = "MSB_FIRST" if array.dtype.byteorder == ">" else "LSB_FIRST"
    fields: list[tuple[str, str, str]] = [
        ("string", "TYPESTRING", "'3DIM_HEAD_ANAT~"),
        ("string", "BYTEORDER_STRING", f"'{order}~"),
        ("integer", "DATASET_RANK", f"3 {array.shape[3]} 0 0 0 0 0 0"),
        ("integer", "DATASET_DIMENSIONS", " ".join(map(str, array.shape[:3])) + " 0 0"),
        ("float", "DELTA", "-3 -3.5 4"),
        ("float", "IJK_TO_DICOM_REAL", "-3 0 0 66 0 -3.5 0.25 87 0 0 4 -54"),
        ("integer", "BRICK_TYPES", " ".join([str(code)] * array.shape[3])),
    ]
    if factors:
        fields.append(("float", "BRICK_FLOAT_FACS", " ".join(map(str, factors))))
    if labels:
        fields.append(("string", "BRICK_LABS", f"'{labels}~"))
    if timed:
        fields.append(("integer", "TAXIS_NUMS", f"{array.shape[3]} 0 77001 -999"))
        fields.append(("float", "TAXIS_FLOATS", "500 2000 0 0 0"))
    text = "\n".join(
        f"type = {kind}-attribute\nname = {name}\ncount = {len(value.split())}\n{value}\n"
        for kind, name, value in fields
    )
    head = stem.with_name(stem.name + ".HEAD")
    head.write_text("\n" + text)
    content = array.tobytes(order="F")
    if packed:
        stem.with_name(stem.name + ".BRIK.gz").write_bytes(gzip.compress(content, 1))
    else:
        stem.with_name(stem.name + ".BRIK").write_bytes(content)
    return head


def ecat(
    path: Path, frames: Array, *, factors: Sequence[float], orientation: int = 0, gap: int = 60_000
) -> Path:
    """Write ``frames`` of shape (t, x, y, z), big-endian int16, a header before and a gap behind each."""
    count, *sizes = frames.shape
    header = np.zeros((), hdr_dtype.newbyteorder(">"))
    header["magic_number"], header["sw_version"], header["file_type"] = b"MATRIX72v", 74, 7
    header["num_frames"], header["ecat_calibration_factor"] = count, 2.5
    header["patient_orientation"], header["facility_name"] = orientation, b"a hospital"
    volume = -(-int(np.prod(sizes)) * 2 // 512) + 1  # a block of nothing after each
    listed = np.zeros((32, 4), ">i4")
    listed[0] = 31 - count, 2, 0, count
    blocks = []
    for i in range(count):
        first = 3 + i * (volume + 1)
        listed[i + 1] = 0x1010000 + i + 1, first, first + volume, 1
        sub = np.zeros((), subhdr_dtype.newbyteorder(">"))
        sub["data_type"], sub["scale_factor"], sub["frame_start_time"] = 6, factors[i], i * gap
        sub["x_dimension"], sub["y_dimension"], sub["z_dimension"] = sizes
        sub["x_pixel_size"], sub["y_pixel_size"], sub["z_pixel_size"] = 0.2, 0.25, 0.3
        sub["x_offset"] = 7
        pixels = frames[i].astype(">i2").tobytes(order="F")
        blocks.append(sub.tobytes().ljust(512, b"\0")[:512] + pixels.ljust(volume * 512, b"\0"))
    path.write_bytes(header.tobytes().ljust(512, b"\0")[:512] + listed.tobytes() + b"".join(blocks))
    return path


def par(folder: Path, name: str, *, seed: int = 0, side: int | None = None) -> Path:
    """Copy a PAR of nibabel's into ``folder``, and write a REC of noise that it describes.

    ``side`` are the rows and columns of a slice, in place of those in the PAR.
    """
    from nibabel.parrec import PARRECHeader

    text = (BUNDLED / name).read_text(encoding="latin-1")
    if side is not None:  # the tenth and eleventh word of the line of each slice
        text = re.sub(r"(?m)^( *\d+(?: +\S+){8}) +\d+ +\d+ ", rf"\1 {side} {side} ", text)
    (folder / name).write_text(text, encoding="latin-1")
    with (folder / name).open(encoding="latin-1") as file:
        header = PARRECHeader.from_fileobj(file)
    dtype = header.get_data_dtype()
    noise = np.random.default_rng(seed).integers(0, 4000, header.get_rec_shape(), np.uint16).astype(dtype)
    (folder / name).with_suffix(".REC").write_bytes(noise.tobytes(order="F"))
    return folder / name


def minc1(path: Path, array: Array, names: Sequence[str], *, varied: bool, **attributes: Any) -> Path:
    """Write ``array`` with axes ``names`` as MINC 1: one range for all, or one for each place along the first axis.

    ``attributes`` are more of the image.
    """
    from nibabel.externals.netcdf import netcdf_file

    with netcdf_file(path, "w") as file:
        for number, (name, size) in enumerate(zip(names, array.shape, strict=True)):
            file.createDimension(name, size)
            axis = file.createVariable(name, "i", ())
            axis.spacing, axis.step, axis.start = (
                b"regular__",
                (-1.0) ** number * (number + 1.5),
                4.0 * number,
            )
            axis.units = b"s" if name == "time" else b"mm"
        ends = (names[0],) if varied else ()
        for name, sign in (("image-min", -1), ("image-max", 1)):
            variable = file.createVariable(name, "d", ends)
            values = sign * (np.arange(array.shape[0]) + 10.0)
            variable[...] = values if varied else values[0]
        study = file.createVariable("study", "i", ())
        study.modality = b"MRI__"
        image = file.createVariable(
            "image", {"u1": "b", "i2": "h", "f4": "f"}[array.dtype.str[1:]], tuple(names)
        )
        image.signtype = b"unsigned" if array.dtype.kind == "u" else b"signed__"
        image[...] = array.view("i1") if array.dtype == "u1" else array
        for name, value in attributes.items():
            setattr(image, name, value)
    return path


def minc2(
    path: Path, array: Array, names: Sequence[str], *, varied: bool, chunks: tuple[int, ...] | None = None,
    **attributes: Any,
) -> Path:  # fmt: skip
    """Write ``array`` with axes ``names`` as MINC 2, deflated in ``chunks``; ranges as in :func:`minc1`."""
    import h5py

    ends = np.finfo(array.dtype) if array.dtype.kind == "f" else np.iinfo(array.dtype)
    with h5py.File(path, "w") as file:
        file.create_group("minc-2.0/info")
        for number, (name, size) in enumerate(zip(names, array.shape, strict=True)):
            axis = file.create_dataset(f"minc-2.0/dimensions/{name}", (), "i4")
            axis.attrs["spacing"], axis.attrs["length"] = np.bytes_("regular__"), size
            axis.attrs["step"], axis.attrs["start"] = (-1.0) ** number * (number + 1.5), 4.0 * number
            axis.attrs["units"] = np.bytes_("s" if name == "time" else "mm")
        image = file.create_dataset(
            "minc-2.0/image/0/image", data=array, chunks=chunks, compression="gzip", compression_opts=1
        )
        image.attrs["dimorder"] = np.bytes_(",".join(names))
        image.attrs["valid_range"] = np.array([ends.min, ends.max], np.float64)
        image.attrs.update(attributes)
        for name, end, sign in (("image-min", ends.min, -1), ("image-max", ends.max, 1)):
            values = sign * (np.arange(array.shape[0]) + 10.0) if varied else float(end)
            ranges = file.create_dataset(f"minc-2.0/image/0/{name}", data=values, dtype="f8")
            ranges.attrs["dimorder"] = np.bytes_(names[0] if varied else "")
    return path
