"""Write ``formats.md``: every file of the real data, read by bigimg and by the library that owns its format.

    python docs/make_formats.py FOLDER_WITH_INDEX_CSV

The owners are no dependencies of bigimg; those that are not installed here (nibabel is) leave their column open, so
run it where SimpleITK, pynrrd, h5py and pylibjpeg-libjpeg (JPEG of 12 bits for pydicom) are. To add a family, add its
folder and its owner to ``OWNERS``: a function that takes the path and returns the stored or the real values with axes
in our order, and the affine to RAS+ mm.
"""

from __future__ import annotations

import csv
import gc
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bigimg.errors import BigimgError
from bigimg.geometry.affine import index_to_world
from bigimg.geometry.region import full
from bigimg.opening.open import open_source

PAGE = Path(__file__).with_name("formats.md")
HEAD = """\
# Real files, checked

Every real file of these families that the project tests with, read by bigimg and by the library that owns the format.
*Voxels* are compared one by one, *affine* is the largest difference of its 16 numbers. What is refused says why. The
page is written by `docs/make_formats.py`; what is read and written at all is in [the list](reference/formats-list.md).
Files of microscopes, slides and maps are compared with two readers each, on [a page of their own](microscopes.md).

| file | axes | type | access | owner | voxels | affine |
|---|---|---|---|---|---|---|
"""


class Owned(NamedTuple):
    """What the owner of a format reads."""

    values: Any
    """Axes as in ours, those of one pixel aside."""
    affine: Any
    """From index (x, y, z) to RAS+ millimetres; None where the owner has none."""
    stored: Any = None
    """Values before slope and intercept, where the owner tells them."""
    lossy: bool = False
    """Whether decoders may differ in the last bit."""


def nibabel_reads(path: Path) -> Owned:
    """Return what nibabel reads: real values, and the stored ones where its proxy gives them."""
    import nibabel

    pair = {".REC": ".PAR", ".BRIK": ".HEAD", ".hdr": ".img"}
    path = path.with_suffix(pair.get(path.suffix, path.suffix))
    image: Any = nibabel.ecat.load(path) if path.suffix == ".v" else nibabel.load(path)
    values, affine = np.array(image.dataobj), np.array(image.affine)
    stored = np.array(image.dataobj.get_unscaled()) if hasattr(image.dataobj, "get_unscaled") else values
    names = ["x", "y", "z", "t"][: values.ndim]
    if path.suffix == ".mnc":
        ours = {"xspace": "x", "yspace": "y", "zspace": "z", "time": "t"}
        names = [ours[name] for name in image.dataobj.minc_file._dim_names]
        space = [name for name in names if name != "t"]
        affine = affine[:, [*(space.index(name) for name in "xyz"), 3]]
    del image
    gc.collect()  # nibabel leaves files open
    order = [names.index(name) for name in "tzyx" if name in names]
    return Owned(values.transpose(order), affine, stored.transpose(order))


def itk_reads(path: Path) -> Owned:
    """Return what SimpleITK reads."""
    import SimpleITK

    image = SimpleITK.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return Owned(SimpleITK.GetArrayFromImage(image), np.diag([-1, -1, 1, 1]) @ affine)


def pynrrd_reads(path: Path) -> Owned:
    """Return what pynrrd reads: pixels, and the vectors of a file in LPS."""
    import nrrd

    values, header = nrrd.read(str(path), index_order="C")
    affine = np.eye(4)
    affine[:3, :3] = np.array(header["space directions"]).T
    affine[:3, 3] = header["space origin"]
    return Owned(values, np.diag([-1, -1, 1, 1]) @ affine)


