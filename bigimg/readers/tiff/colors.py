"""What the samples are that the decoder of a page gives: the photometric tag and the codec say it together.

The codecs of pictures (JPEG, JPEG XR, WebP, JPEG XL, PNG) decode to RGB, whatever the tag says. JPEG 2000 does where
its codestream has a colour transform. Two kinds of Y Cb Cr are made RGB here, as openslide and libtiff do: JPEG 2000
of Aperio, whose tag says RGB, and Y Cb Cr with fewer values of colour than pixels. All other values stay as stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from bigimg.readers.codestreams import jpeg2000_colors
from bigimg.readers.tiff.segments import JPEG
from bigimg.types import Array

MINISWHITE, RGB_COLORS, PALETTE, CMYK, YCBCR, CIELAB, ICCLAB, ITULAB, CFA = 0, 2, 3, 5, 6, 8, 9, 10, 32803
"""Values of the PhotometricInterpretation tag."""

TO_RGB = JPEG | {6, 22610, 34927, 34933, 34934, 50001, 50002, 52546}
"""Compression tags whose decoder gives RGB for Y Cb Cr: JPEG, JPEG XR, WebP, PNG and JPEG XL."""

APERIO_YCBCR, *JPEG2000 = 33003, 33004, 33005, 34712
"""Compression tags of JPEG 2000; Aperio writes Y Cb Cr behind the first."""

WEIGHTS, ENDS = (0.299, 0.587, 0.114), (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
"""Defaults of the YCbCrCoefficients and ReferenceBlackWhite tags."""

HEAD_BYTES = 4096
"""Of a JPEG 2000, in which its main header is."""

type Decoder = Callable[..., tuple[Array | None, Any, Any]]


def decoded_photometric(page: Any) -> int:
    """Return the PhotometricInterpretation of what :func:`decoder_of` gives for ``page``, a ``TiffPage``."""
    tag = int(page.photometric)
    if _is_of_aperio(page) or is_converted(page):
        return RGB_COLORS
    if tag != YCBCR or page.compression in TO_RGB:
        return RGB_COLORS if tag == YCBCR else tag
    return (
        RGB_COLORS
        if page.compression in JPEG2000 and jpeg2000_colors(_first_bytes(page)) != "stored"
        else tag
    )


def is_converted(page: Any) -> bool:
    """Return whether the Y Cb Cr that the codec of ``page`` gives is made RGB here.

    imagecodecs itself makes RGB of a JPEG 2000 that has fewer values of colour than pixels.
    """
    if _is_of_aperio(page):
        return jpeg2000_colors(_first_bytes(page)) != "converted"
    return _three_of_eight_bits(page) and _is_subsampled(page)


def note_of(page: Any) -> str | None:
    """Return what is done to the colours of ``page``, for its notes."""
    if _is_of_aperio(page):
        return "its JPEG 2000 holds Y Cb Cr, as Aperio writes it: they are converted to RGB"
    if not is_converted(page):
        return None
    across, down = _subsampling(page)
    what = f"its Y Cb Cr has one colour for {across} x {down} pixels"
    return f"{what}: they are converted to RGB, as libtiff does"


def _is_of_aperio(page: Any) -> bool:
    return page.compression == APERIO_YCBCR and _three_of_eight_bits(page)


def _three_of_eight_bits(page: Any) -> bool:
    return bool(page.samplesperpixel == 3 and page.planarconfig == 1 and page.bitspersample == 8)


def decoder_of(page: Any) -> Decoder:
    """Return the function that decodes a segment of ``page``, as tifffile's ``TiffPage.decode`` does."""
    if not is_converted(page):
        return page.decode  # type: ignore[no-any-return]
    decode = partial(_unpack, page) if _is_subsampled(page) else page.decode
    return partial(_as_rgb, decode, *_scale(page))


def _is_subsampled(page: Any) -> bool:
    """Return whether a page of plain Y Cb Cr has fewer values of colour than pixels, which tifffile does not decode."""
    plain = page.compression not in tifffile.TIFF.IMAGE_COMPRESSIONS and page.predictor == 1
    return bool(plain and page.is_subsampled)


def _subsampling(page: Any) -> tuple[int, int]:
    across, down = page.subsampling or (2, 2)  # 2, 2 is the default of TIFF
    return int(across), int(down)


