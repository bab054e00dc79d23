"""Write ``microscopes.md``: files of microscopes, slides and maps, read by bigimg, their owner and one reader more.

    python docs/make_microscopes.py FOLDER_WITH_INDEX_CSV

Run it in an environment with all extras and the group ``vendors``. The files are those of the real data, the real ND2
beside it, and small ones of each kind that ``benchmarks/vendor_files.py`` makes. The page says what each said; a test
compares it with the rows of today, of the files whose readers are installed.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bigimg.geometry.region import full
from bigimg.geometry.spec import ImageSpec
from bigimg.opening.open import open_source

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import vendor_files as made

PAGE = Path(__file__).with_name("microscopes.md")
FAMILIES = ("vendor/", "wsi/", "mrc/")
HEAD = """\
# Files of microscopes, checked twice

Every file of a microscope, a slide scanner or an electron microscope that the project tests with, and small ones of
each kind that are made for it (`made/`), read by bigimg, by the library that owns the format, and by a reader that
shares no code with it. Pixels are compared one by one; spacing, names and colours of channels with what the owner says.
A name of a channel that may be a person's is kept apart, as a private field, and counted here. The page is written by
`docs/make_microscopes.py`.

| file | axes | spacing | channels | owner | spacing | names | colours | pixels | second reader | pixels |
|---|---|---|---|---|---|---|---|---|---|---|
"""
UNITS = {"micrometer": "µm", "angstrom": "Å", "second": "s"}
NOT_ASKED = "not asked"


class Seen(NamedTuple):
    """What a reader says of an image."""

    values: Any
    """Axes in the order t c z y x, those of one pixel aside."""
    spacing: Mapping[str, float] = {}
    """In the unit of ours, of the axes for which it is told."""
    names: list[str] | None = None
    colors: list[str | None] | None = None
    """Six hexadecimal digits; None where the reader tells none."""


def ordered(values: Any, axes: str) -> Any:
    """Return pixels in our order; L and l are wavelengths, S samples, both channels of ours."""
    return values.transpose([axes.index(axis) for axis in "TCλΛSZYX" if axis in axes])


def czifile_says(path: Path, series: int) -> Seen:
    """Return a scene of a CZI; what its list of channels holds beyond those of the image is left out."""
    import czifile

    with czifile.CziFile(path) as file:
        scene = list(file.scenes.values())[series]
        told = [
            (name, about.get("Color"))
            for name, about in scene.channels.items()
            if about or len(scene.channels) == scene.sizes.get("C", 1)
        ]
        spacing = {axis.lower(): step * 1e6 for axis, step in scene.coord_scales.items()}
        pixels = ordered(scene.asarray(maxworkers=1), "".join(scene.axes))
    return Seen(pixels, spacing, [name for name, _ in told], [color and color[-6:] for _, color in told])


def czirw_says(path: Path, series: int) -> Seen:
    """Return what Zeiss's own library composes of a CZI."""
    from pylibCZIrw import czi

    with czi.open_czi(str(path)) as file:
        box = file.total_bounding_box
        sizes = [box.get(axis, (0, 1))[1] for axis in "TCZ"]
        place = file.scenes_bounding_rectangle.get(series) or file.total_bounding_rectangle
        roi = (place.x, place.y, place.w, place.h)
        scene = series if file.scenes_bounding_rectangle else None
        planes = [
            file.read(roi=roi, plane=dict(zip("TCZ", index, strict=True)), scene=scene)
            for index in np.ndindex(*sizes)
        ]
    return Seen(np.stack(planes)[..., 0].reshape(*sizes, *planes[0].shape[:2]))


