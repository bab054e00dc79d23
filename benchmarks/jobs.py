"""The jobs: what is run against what, and the goal of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from environments import FOLDER, HERE, python
from measure import SHRINK, Contender

DATA = HERE / "data"
OURS = "bigimg"
MICROSCOPES = "microscopes"
"""The environment of bigimg with the extras that read files of microscopes and slides."""
PLAIN_LEVELS = "4"
"""Levels of the stores that bigimg and openreadout write alike: not compressed, halved in y and x, chunks of 512²."""


@dataclass(frozen=True)
class Goal:
    """A bound on one figure: of ours over the peer's, or of ours alone."""

    figure: str
    most: float
    text: str
    alone: bool = False
    """Whether ``most`` is in the unit of the figure, not a ratio."""


@dataclass(frozen=True)
class Job:
    """One row of the results."""

    name: str
    title: str
    source: str
    """File in the data folder; empty for none."""
    ours: Contender
    peer: Contender
    goals: tuple[Goal, ...]
    slow: bool = False
    """Whether the peer takes minutes: fewer runs will do, its ratio is far from its goal or not at all."""
    checked: tuple[str, ...] = ()
    """Contenders whose store is compared with the source."""
    short: bool = False
    """Whether it takes a fraction of a second, and is run more often."""


def bigimg(*arguments: str, environment: str = OURS) -> tuple[str, ...]:
    """Return our command, called as a user's shell does."""
    return (str(FOLDER / environment / "bin" / "bigimg"), *arguments)


def _convert(source: str, *more: str, name: str = OURS, environment: str = OURS) -> Contender:
    command = bigimg(
        "convert", str(DATA / source), "{output}", "--memory", "512MB", *more, environment=environment
    )
    return Contender(name, command, f"{name}.ome.zarr")


def _peer(environment: str, script: str, source: str, *more: str) -> Contender:
    path = HERE / "peers" / script
    command = (python(environment), str(path), str(DATA / source), "{output}", *more)
    return Contender(environment, command, environment)


def _against_vips(source: str, title: str, *goals: Goal) -> Job:
    checked = () if source.endswith(".png") else (OURS,)
    return Job(
        f"{Path(source).stem}-vips", title, source, _convert(source), _peer("vips", "vips_dzsave.py", source),
        goals, checked=checked,
    )  # fmt: skip


def _against_ome_zarr(source: str, title: str, times: int, *, slow: bool = False) -> Job:
    return Job(
        f"{Path(source).stem}-ome-zarr", title, source, _convert(source),
        _peer("ome-zarr", "ome_zarr_write.py", source),
        (Goal("wall", 1 / times, f">= {times}x faster"),), slow=slow, checked=(OURS, "ome-zarr"),
    )  # fmt: skip


def _of_microscopes(source: str, title: str, chunks: str) -> Iterator[Job]:
    """Yield a file against bioio, against openreadout's own converter, and read alone."""
    ours = _convert(source, environment=MICROSCOPES)
    half = Goal("peak", 0.5, "peak <= 0.5x")
    yield Job(
        f"{source}-bioio", title, source, ours, _peer("bioio", "bioio_write.py", source),
        (
            Goal("wall", 1 / 4, ">= 4x faster"), Goal("cpu", 1 / 4, ">= 4x less CPU"), half,
            Goal("peak", 512e6, "peak <= 512 MB", alone=True),
        ), slow=True, checked=(OURS, "bioio"),
    )  # fmt: skip
    plain = ("--codec", "none", "--chunks", chunks, "--halve", "yx", "--levels", PLAIN_LEVELS)
    pairs = {
        "": (ours, ()),
        "-plain": (_convert(source, *plain, environment=MICROSCOPES), ("--plain", PLAIN_LEVELS)),
    }
    for name, (command, more) in pairs.items():
        yield Job(
            f"{source}-openreadout{name}", f"{title}{'; uncompressed, 4 levels' if more else ''}", source, command,
            _peer("openreadout", "openreadout_export.py", source, *more),
            (Goal("wall", 1 / 1.2, ">= 1.2x faster"), Goal("cpu", 1 / 1.2, ">= 1.2x less CPU"), half), slow=True,
            checked=(OURS,) if source.endswith(".dcm") else (OURS, "openreadout"),  # its JPEG differs in the last bit
        )  # fmt: skip
    read = (python(MICROSCOPES), str(HERE / "reading.py"), str(DATA / source))
    alone = (python(MICROSCOPES), str(HERE / "peers/tiles_alone.py"), str(DATA / source))
    yield Job(
        f"{source}-alone", f"{title}: reading alone, by the library of the format", source,
        Contender(OURS, read), Contender("library", alone), (Goal("wall", 1 / 0.8, "wall <= 1.25x"),),
    )  # fmt: skip


def _python(what: str) -> Contender:
    return Contender("python", (python(OURS), "-c", what))


_SMALL = (
    Goal("wall", 0.9, "wall <= 0.9x"),
    Goal("cpu", 1.1, "CPU <= 1.1x"),
    Goal("peak", 350e6, "peak <= 350 MB", alone=True),
)
_LARGE = (Goal("wall", 0.75, "wall <= 0.75x"), Goal("peak", 350e6, "peak <= 350 MB", alone=True))

