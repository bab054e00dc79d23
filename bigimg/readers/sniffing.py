"""Signatures of file formats: what the first bytes of a file say it is.

Only the standard library is imported, so that choosing a reader costs nothing. Each check takes the head (the first
4 KiB) and the file name in lower case; the name counts only where a format has no signature. Of a file that is
compressed as a whole both are those of what is inside.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import struct
import zlib
from collections.abc import Callable
from functools import partial

from bigimg.errors import InputNotFoundError, UnknownFormatError, reading
from bigimg.places.staging import why_absent
from bigimg.readers.raw.streams import MAGIC, PACKED, Packing, stream_errors, unpacked

HEAD_BYTES = 4096
"""Enough for every signature here: the last one, of NIfTI inside gzip, needs 352 inflated bytes."""

_LONG = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV")
"""Types of DICOM elements that have a length of four bytes."""
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NIFTI2 = (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")
_PNM = tuple(b"P" + bytes((kind, white)) for kind in b"123456fF" for white in b"\n \r\t")
_JPEG2000 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")

PICTURES: tuple[tuple[str, str, int, tuple[bytes, ...]], ...] = (
    # name of the Pillow plugin, its module, offset of the signature, signatures
    ("BMP", "BmpImagePlugin", 0, (b"BM",)),
    ("GIF", "GifImagePlugin", 0, (b"GIF87a", b"GIF89a")),
    ("WEBP", "WebPImagePlugin", 8, (b"WEBPVP8",)),
    ("JPEG2000", "Jpeg2KImagePlugin", 0, _JPEG2000),
    ("AVIF", "AvifImagePlugin", 4, (b"ftypavif", b"ftypavis")),
    ("PPM", "PpmImagePlugin", 0, _PNM),
    ("ICO", "IcoImagePlugin", 0, (b"\0\0\1\0",)),
    ("PSD", "PsdImagePlugin", 0, (b"8BPS",)),
    ("SGI", "SgiImagePlugin", 0, (b"\x01\xda",)),
    ("SUN", "SunImagePlugin", 0, (b"\x59\xa6\x6a\x95",)),
    ("QOI", "QoiImagePlugin", 0, (b"qoif",)),
    ("PCX", "PcxImagePlugin", 0, (b"\x0a\x00\x01", b"\x0a\x02\x01", b"\x0a\x03\x01", b"\x0a\x05\x01")),
    ("XPM", "XpmImagePlugin", 0, (b"/* XPM */",)),
)  # fmt: skip
"""Pictures that Pillow itself decodes. EPS, WMF, HDF5 and others are left out: Pillow calls other programs for them, or
knows only their names. DDS is left out too: Pillow cuts its deep textures to 8 bits."""

_OTHERS: tuple[tuple[str, int, tuple[bytes, ...]], ...] = (
    ("FITS", 0, (b"SIMPLE  =",)),
    ("NetCDF", 0, (b"CDF\x01", b"CDF\x02")),
    ("OLE (Olympus OIB, Zeiss ZVI)", 0, (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",)),
    ("HEIF", 4, (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc")),
    ("PDF", 0, (b"%PDF-",)),
    ("PostScript", 0, (b"%!PS",)),
    ("zip archive (also numpy .npz)", 0, (b"PK\x03\x04",)),
    ("HTML page (a download that failed?)", 0, (b"<!DOCTYPE", b"<!doctype", b"<html", b"<HTML")),
    ("Git LFS pointer (run git lfs pull)", 0, (b"version https://git-lfs",)),
)
_NO_GRIDS: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("a tractogram (TrackVis)", (b"TRACK\0",)),
    ("a tractogram (MRtrix)", (b"mrtrix tracks",)),
    ("a surface (FreeSurfer)", (b"\xff\xff\xfd", b"\xff\xff\xfe", b"\xff\xff\xff")),
)
"""What nibabel reads that is no image."""
SPECIAL: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
)  # fmt: skip
_OTHER_NAMES = {".svg": "SVG"}


def read_head(path: str, size: int = HEAD_BYTES) -> bytes:
    """Return the first ``size`` bytes of the file at ``path``.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    UnknownFormatError
        It is a folder, or no regular file; see :func:`check_regular`.
    InputError
        The system refuses to open it; the message gives the reason.
    """
    if "\0" in os.fspath(path):
        raise InputNotFoundError(why_absent(path))
    with reading(path):
        try:
            check_regular(path)
            with open(path, "rb") as file:
                return file.read(size)
        except (FileNotFoundError, NotADirectoryError):
            raise InputNotFoundError(why_absent(path)) from None
        except IsADirectoryError:
            raise UnknownFormatError(f"{path}: is a folder, not an image file; give one file of it") from None


def head_inside(path: str) -> tuple[bytes, str, Packing | None]:
    """Return the head of a file and its name in lower case, and how it is compressed as a whole; None if it is not.

    If it is, the head is that of what is inside, as far as it can be unpacked, and the name has no ending of that kind.

    Raises
    ------
    InputNotFoundError, UnknownFormatError, InputError
        As :func:`read_head`.
    """
    head, name = read_head(path), os.path.basename(path).lower()
    packing = next((packing for magic, packing in MAGIC.items() if head.startswith(magic)), None)
    if packing is None:
        return head, name, None
    plain, suffix = os.path.splitext(name)
    name = plain if suffix in PACKED else name
    if packing == "gzip":
        return inflate(head, HEAD_BYTES), name, packing
    with open(path, "rb") as file:  # the first block of the others is longer than their head
        try:
            return unpacked(file, packing).read(HEAD_BYTES), name, packing
        except stream_errors():
            return b"", name, packing


def check_regular(path: str) -> None:
    """Refuse a pipe, a socket or a device: reading one may never end, or never begin.

    Raises
    ------
    UnknownFormatError
        ``path`` is one of these.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # there is nothing, which opening it will say
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        what = next((what for is_such, what in SPECIAL if is_such(mode)), "no regular file")
        remedy = "write it to a file first, or give the open file in Python"
        raise UnknownFormatError(f"{path}: is {what}, and only files and folders are read; {remedy}")


