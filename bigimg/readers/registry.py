"""The formats of files and the reader of each; a format is recognised by the content first, then by the name.

The table of built-in formats holds names of modules, so that nothing is imported before a format is chosen. Other
packages add formats through entry points of the group ``bigimg.readers`` that load a :class:`Format`; they are
tried when no built-in format matches.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bigimg.errors import UnknownFormatError, UsageError
from bigimg.readers import sniffing

if TYPE_CHECKING:  # it imports numpy, which choosing a format does not need
    from bigimg.reader import Reader

GROUP = "bigimg.readers"


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file and how to open it."""

    name: str
    """Short and lower case: ``tiff``."""
    title: str
    """For people: ``TIFF, BigTIFF, OME-TIFF``."""
    opener: str
    """``module:function``, imported on first use; called as ``function(path, series=...)``, see ``several``."""
    extensions: tuple[str, ...]
    """Usual endings of the name in lower case, with the dot."""
    matches: Callable[[bytes, str], bool]
    """Whether the first 4 KiB and the file name in lower case are of this format."""
    library: str
    """The package that decodes it."""
    access: str = "random"
    """How its pixels can be read, for the list of formats: ``random``, ``sequential``, ``whole``, and when."""
    extra: str | None = None
    """The extra of bigimg that some of its files need in addition to ``library``."""
    several: bool = True
    """Whether a file may hold several images; if not, the opener is called without ``series``."""
    options: frozenset[str] = frozenset()
    """Options of :class:`bigimg.types.Opening` that the opener takes, besides ``series``."""
    packed: bool = False
    """Whether the opener also takes files that gzip, bzip2 or zstd compresses as a whole; see
    :func:`bigimg.readers.sniffing.head_inside`."""


FOR = {
    "on_gap": "DICOM series and patterns of files",
    "tilt": "DICOM series",
    "axis": "files with axes that are none of t c z y x",
    "pattern": "folders of files",
    "plate": "files whose images are called after wells, and for plan, convert and verify",
    "axes": "TIFF and numpy arrays, whose axes may have no names",
    "pages": "TIFF of several pages",
    "allow_partial": "TIFF, DICOM, MRC, folders of planes and files of microscopes",
}
"""Which sources an option is for, for messages."""

BEHIND_GZIP = "random; sequential when compressed"
TEXT_HEADER = "random; sequential when compressed; whole as text"