def liffile_says(path: Path, series: int) -> Seen:
    """Return an image of a LIF: a wavelength is a channel, called after it; colours it does not tell."""
    import liffile

    with liffile.LifFile(path) as file:
        image = file.images[series]
        spacing = {
            axis.lower(): float(where[-1] - where[0]) / (len(where) - 1) * (1 if axis == "T" else 1e6)
            for axis, where in image.coords.items()
            if axis in "TZYX" and len(where) > 1
        }
        names = [str(name) for name in image.coords.get("C", [])] or None
        for axis, word in (("λ", "emission"), ("Λ", "excitation")):
            if axis in image.coords:
                names = [f"{word} {where * 1e9:g} nm" for where in image.coords[axis]]
        return Seen(ordered(image.asarray(), "".join(image.dims)), spacing, names)


def nd2_says(path: Path, series: int) -> Seen:
    """Return an ND2; without a planned period, time goes by the mean of the recorded times."""
    import nd2

    with nd2.ND2File(path) as file:
        spacing = dict(zip("zyx", reversed(file.voxel_size()), strict=True))
        times = np.array(file.events(orient="list")["Time [s]"]).reshape(file.sizes["T"], -1)[:, 0]
        spacing["t"] = float(times[-1] - times[0]) / (len(times) - 1)
        channels = [each.channel for each in file.metadata.channels]
        colors: list[str | None] = [
            f"{each.color.r:02X}{each.color.g:02X}{each.color.b:02X}" for each in channels
        ]
        pixels = ordered(file.asarray(), "".join(file.sizes))
    return Seen(pixels, spacing, [each.name for each in channels], colors)


def h5py_says(path: Path, series: int) -> Seen:
    """Return the finest level of an Imaris file, by its attributes."""
    import h5py

    def text(group: Any, name: str) -> str:
        return bytes(group.attrs[name]).decode()

    with h5py.File(path) as file:
        image, level = file["DataSetInfo/Image"], file["DataSet/ResolutionLevel 0"]
        sizes = {axis: int(text(image, axis)) for axis in "ZYX"}
        crop = tuple(slice(0, n) for n in sizes.values())
        spacing = {
            axis.lower(): (float(text(image, f"ExtMax{i}")) - float(text(image, f"ExtMin{i}"))) / sizes[axis]
            for i, axis in enumerate("XYZ")
        }
        count = len(level["TimePoint 0"])
        about = [file[f"DataSetInfo/Channel {c}"] for c in range(count)]
        colors: list[str | None] = [
            "".join(f"{round(float(part) * 255):02X}" for part in text(group, "Color").split())
            for group in about
        ]
        pixels = np.stack(
            [
                [level[f"TimePoint {t}/Channel {c}/Data"][crop] for c in range(count)]
                for t in range(len(level))
            ]
        )
        names = [text(group, "Name") for group in about]
    return Seen(pixels, spacing, names, colors)


def mrcfile_says(path: Path, series: int) -> Seen:
    """Return a map."""
    import mrcfile

    with mrcfile.open(path, permissive=True) as file:
        return Seen(np.array(file.data), {axis: float(file.voxel_size[axis]) for axis in "zyx"})


def wsidicom_says(path: Path, series: int) -> Seen:
    """Return the finest level of a DICOM slide."""
    from wsidicom import WsiDicom

    with WsiDicom.open(path) as slide:
        size, mpp = slide.size, slide.levels[0].mpp
        pixels = np.asarray(slide.read_region((0, 0), 0, (size.width, size.height)))[..., :3]
    return Seen(ordered(pixels, "YXS"), {"y": mpp.height, "x": mpp.width})