def pydicom_reads(path: Path) -> Owned:
    """Return what pydicom reads: a file, or those of a folder by place along the normal, then by number."""
    import pydicom

    found = [
        pydicom.dcmread(one, force=True) for one in (sorted(path.iterdir()) if path.is_dir() else [path])
    ]
    for one in found:
        if "TransferSyntaxUID" not in one.file_meta if hasattr(one, "file_meta") else True:
            one.ensure_file_meta()
            one.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    frames = found[0].get("PerFrameFunctionalGroupsSequence")
    shared = found[0].SharedFunctionalGroupsSequence[0] if frames else found[0]
    where = [f.PlanePositionSequence[0] for f in frames] if frames else found
    turned = shared.PlaneOrientationSequence[0] if frames else shared
    measured = shared.PixelMeasuresSequence[0] if frames else shared
    values = [dicom_colours(one, one.pixel_array) for one in found]
    pixels = values[0] if len(values) == 1 else np.stack(values)
    if "ImagePositionPatient" not in where[0]:
        return Owned(pixels, None, lossy=found[0].get("LossyImageCompression") == "01")
    rows = np.array(turned.ImageOrientationPatient, float).reshape(2, 3)
    places = np.array([one.ImagePositionPatient for one in where], float)
    depth = (places @ np.cross(*rows)).round(3)
    order = np.lexsort(([int(one.get("InstanceNumber") or 0) for one in where], depth))
    depths = len(set(depth))
    affine = np.eye(4)
    affine[:3, :2] = (rows * np.array(measured.PixelSpacing, float)[::-1, None]).T
    affine[:3, 2] = (
        (places[order[-1]] - places[order[0]]) / max(1, depths - 1) if depths > 1 else np.cross(*rows)
    )
    affine[:3, 3] = places[order[0]]
    if depths > 1:
        pixels = pixels[order.reshape(depths, -1).T]
    return Owned(pixels, np.diag([-1, -1, 1, 1]) @ affine)


def dicom_colours(header: Any, pixels: Any) -> Any:
    """Return pixels with a palette applied, and colours in front of the plane (and of the frames of a stack)."""
    from pydicom.pixels import apply_color_lut

    if header.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, header)
    elif header.SamplesPerPixel == 1:
        return pixels
    return np.moveaxis(pixels, -1, -3 if "FrameTime" in header else 0)


def tifffile_reads(path: Path) -> Owned:
    """Return what tifffile reads of the first series: samples and channels in front of the plane, palettes applied."""
    import tifffile

    with tifffile.TiffFile(path) as tif:
        series = tif.series[0]
        page, values, axes = series.keyframe, series.asarray(), series.axes
    if page.photometric == 3 and series.kind != "imagej":
        values, axes = np.moveaxis(page.colormap[:, values], 0, -1), axes + "S"
        values = values >> 8 if not (page.colormap & 255).any() or not (page.colormap % 257).any() else values
    letters = [axis for axis in "TRCQSZIYX" if axis in axes]  # a sequence of pages is z
    return Owned(values.transpose([axes.index(axis) for axis in letters]), None)