JOBS = (
    _against_vips("rgb16k.tif", "RGB 16384², tiled TIFF", *_SMALL),
    _against_vips("rgb16k-deflate.tif", "RGB 16384², deflate", *_SMALL),
    _against_vips("rgb32k.tif", "RGB 32768², tiled TIFF", *_LARGE),
    _against_vips("rgb32k-deflate.tif", "RGB 32768², deflate", *_LARGE),
    _against_vips(
        "lesson.png", "RGB PNG 17360 x 18701",
        Goal("wall", 0.9, "wall <= 0.9x"), Goal("peak", 512e6, "peak <= 512 MB", alone=True),
    ),
    Job(
        "volume-tensorstore", "uint16 512 x 1024 x 1024", "volume.tif", _convert("volume.tif"),
        _peer("tensorstore", "tensorstore_volume.py", "volume.tif", "--sharded"),
        (
            Goal("wall", 0.6, "wall <= 0.6x"), Goal("stored", 1.2, "size <= 1.2x"),
            Goal("peak", 512e6, "peak <= 512 MB", alone=True),
        ), checked=(OURS, "tensorstore"),
    ),
    Job(
        "volume-ngff-zarr", "uint16 512 x 1024 x 1024", "volume.tif", _convert("volume.tif"),
        _peer("ngff-zarr", "ngff_zarr_volume.py", "volume.tif"),
        (Goal("wall", 1 / 5, ">= 5x faster"),), checked=(OURS, "ngff-zarr"),
    ),
    Job(
        "nifti-ngff-zarr", "NIfTI uint16 512 x 1024 x 1024", "volume.nii", _convert("volume.nii"),
        _peer("nibabel", "ngff_zarr_nifti.py", "volume.nii"), (Goal("wall", 1 / 4, ">= 4x faster"),), checked=(OURS,),
    ),
    Job(
        "dicom-simpleitk", "DICOM series, 1,000 slices of 512²; SimpleITK reads into memory only", "ct", _convert("ct"),
        Contender("simpleitk", (python("simpleitk"), str(HERE / "peers/simpleitk_series.py"), str(DATA / "ct"))),
        (Goal("wall", 1, "wall <= 1x"),), checked=(OURS,),
    ),
    Job(
        "folder-dask-image", "1,000 TIFF files of 1024², uint8", "planes", _convert("planes"),
        _peer("dask-image", "dask_image_folder.py", "planes"), (Goal("wall", 1 / 4, ">= 4x faster"),), checked=(OURS,),
    ),
    _against_ome_zarr("rgb16k.tif", "RGB 16384², tiled TIFF", 14),
    _against_ome_zarr("rgb16k-deflate.tif", "RGB 16384², deflate", 14),
    _against_ome_zarr("rgb32k.tif", "RGB 32768², tiled TIFF", 18, slow=True),
    *(
        Job(
            f"{Path(source).stem}-zstd", f"default codec against --codec zstd, {source}", source, _convert(source),
            _convert(source, "--codec", "zstd", name="zstd"),
            (Goal("stored", 1.1, "size <= 1.1x"),), checked=(OURS, "zstd"),
        )
        for source in ("rgb16k.tif", "volume.tif")
    ),
    Job(
        "rgb16k-sync", "the default against --no-sync, rgb16k.tif", "rgb16k.tif", _convert("rgb16k.tif"),
        _convert("rgb16k.tif", "--no-sync", name="no-sync"), (), checked=(OURS,),
    ),
    Job(
        "help", "bigimg --help against importing click", "", Contender(OURS, bigimg("--help")),
        _python("import click"), (Goal("wall", 2, "wall <= 2x"),), short=True,
    ),
    Job(
        "info", "bigimg info FILE against importing numpy, pyvips, click", "rgb16k.tif",
        Contender(OURS, bigimg("info", str(DATA / "rgb16k.tif"))), _python("import numpy, pyvips, click"),
        (Goal("wall", 1.5, "wall <= 1.5x"),), short=True,
    ),
    *_of_microscopes("mosaic.czi", "CZI, 64 tiles of 2048², uint16, zstd", "512"),
    *_of_microscopes("stack.lif", "LIF, 2 x 40 planes of 2048², uint16", "1,512,512"),
    *_of_microscopes("raw.nd2", "ND2, 30 frames of 2 x 3000², uint16", "1,512,512"),
    *_of_microscopes("zlib.nd2", "ND2, 30 frames of 2 x 2048², uint16, deflate", "1,512,512"),
    *_of_microscopes("volume.ims", "Imaris, 2 x 50 x 2000 x 2300, uint16, gzip", "1,512,512"),
    *_of_microscopes("map.mrc", "MRC, 256 x 1024 x 1024, int16", "1,512,512"),
    *_of_microscopes("slide.dcm", "DICOM slide of 14336², 784 tiles, JPEG", "512"),
)  # fmt: skip

SLIDES = {
    name: side // SHRINK
    for name, side in {"1 GB": 18432, "4 GB": 36864, "16 GB": 73728, "64 GB": 147456}.items()
}
"""Decoded size and side of the virtual slide, in pixels; RGB."""
SLIDE_TIME, SLIDE_PEAK = 0.10, 0.05
"""How far time per pixel and peak memory may be from their mean over the sizes."""
FIRST_TIME = 2.0
"""How much longer the first conversion after an installation may take than the tenth."""


def slide(side: int) -> Contender:
    """Return the conversion of a virtual slide of ``side`` pixels."""
    return Contender(OURS, (python(OURS), str(HERE / "slide.py"), str(side), "{output}"), f"{OURS}.ome.zarr")