def tifffile_says(path: Path, series: int) -> Seen:
    """Return the first series of an SVS; its pixel size stands in the description."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        words = file.pages[0].description.split("MPP = ")[1].split("|")[0]
        return Seen(ordered(file.series[0].asarray(), file.series[0].axes), dict.fromkeys("yx", float(words)))


def openslide_says(path: Path, series: int) -> Seen:
    """Return the finest level of a slide."""
    import openslide

    with openslide.OpenSlide(path) as slide:
        return Seen(ordered(np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., :3], "YXS"))


def openreadout_says(path: Path, series: int) -> Seen:
    """Return an image; samples of colour are channels, and so are wavelengths that it has as images of their own."""
    import openreadout

    one = sorted(path.iterdir())[0] if path.is_dir() else path
    with openreadout.File(str(one)) as file:
        names = [str(image.get("name", "")).split(" [")[0] for image in file.info["images"]]
        wanted = list(dict.fromkeys(names))[series]
        parts = [file.read_image(number) for number, name in enumerate(names) if name == wanted]
    return Seen(ordered(np.concatenate(parts, axis=1), "TCZYXS"[: parts[0].ndim]))


READERS: dict[str, tuple[tuple[str, Callable[[Path, int], Seen]], ...]] = {
    ".czi": (("czifile", czifile_says), ("pylibCZIrw", czirw_says)),
    ".lif": (("liffile", liffile_says), ("openreadout", openreadout_says)),
    ".nd2": (("nd2", nd2_says), ("openreadout", openreadout_says)),
    ".ims": (("h5py", h5py_says), ("openreadout", openreadout_says)),
    ".map": (("mrcfile", mrcfile_says), ("openreadout", openreadout_says)),
    ".dcm": (("wsidicom", wsidicom_says), ("openslide", openslide_says)),
    "": (("wsidicom", wsidicom_says), ("openreadout", openreadout_says)),
    ".svs": (("tifffile", tifffile_says), ("openslide", openslide_says)),
}
"""The owner and the second reader by the ending of the name; a folder is a slide in DICOM that openslide refuses."""
SERIES = {"vendor/LeicaLASX_wavelength-sweep_example.lif": 3}
"""Files of several images, all of which have a row; the photos beside slides have none."""


def tissue(side: int) -> Iterator[Any]:
    """Yield four smooth RGB tiles."""
    y, x = np.mgrid[:side, :side]
    for number in range(4):
        yield np.stack(
            [120 + 90 * np.sin(y / (9 + c) + number) * np.cos(x / 13) for c in range(3)], -1
        ).astype(np.uint8)


LZ4 = {"compression": 32004}
MADE: dict[str, Callable[[Path], None]] = {
    "made/mosaic.czi": lambda path: made.czi_mosaic(path, 100, 3),
    "made/overlapping.czi": lambda path: made.czi_mosaic(path, 100, 3, overlap=10, codec="uncompressed:"),
    "made/one.czi": lambda path: made.czi_mosaic(path, 300, 1),
    "made/one-plain.czi": lambda path: made.czi_mosaic(path, 300, 1, codec="uncompressed:"),
    "made/stack.czi": lambda path: made.czi_stack(path, 60, (4, 2, 3)),
    "made/plane.lif": lambda path: made.lif(path, (1, 1, 1, 180, 200)),
    "made/stack.lif": lambda path: made.lif(path, (2, 4, 2, 50, 60)),
    "made/raw.nd2": lambda path: made.nd2(path, 40, 50),
    "made/zlib.nd2": lambda path: made.nd2(path, 40, 50, packed=True),
    "made/gz.ims": lambda path: made.imaris(path, (1, 2, 10, 50, 60), chunks=(8, 32, 32)),
    "made/lz4.ims": lambda path: made.imaris(path, (1, 1, 4, 50, 60), chunks=(4, 32, 32), levels=2, packing=LZ4),
    "made/map.map": lambda path: made.mrc(path, (made.cells(40, 50, z) for z in range(6)), 6),
    "made/slide.dcm": lambda path: made.dicom_slide(path, tissue(240), 2, 2),
    "made/slide.svs": lambda path: made.svs(path, lambda: tissue(240), 480, 240),
}  # fmt: skip
"""How a small file of each kind is made; the real data has these kinds in other sizes."""


def names_of(data: Path) -> list[str]:
    """Return the names of all rows, each with the number of the image where a file has several."""
    with (data / "index.csv").open(newline="", encoding="utf-8") as file:
        real = [line["file"] for line in csv.DictReader(file) if line["file"].startswith(FAMILIES)]
    several = [
        f"{name} image {number}" if name in SERIES else name
        for name in real
        for number in range(SERIES.get(name, 1))
    ]
    return [*several, made.CLUSTER, *MADE]


def row(data: Path, name: str, scratch: Path) -> str:
    """Return the line of a file; made files are written to ``scratch`` first.

    Raises
    ------
    ImportError
        What makes the file, or opens it for us, is not installed.
    """
    file, _, number = name.partition(" image ")
    series = int(number or 0)
    place = data / file.split(" (")[0]  # index.csv says how many files a folder has
    if name == made.CLUSTER:
        place = made.cluster() or place
    elif name in MADE:
        place = scratch / Path(name).name
        if name.endswith("lz4.ims"):
            import hdf5plugin  # noqa: F401 - h5py writes LZ4 with it
        MADE[name](place)
    reader = open_source(place, series=series) if number else open_source(place)
    spec, pixels = reader.spec, reader.read(full(reader.spec.shape))
    reader.close()
    (owner, ask), (second, ask_too) = READERS["" if place.is_dir() else place.suffix]
    told = {axis.name: axis for axis in spec.axes if axis.unit}
    cells = [
        name,
        " ".join(f"{axis.name} {axis.size}" for axis in spec.axes),
        ", ".join(f"{name} {axis.spacing:.6g} {UNITS[axis.unit or '']}" for name, axis in told.items()) or "none",
        ", ".join(f"{each.name} {each.color or ''}".strip() for each in spec.channels[:4])
        + (f" … {len(spec.channels)}" if len(spec.channels) > 4 else ""),
        owner,
        *judged(spec, pixels, asked(ask, place, series)),
        second,
        pixels_judged(pixels, asked(ask_too, place, series)),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def asked(ask: Callable[[Path, int], Seen], path: Path, series: int) -> Seen | None:
    """Return what a reader says, None where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ask(path, series)
    except ImportError:
        return None