def pillow_reads(path: Path) -> Owned:
    """Return what Pillow reads, colours in front of the plane, upright, palettes applied."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        shown = ImageOps.exif_transpose(image)
        shown = shown.convert(shown.palette.mode) if shown.palette and shown.mode == "P" else shown
        values = np.asarray(shown)
    return Owned(np.moveaxis(values, -1, 0) if values.ndim == 3 else values, None)


def imagecodecs_reads(path: Path) -> Owned:
    """Return what imagecodecs reads of a PNG, colours in front of the plane."""
    import imagecodecs

    values = imagecodecs.png_decode(path.read_bytes())
    return Owned(np.moveaxis(values, -1, 0) if values.ndim == 3 else values, None)


OWNERS: dict[str, tuple[str, Callable[[Path], Owned]]] = {
    "afni/": ("nibabel", nibabel_reads),
    "analyze/": ("nibabel", nibabel_reads),
    "corrupt/MR_truncated.dcm": ("pydicom", pydicom_reads),
    "corrupt/badVR.dcm": ("pydicom", pydicom_reads),
    "corrupt/no_meta.dcm": ("pydicom", pydicom_reads),
    "dicom/": ("pydicom", pydicom_reads),
    "ecat/": ("nibabel", nibabel_reads),
    "itk/": ("SimpleITK", itk_reads),
    "itk/BallBinary30x30x30_bz2.nrrd": ("pynrrd", pynrrd_reads),  # SimpleITK is built without bzip2
    "mgh/": ("nibabel", nibabel_reads),
    "minc/": ("nibabel", nibabel_reads),
    "nifti/": ("nibabel", nibabel_reads),
    "parrec/": ("nibabel", nibabel_reads),
    "imagej/": ("tifffile", tifffile_reads),
    "jp2/": ("Pillow", pillow_reads),
    "jpeg/": ("Pillow", pillow_reads),
    "ome-tiff/": ("tifffile", tifffile_reads),
    "png/": ("imagecodecs", imagecodecs_reads),
    "tiff/": ("tifffile", tifffile_reads),
    "corrupt/chest_xray.mhd": ("SimpleITK", itk_reads),
    "corrupt/phantom_truncated.": ("nibabel", nibabel_reads),
}
"""By folder or the start of a name; the longest that fits counts."""


APART = {
    "ome-tiff/companion/ (6 files)": "its files are opened one by one",
    "jp2/balloon.jpf": "lossy: decoders differ in more than the last bit",
    "jp2/issue412.jp2": "lossy",
    "tiff/g4_orientation_6.tif": "tifffile applies no orientation, and has white for 0",
    "tiff/test_orient6.tif": "no orientation",
    "tiff/hopper.Lab.tif": "converted to RGB, as littlecms does it",
    "tiff/multipage_out_of_order.tiff": "a palette of bits: its 16 bits are read as 8 by a rule of ours",
    "tiff/ojpeg-tile.tif": "an old JPEG that no library here decodes",
    "tiff/poppies.tif": "no orientation",
    "tiff/subsampled.tif": "tifffile does not decode it; libtiff's values are in the tests",
}
"""Files that tests compare in another way, and why."""


def owner_of(name: str) -> tuple[str, Callable[[Path], Owned]] | None:
    """Return the owner of a file of the data, None for those of other families."""
    fits = [start for start in OWNERS if name.startswith(start) and name not in APART]
    return OWNERS[max(fits, key=len)] if fits else None


def row(data: Path, name: str) -> str:
    """Return the line of a file."""
    owner, read = owner_of(name) or ("", nibabel_reads)
    place = data / name.split(" (")[0]  # index.csv says how many files a folder has
    try:
        reader = open_source(place)
    except BigimgError as error:
        said = str(error).replace(str(place), place.name).replace(str(data), "").replace("|", "/")
        said = re.sub(r"\(tried [^)]*\)", "(tried all)", said)
        return f"| {name} | *{said}* | | | {owner} | | |"
    spec = reader.spec
    pixels = reader.read(full(spec.shape))
    reader.close()
    axes = " ".join(f"{axis.name} {axis.size}" for axis in spec.axes)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = read(place)
    except (ImportError, RuntimeError):  # pydicom's, of a codec that is not installed
        voxels = affine = "not asked"
    else:
        voxels = compare(pixels, spec.scaling, theirs)
        world = index_to_world(spec.axes, spec.world)
        affine = "-" if theirs.affine is None else f"{np.abs(world - theirs.affine).max():.1g}"
    return f"| {name} | {axes} | {spec.dtype} | {reader.access.kind} | {owner} | {voxels} | {affine} |"


def compare(ours: Any, scaling: Any, owned: Owned) -> str:
    """Return how our voxels and the owner's compare."""
    theirs = owned.values.reshape(ours.shape)
    if np.array_equal(ours, theirs):
        return "equal"
    if owned.stored is not None and np.array_equal(ours, owned.stored.reshape(ours.shape)):
        return "equal, as stored"
    if owned.lossy and np.abs(ours.astype(np.int64) - theirs).max() <= 1:
        return "equal to the last bit, lossy"
    if scaling is not None:
        real = ours * scaling.slope + scaling.intercept
        return "equal, scaled" if np.allclose(real, theirs, rtol=1e-12, atol=0) else "DIFFER"
    return (
        f"equal, real values in {ours.dtype}" if np.array_equal(ours, theirs.astype(ours.dtype)) else "DIFFER"
    )


def names_of(data: Path) -> list[str]:
    """Return the files of the families above, as index.csv lists them."""
    with (data / "index.csv").open(newline="", encoding="utf-8") as file:
        return [line["file"] for line in csv.DictReader(file) if owner_of(line["file"])]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    PAGE.write_text(HEAD + "\n".join(row(folder, name) for name in names_of(folder)) + "\n", encoding="utf-8")