BUILT_IN = (
    Format(
        "tiff", "TIFF, BigTIFF, OME-TIFF, SVS", "bigimg.readers.tiff.reader:TiffReader",
        (".tif", ".tiff", ".btf", ".tf8", ".svs", ".ndpi", ".scn", ".lsm", ".stk", ".qptiff",
        ".companion.ome"), sniffing.is_tiff_or_companion,
        "tifffile", access="random; sequential in large strips; whole when one large segment is of another codec",
        options=frozenset({"allow_partial", "axes", "pages"}),
    ),
    Format(
        "png", "PNG", "bigimg.readers.pictures.choice:open_png", (".png",), sniffing.is_png,
        "isal, imagecodecs; pyvips for palettes and other kinds", access="sequential; whole when interlaced",
        several=False,
    ),
    Format(
        "jpeg", "JPEG", "bigimg.readers.pictures.choice:open_jpeg", (".jpg", ".jpeg", ".jpe", ".jfif", ".jls"),
        sniffing.is_jpeg, "pyvips; imagecodecs for JPEG-LS, lossless and deep ones",
        access="sequential; whole when progressive or of imagecodecs", several=False,
    ),
    Format(
        "jpeg2000", "JPEG 2000", "bigimg.readers.pictures.jpeg2000:open_jpeg2000",
        (".jp2", ".j2k", ".j2c", ".jpf", ".jpx"), sniffing.is_jpeg2000, "imagecodecs",
        access="random in tiles; whole without", several=False,
    ),
    Format(
        "nifti", "NIfTI, ANALYZE, SPM", "bigimg.readers.volumes.nifti:open_nifti",
        (".nii", ".nii.gz", ".nii.bz2", ".nii.zst", ".hdr", ".img"), sniffing.is_nifti, "nibabel", access=BEHIND_GZIP,
        several=False, packed=True,
    ),
    Format(
        "mgh", "FreeSurfer MGH, MGZ", "bigimg.readers.volumes.mgh:open_mgh", (".mgh", ".mgz", ".mgh.gz"),
        sniffing.is_mgh, "nibabel", access=BEHIND_GZIP, several=False, packed=True,
    ),
    Format(
        "minc", "MINC 1, MINC 2", "bigimg.readers.volumes.minc:open_minc", (".mnc",), sniffing.is_minc, "nibabel",
        extra="hdf5", several=False,
    ),
    Format(
        "afni", "AFNI HEAD/BRIK", "bigimg.readers.volumes.afni:open_afni", (".head", ".brik", ".brik.gz"),
        sniffing.is_afni, "nibabel", access=BEHIND_GZIP, several=False, packed=True,
    ),
    Format(
        "parrec", "Philips PAR/REC", "bigimg.readers.volumes.parrec:open_parrec", (".par", ".rec"),
        sniffing.is_parrec, "nibabel", several=False,
    ),
    Format(
        "ecat", "ECAT 7", "bigimg.readers.volumes.ecat:open_ecat", (".v",), sniffing.is_ecat, "nibabel", several=False,
    ),
    Format(
        "metaimage", "MetaImage", "bigimg.readers.volumes.metaimage:open_metaimage", (".mhd", ".mha"),
        sniffing.is_metaimage, "bigimg", access=TEXT_HEADER, several=False,
    ),
    Format(
        "nrrd", "NRRD", "bigimg.readers.volumes.nrrd:open_nrrd", (".nrrd", ".nhdr"), sniffing.is_nrrd, "bigimg",
        access=TEXT_HEADER, several=False,
    ),
    Format(
        "imaris", "Imaris", "bigimg.readers.vendor.imaris:open_imaris", (".ims",), sniffing.is_imaris, "h5py",
        extra="hdf5", options=frozenset({"allow_partial"}),
    ),
    Format(
        "bdv", "BigDataViewer XML", "bigimg.readers.vendor.bdv:open_bdv", (".xml",), sniffing.is_bdv, "h5py",
        extra="hdf5", options=frozenset({"allow_partial"}),
    ),
    Format(
        "hdf5", "HDF5 (BigDataViewer, datasets)", "bigimg.readers.hdf5.choice:open_hdf5",
        (".h5", ".hdf5", ".hdf", ".he5", ".nxs", ".ilp"), sniffing.is_hdf5, "h5py", extra="hdf5",
        options=frozenset({"allow_partial"}),
    ),
    Format(
        "n5", "N5 (folder)", "bigimg.readers.n5.datasets:open_n5", (".n5",), sniffing.is_n5, "tensorstore",
        extra="n5", options=frozenset({"allow_partial"}),
    ),
    Format(
        "precomputed", "Neuroglancer precomputed (folder)", "bigimg.readers.n5.precomputed:open_precomputed", (),
        sniffing.is_precomputed, "tensorstore", extra="n5", options=frozenset({"allow_partial"}),
    ),
    Format(
        "mrc", "MRC, CCP4 map", "bigimg.readers.volumes.mrc:open_mrc", sniffing.MRC_ENDINGS, sniffing.is_mrc,
        "bigimg", access=BEHIND_GZIP, several=False, packed=True, options=frozenset({"allow_partial"}),
    ),
    Format(
        "dicom", "DICOM", "bigimg.readers.dicom.reader:open_dicom", sniffing.DICOM_ENDINGS,
        sniffing.is_dicom, "pydicom", access="random; whole when deflated or in gzip", extra="dicom",
        options=frozenset({"on_gap", "tilt", "allow_partial"}), packed=True,
    ),
    Format(
        "czi", "Zeiss CZI", "bigimg.readers.vendor.czi:open_czi", (".czi",), sniffing.is_czi, "czifile, imagecodecs",
        extra="bio", options=frozenset({"axis", "allow_partial"}),
    ),
    Format(
        "lif", "Leica LIF, LOF, XLEF", "bigimg.readers.vendor.lif:open_lif",
        (".lif", ".lof", ".xlef", ".xlif", ".xlcf", ".xllf"), sniffing.is_lif, "liffile", extra="bio",
        options=frozenset({"allow_partial", "axis"}),
    ),
    Format(
        "nd2", "Nikon ND2", "bigimg.readers.vendor.nd2:open_nd2", (".nd2",), sniffing.is_nd2, "nd2", extra="bio",
        options=frozenset({"allow_partial", "axis"}),
    ),
    Format(
        "openslide", "MRXS, VMS, BIF (slides)", "bigimg.readers.vendor.openslide:open_slide",
        (".mrxs", ".vms", ".bif"), sniffing.is_openslide, "openslide", extra="wsi",
    ),
    Format(
        "readout", "DM3, DM4, SER, EMD; untried: OIR, OIB, OIF, VSI, ZVI, DCIMG",
        "bigimg.readers.vendor.readout:ReadoutReader",
        (".dm3", ".dm4", ".ser", ".emd", ".oir", ".oib", ".oif", ".vsi", ".zvi", ".dcimg"), sniffing.is_readout,
        "openreadout", access="random, experimental", extra="readout",
    ),
    Format(
        "npy", "numpy array", "bigimg.readers.arrays.npy:open_npy", (".npy",), sniffing.is_npy, "numpy",
        access=BEHIND_GZIP, several=False, options=frozenset({"axes"}), packed=True,
    ),
    Format(
        "jpegxl", "JPEG XL", "bigimg.readers.pictures.deep:open_jpegxl", (".jxl",), sniffing.is_jpegxl, "imagecodecs",
        access="whole", several=False,
    ),
    Format(
        "jpegxr", "JPEG XR", "bigimg.readers.pictures.deep:open_jpegxr", (".jxr", ".wdp", ".hdp"), sniffing.is_jpegxr,
        "imagecodecs", access="whole", several=False,
    ),
    Format(
        "exr", "OpenEXR", "bigimg.readers.pictures.deep:open_exr", (".exr",), sniffing.is_exr, "imagecodecs",
        access="whole", several=False,
    ),
    Format(
        "hdr", "Radiance HDR", "bigimg.readers.pictures.deep:open_hdr", (".hdr", ".rgbe", ".pic"), sniffing.is_hdr,
        "imagecodecs", access="whole", several=False,
    ),
    Format(
        "pictures", "BMP, GIF, WebP, PNM, AVIF and more", "bigimg.readers.pictures.pillow:PictureReader",
        (
            ".bmp", ".gif", ".webp", ".avif", ".ppm", ".pgm", ".pbm", ".pnm",
            ".pfm", ".ico", ".psd", ".sgi", ".ras", ".qoi", ".pcx", ".xpm", ".tga",
        ),
        sniffing.is_picture, "pillow", access="whole, or sequential frames of an animation", several=False,
    ),
)  # fmt: skip
"""The formats that come with bigimg, in the order in which they are tried."""