def judged(spec: ImageSpec, pixels: Any, theirs: Seen | None) -> tuple[str, str, str, str]:
    """Return how spacing, names, colours and pixels compare with the owner's."""
    if theirs is None:
        return (NOT_ASKED,) * 4
    told = {axis.name: axis.spacing for axis in spec.axes if axis.unit}
    wanted = {name: step for name, step in theirs.spacing.items() if name in spec.dims}
    same = told.keys() >= wanted.keys() and all(
        np.isclose(told[name], wanted[name], rtol=1e-6) for name in wanted
    )
    more = "".join(f", and {name}" for name in told if name not in wanted)
    spacing = (f"equal{more}" if wanted else "none told") if same else f"DIFFER: {wanted}"
    names = "none told"
    if theirs.names is not None:
        ours = [each.name for each in spec.channels]
        # What may be a person's name has a number in its place.
        apart = [c for c, name in enumerate(ours) if name == f"Channel {c}" and name not in theirs.names]
        kept = [theirs.names[c] if c in apart else name for c, name in enumerate(ours[: len(theirs.names)])]
        names = "DIFFER: " + ", ".join(theirs.names)
        if kept == theirs.names and len(ours) == len(theirs.names):
            names = f"equal, {len(apart)} kept apart" if apart else "equal"
    colors = "none told"
    if theirs.colors is not None and any(theirs.colors):
        equal = [each.color for each in spec.channels] == theirs.colors
        colors = "equal" if equal else f"DIFFER: {theirs.colors}"
    return spacing, names, colors, pixels_judged(pixels, theirs)


def pixels_judged(ours: Any, theirs: Seen | None) -> str:
    """Return how pixels compare."""
    if theirs is None:
        return NOT_ASKED
    if ours.size != theirs.values.size:
        return f"DIFFER: {theirs.values.shape}"
    values = theirs.values.reshape(ours.shape)
    if np.array_equal(ours, values):
        return "equal"
    most = np.abs(ours.astype(np.float64) - values).max()
    return f"equal to {most:g}, lossy" if ours.dtype == np.uint8 and most <= 2 else f"DIFFER by {most:g}"


def main() -> None:
    """Write the page."""
    data = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        lines = [row(data, name, Path(scratch)) for name in names_of(data)]
    PAGE.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