def _begins(signature: bytes | tuple[bytes, ...], head: bytes, name: str) -> bool:
    return head.startswith(signature)


is_png = partial(_begins, b"\x89PNG\r\n\x1a\n")
is_jpeg = partial(_begins, b"\xff\xd8\xff")
is_jpeg2000 = partial(_begins, _JPEG2000)
is_jpegxl = partial(_begins, (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"))
is_jpegxr = partial(_begins, b"II\xbc\x01")
is_exr = partial(_begins, b"\x76\x2f\x31\x01")
is_hdr = partial(_begins, (b"#?RADIANCE", b"#?RGBE"))
is_npy = partial(_begins, b"\x93NUMPY")
is_ecat = partial(_begins, b"MATRIX7")
is_nrrd = partial(_begins, b"NRRD00")
is_czi = partial(_begins, b"ZISRAWFILE")


def is_lif(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins a LIF or LOF, or one of the XML files of a project of Leica."""
    project = name.endswith((".xlef", ".xlif", ".xlcf", ".xllf"))
    return (head.startswith(b"\x70\0\0\0") and head[8:9] == b"*") or (
        project and b"LMSDataContainerHeader" in head.replace(b"\0", b"")
    )


def is_nd2(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins an ND2; those of before 2010 begin as JPEG 2000 does."""
    return head.startswith(b"\xda\xce\xbe\x0a") or (name.endswith(".nd2") and head.startswith(_JPEG2000))


def is_tiff(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins a TIFF or BigTIFF.

    A DICOM file may have a TIFF header in its preamble and be both; then the name decides.
    """
    return head.startswith(_TIFF) and (head[128:132] != b"DICM" or name.endswith((".tif", ".tiff")))


def is_ome_xml(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins OME-XML, as the companion file of a set of OME-TIFFs is."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return (
        text.startswith((b"<?xml", b"<OME", b"<ome:OME"))
        and re.search(rb"<(?:\w+:)?OME[\s>]", text) is not None
    )


def is_tiff_or_companion(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins a TIFF, or OME-XML that describes a set of them."""
    return is_tiff(head, name) or is_ome_xml(head, name)


def is_openslide(head: bytes, name: str) -> bool:
    """Return whether a file is a slide that OpenSlide reads and the reader of TIFF does not.

    An MRXS is known by its name alone: it is a picture, or empty, and stands for a folder. A BIF is a TIFF whose tiles
    overlap.
    """
    return (
        head.startswith(b"[Virtual Microscope Specimen]")
        or name.endswith(".mrxs")
        or (name.endswith(".bif") and head.startswith(_TIFF))
    )


_READOUT: tuple[tuple[tuple[bytes, ...], tuple[str, ...]], ...] = (
    # signatures, endings of the name
    ((b"\0\0\0\3", b"\0\0\0\4"), (".dm3", ".dm4")),
    ((b"II\x97\x01",), (".ser",)),
    ((b"\x89HDF\r\n\x1a\n",), (".emd",)),
    ((b"OLYMPUSRAWFORMAT",), (".oir",)),
    ((b"DCIMG",), (".dcimg",)),
    (_TIFF, (".vsi",)),
    ((b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",), (".oib", ".zvi")),
    ((b"",), (".oif",)),
)


def is_readout(head: bytes, name: str) -> bool:
    """Return whether a file is one of those that only openreadout reads: by its first bytes, and its name."""
    return any(head.startswith(signs) and name.endswith(endings) for signs, endings in _READOUT)


DICOM_ENDINGS = (".dcm", ".dicom", ".ima", ".dcm.gz")


def is_dicom(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins a DICOM file; files of before 1993 have no preamble."""
    old = head[:1] in (b"\2", b"\10") and head[1:2] == b"\0" and name.endswith(DICOM_ENDINGS)
    return old or (head[128:132] == b"DICM" and not is_tiff(head, name)) or bare_dicom(head)


def bare_dicom(head: bytes) -> bool:
    """Return whether ``head`` begins with DICOM elements at once: three in order, the first of group 2 or 8."""
    for order in "<>":
        at, last, found = 0, 0, 0
        while found < 3 and at + 12 <= len(head):
            group, number = struct.unpack_from(order + "HH", head, at)
            kind, tag = head[at + 4 : at + 6], group << 16 | number
            if tag <= last or (not found and group not in (2, 8)):
                break
            if kind in _LONG:
                (length,), start = struct.unpack_from(order + "L", head, at + 8), 12
            elif kind.isalpha() and kind.isupper():
                (length,), start = struct.unpack_from(order + "H", head, at + 6), 8
            else:
                (length,), start = struct.unpack_from(order + "L", head, at + 4), 8
            if length > HEAD_BYTES or length % 2:
                break
            at, last, found = at + start + length, tag, found + 1
        if found == 3:
            return True
    return False


def is_nifti(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins a NIfTI or ANALYZE file; an ``.img`` has no header."""
    magic = head[344:348] in (b"n+1\0", b"ni1\0") or head[4:12] in _NIFTI2
    analyze = head[:4] in (b"\x5c\1\0\0", b"\0\0\1\x5c") and name.endswith(".hdr")
    return magic or analyze or (name.endswith(".img") and not other_format(head, "") and not is_mrc(head, ""))


def is_mgh(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins a FreeSurfer volume: version 1, four sizes, a known type."""
    known = head[20:24] in (b"\0\0\0\0", b"\0\0\0\1", b"\0\0\0\3", b"\0\0\0\4", b"\0\0\0\x0a")
    return name.endswith((".mgh", ".mgz")) or (head.startswith(b"\0\0\0\1") and known)


def is_minc(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins a netCDF or HDF5 file with MINC in it."""
    words = {
        b"CDF\1": b"MINC standard variable",
        b"CDF\2": b"MINC standard variable",
        b"\x89HDF": b"minc-2.0",
    }
    return head[:4] in words and (name.endswith(".mnc") or words[head[:4]] in head)


def is_hdf5(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins an HDF5 file."""
    return head.startswith(b"\x89HDF\r\n\x1a\n")


def is_imaris(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins the HDF5 file of an Imaris image."""
    return is_hdf5(head, name) and (name.endswith(".ims") or b"ImarisDataSet" in head)


def is_bdv(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins the XML of BigDataViewer; its HDF5 files look like any."""
    return b"<SpimData" in head


FOLDERS = ("attributes.json", "info")
"""Documents that say what a folder is that is an image."""
_VOLUMES = (b'"scales"', b'"data_type"', b"neuroglancer_multiscale_volume")


def document_in(folder: str) -> str | None:
    """Return the document of a folder that is an image by itself, None where there is none."""
    for name, matches in zip(FOLDERS, (is_n5, is_precomputed), strict=True):
        if os.path.isfile(path := os.path.join(folder, name)) and matches(read_head(path), name):
            return path
    return None


def is_n5(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins the attributes of a folder of N5: a container, a group or a dataset."""
    return name == FOLDERS[0] and head.lstrip().startswith(b"{")


def is_precomputed(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins the description of a precomputed volume of Neuroglancer."""
    return name == FOLDERS[1] and head.lstrip().startswith(b"{") and any(word in head for word in _VOLUMES)


def is_afni(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins an AFNI header; a BRIK has no signature."""
    text = head[:64].split()
    return name.endswith(".brik") or (text[:1] == [b"type"] and b"-attribute" in head[:64])


def is_parrec(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins a Philips PAR; a REC has no signature."""
    rec = name.endswith(".rec") and not other_format(head, "") and not is_mrc(head, name)
    return rec or b"= DATA DESCRIPTION FILE =" in head[:256]


MRC_ENDINGS = (".mrc", ".mrcs", ".map", ".rec", ".st", ".ali", ".ccp4")


def is_mrc(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins an MRC or CCP4 map; those of before 2000 have no signature."""
    if head[208:211] == b"MAP":
        return True
    if not name.endswith(MRC_ENDINGS) or len(head) < 1024:
        return False
    plausible = (
        (*struct.unpack_from(order + "4i", head), *struct.unpack_from(order + "3i", head, 64))
        for order in "<>"
    )
    return any(
        min(nx, ny, nz) > 0 and mode in (0, 1, 2, 4, 6) and sorted(axes) in ([1, 2, 3], [0, 0, 0])
        for nx, ny, nz, mode, *axes in plausible
    )


def is_metaimage(head: bytes, name: str) -> bool:
    """Return whether ``head`` begins a MetaImage header: ``Name = value`` lines, sizes among them."""
    word, equals, _ = head[:64].partition(b"=")
    if equals and name.endswith((".mhd", ".mha")) and word.strip().isalnum():
        return True
    return bool(equals) and word.strip() in (b"ObjectType", b"NDims", b"Comment") and b"DimSize" in head


def is_picture(head: bytes, name: str) -> bool:
    """Return whether Pillow has a plugin for ``head``."""
    return picture_plugin(head, name) is not None


def picture_plugin(head: bytes, name: str) -> tuple[str, str] | None:
    """Return the name of the Pillow plugin for ``head`` and the module it is in, None when there is none."""
    for plugin, module, offset, signatures in PICTURES:
        if head.startswith(signatures, offset):
            return plugin, module
    # TGA has no signature; its second and third bytes are a colour-map flag and an image type.
    if name.endswith(".tga") and len(head) > 18 and head[1] in (0, 1) and head[2] in (1, 2, 3, 9, 10, 11):
        return "TGA", "TgaImagePlugin"
    return None


def other_format(head: bytes, name: str) -> str | None:
    """Return the title of a format that bigimg recognises but does not read, None when unknown."""
    for title, offset, signatures in _OTHERS:
        if head.startswith(signatures, offset):
            return title
    plain = name.removesuffix(".gz")
    return next((title for ending, title in _OTHER_NAMES.items() if plain.endswith(ending)), None)


def no_grid(head: bytes) -> str | None:
    """Return what ``head`` begins if that is lines or a surface, not an image grid; None otherwise."""
    if b"<GIFTI" in head:
        return "a surface (GIFTI)"
    return next((title for title, signatures in _NO_GRIDS if head.startswith(signatures)), None)


def headless_dicom(head: bytes) -> int | None:
    """Return the byte where DICOM tags begin in a ``head`` without preamble and file meta; None if there are none.

    Nearly every image begins with an element of group 8 and a value representation in letters.
    """
    found = re.search(rb"\x08\x00[\x00-\x70]\x00(?:CS|UI|DA|TM|LO|SH|PN|UL)[\x00-\x7f]\x00", head[:256])
    return None if found is None else found.start()


def inflate(head: bytes, size: int = 600) -> bytes:
    """Return at most ``size`` bytes of the gzip members that begin in ``head``, up to one that is damaged."""
    found = b""
    with contextlib.suppress(zlib.error):
        while head and len(found) < size:
            member = zlib.decompressobj(wbits=31)
            found += member.decompress(head, size - len(found))
            head = member.unused_data
    return found