def find_format(path: str | os.PathLike[str]) -> Format:
    """Return the format of the file at ``path``, from its first 4 KiB and then its name; of a folder by its document.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    UnknownFormatError
        No format matches, or a known format that is not read.
    InputError
        The system refuses to open it.
    """
    name = os.fspath(path)
    if os.path.isdir(name) and (document := sniffing.document_in(name)) is not None:
        return find_format(document)
    head, lower, packing = sniffing.head_inside(name)
    if not head and packing is None:
        raise UnknownFormatError(f"{name}: is empty (0 bytes); copy or download it again")
    matching = [known for known in BUILT_IN if known.matches(head, lower)]
    if packing is not None and (matching or not head):
        # What cannot be unpacked is known by its name, and its reader says what is wrong with it.
        known = [
            each for each in matching or BUILT_IN if each.packed and (head or lower.endswith(each.extensions))
        ]
        if matching and not known:
            what = f"is {matching[0].title} in {packing}, and can only be read unpacked"
            raise UnknownFormatError(f"{name}: {what}; unpack it first")
        matching = known
    if not matching:
        head, lower = sniffing.read_head(name), os.path.basename(name).lower()
        outside, broken = outside_formats()
        matching = [known for known in outside if known.matches(head, lower)]
        if not matching:
            raise UnknownFormatError(_refusal(name, head, lower, (*BUILT_IN, *outside), broken))
    # If several formats match, the name decides; then the order of the table.
    return next((known for known in matching if lower.endswith(known.extensions)), matching[0])