def _first_bytes(page: Any) -> bytes:
    """Return the beginning of the first segment that is there."""
    for start, length in zip(page.dataoffsets, page.databytecounts, strict=False):
        if length:
            page.parent.filehandle.seek(start)
            return bytes(page.parent.filehandle.read(min(length, HEAD_BYTES)))
    return b""


def _unpack(page: Any, data: bytes | None, number: int, **_: object) -> tuple[Array | None, Any, Any]:
    """Return the Y Cb Cr (1, rows, columns, 3) of a segment of units: the Y of some pixels, their Cb and their Cr."""
    across, down = _subsampling(page)
    if across not in (1, 2, 4) or down not in (1, 2, 4):
        raise NotImplementedError(f"Y Cb Cr of one colour for {across} x {down} pixels is not defined")
    decompress = tifffile.TIFF.DECOMPRESSORS[page.compression]
    if data is None:
        return None, None, None
    if page.is_tiled:
        rows, columns = page.tilelength, page.tilewidth
    else:
        strips = math.ceil(page.imagelength / page.rowsperstrip)
        rows = min(page.rowsperstrip, page.imagelength - number % strips * page.rowsperstrip)
        columns = page.imagewidth
    high, wide = -(-rows // down), -(-columns // across)
    unit = across * down + 2
    if page.fillorder == 2:
        data = bytes(imagecodecs.bitorder_decode(data))
    plain = decompress(data, out=high * wide * unit)[: high * wide * unit]
    if len(plain) < high * wide * unit:
        raise ValueError(f"it holds {len(plain)} of {high * wide * unit} bytes")
    units = np.frombuffer(plain, np.uint8).reshape(high, wide, unit)
    pixels = np.empty((high * down, wide * across, 3), np.uint8)
    luma = units[..., : unit - 2].reshape(high, wide, down, across).swapaxes(1, 2)
    pixels[..., 0] = luma.reshape(pixels.shape[:2])
    for sample in (1, 2):
        pixels[..., sample] = units[..., unit - 3 + sample].repeat(down, axis=0).repeat(across, axis=1)
    return pixels[None, :rows, :columns], None, None


def _scale(page: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the weights of R, G and B in Y, and the black and white of Y, Cb and Cr; TIFF's defaults without tags."""
    found = []
    for code, default in ((529, WEIGHTS), (532, ENDS)):
        value = page.tags.valueof(code, ()) if page.compression != APERIO_YCBCR else ()
        pairs = tuple(a / b for a, b in zip(value[::2], value[1::2], strict=False) if b)
        whole = len(pairs) == len(default) and all(map(math.isfinite, pairs))
        found.append(pairs if whole else default)
    weights, ends = found
    sane = all(weights) and all(low != high for low, high in zip(ends[::2], ends[1::2], strict=True))
    return (weights, ends) if sane else (WEIGHTS, ENDS)


def _as_rgb(
    decode: Decoder, weights: tuple[float, ...], ends: tuple[float, ...], data: bytes | None, number: int,
    **options: Any,
) -> tuple[Array | None, Any, Any]:  # fmt: skip
    """Decode a segment, and convert its Y Cb Cr to RGB as section 21 of TIFF 6 has it."""
    pixels, index, shape = decode(data, number, **options)
    if pixels is None or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
        return pixels, index, shape
    red, green, blue = weights
    codes = np.arange(256, dtype=np.float32)
    scales = zip(ends[::2], ends[1::2], (255, 127, 127), strict=True)
    luma, cb, cr = ((codes - low) * np.float32(most / (high - low)) for low, high, most in scales)
    y, b, r = (pixels[..., i] for i in range(3))
    out = np.empty(pixels.shape, np.uint8)
    for sample, tables in enumerate((
        ((cr * np.float32(2 - 2 * red), r),),
        ((cr * np.float32((2 * red - 2) * red / green), r), (cb * np.float32((2 * blue - 2) * blue / green), b)),
        ((cb * np.float32(2 - 2 * blue), b),),
    )):  # fmt: skip
        value = luma[y]
        for table, codes_of in tables:
            value += table[codes_of]
        np.rint(value, out=value)
        out[..., sample] = value.clip(0, 255, out=value)
    return out, index, shape