def outside_formats() -> tuple[list[Format], list[str]]:
    """Return the formats that other installed packages offer, and a sentence for each that fails to load."""
    from importlib.metadata import entry_points  # 20 ms that a built-in format does not pay

    formats: list[Format] = []
    broken: list[str] = []
    for entry in entry_points(group=GROUP):
        try:
            found = entry.load()
        except (ImportError, AttributeError) as error:
            broken.append(f"the outside reader {entry.name!r} ({entry.value}) does not load: {error}")
            continue
        if isinstance(found, Format):
            formats.append(found)
        else:
            broken.append(f"the outside reader {entry.name!r} ({entry.value}) is not a Format")
    return formats, broken


def open_file(path: str | os.PathLike[str], *, series: int | str | None = None, **asked: Any) -> Reader:
    """Return a reader of the file at ``path``.

    Parameters
    ----------
    path : str or PathLike
    series : int, optional
        Which image of a file that holds several; the first by default.
    **asked
        Other options of :class:`bigimg.types.Opening` that a user gave.

    Raises
    ------
    UsageError
        The file holds one image, and ``series`` is not 0; or an option is for other formats.
    InputNotFoundError, UnknownFormatError, InputError
        As :func:`find_format`, and what the reader of the format finds wrong.
    """
    name, found = os.fspath(path), find_format(path)
    no_options(name, asked, but=found.options)
    if found.several:
        asked["series"] = series
    else:
        only_image(name, series)
    module, _, function = found.opener.partition(":")
    opener = getattr(importlib.import_module(module), function)
    from bigimg.readers.boundary import bounded  # it imports numpy

    return bounded(name, lambda: opener(name, **asked))


def no_options(source: str, asked: Mapping[str, Any], *, but: Collection[str] = ()) -> None:
    """Refuse what a user ``asked`` for and ``source`` cannot do; the options in ``but`` it can."""
    for option, value in asked.items():
        if option not in but:
            what = f"is for {FOR[option]}, and this is none"
            raise UsageError(f"{source}: {option}={value!r} {what}; leave it out")


def only_image(source: str, series: int | str | None) -> None:
    """Refuse any ``series`` but 0 of a source that holds one image."""
    if series not in (None, 0):
        raise UsageError(f"{source}: series {series} was asked for, but it holds one image; leave series out")


def _refusal(path: str, head: bytes, lower: str, tried: tuple[Format, ...], broken: list[str]) -> str:
    """Return why no reader takes the file and what to do, on one line."""
    other = sniffing.other_format(head, lower)
    if (thing := sniffing.no_grid(head)) is not None:
        what = f"is {thing}, not an image grid; bigimg reads pixels and voxels only"
    elif other is not None:
        what = f"looks like {other}, which bigimg does not read; convert it to TIFF or NIfTI first"
    elif (start := sniffing.headless_dicom(head)) is not None:
        lost = "the preamble and the file meta information before them are missing, which say how the pixels are stored"
        what = f"holds DICOM tags from byte {start} on, but {lost}; export it again as a DICOM file"
    elif named := [known.title for known in tried if lower.endswith(known.extensions)]:
        said = os.path.splitext(lower)[1][1:].upper() if ";" in named[0] else named[0]
        what = f"begins with {head[:8]!r}: its name says {said} but its content does not; copy or download it again"
    else:
        names = "tried " + ", ".join(known.title for known in tried)
        what = f"begins with {head[:8]!r}, no image format that bigimg knows ({names}); convert it to one of these"
    return "; ".join((f"{path}: {what}", *broken))
