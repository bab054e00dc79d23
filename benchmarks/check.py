"""Compare windows of level 0 of a store with the file or folder it was made of, whoever wrote it; print its levels.

    python check.py SOURCE STORE

A figure counts only for a store that holds the pixels. Read with zarr and the library of the format, nothing of ours.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import tifffile
import zarr

LAYOUTS = ("0/{}", "{}", "s{}", "scale{}/image")
"""Where the writers put level n."""
WINDOWS = 8

type Windows = tuple[tuple[int, ...], Callable[[tuple[slice, ...]], np.ndarray]]
SIDE = 300
"""Pixels of a window along each axis: it crosses chunks of all the writers."""


def levels(store: Path) -> list[zarr.Array]:
    """Return the arrays of a store, fine to coarse."""
    layout = next(name for name in LAYOUTS if (store / name.format(0) / "zarr.json").is_file())
    count = next(n for n in range(99) if not (store / layout.format(n)).is_dir())
    return [zarr.open_array(store / layout.format(n), mode="r") for n in range(count)]


def _whole(pixels: np.ndarray, axes: str) -> Windows:
    """Return what reads windows of an array in the order t c z y x, axes of one pixel aside."""
    ordered = pixels.transpose([axes.index(axis) for axis in "TCSZYX" if axis in axes])
    squeezed = ordered.reshape([n for n in ordered.shape if n > 1])
    return squeezed.shape, lambda window: squeezed[window]


def czi(path: Path) -> Windows:
    """Return the first scene."""
    import czifile

    with czifile.CziFile(path) as file:
        scene = next(iter(file.scenes.values()))
        return _whole(scene.asarray(maxworkers=1), "".join(scene.axes))


def lif(path: Path) -> Windows:
    """Return the first image."""
    import liffile

    image = liffile.LifFile(path).images[0]
    return _whole(image.asarray(mode="r", out="memmap"), "".join(image.dims))


def nd2(path: Path) -> Windows:
    """Return all frames."""
    import nd2

    with nd2.ND2File(path) as file:
        return _whole(file.asarray(), "".join(file.sizes))


def imaris(path: Path) -> Windows:
    """Return the finest level of the first time, cropped."""
    import h5py

    group = h5py.File(path)["DataSet/ResolutionLevel 0/TimePoint 0"]
    sizes = [int(group["Channel 0"].attrs[f"ImageSize{axis}"].tobytes()) for axis in "ZYX"]
    crop = tuple(slice(0, n) for n in sizes)
    return _whole(np.stack([channel["Data"][crop] for channel in group.values()]), "CZYX")


def mrc(path: Path) -> Windows:
    """Return the map."""
    import mrcfile

    return _whole(mrcfile.mmap(path, permissive=True).data, "ZYX")


def dicom(path: Path) -> Windows:
    """Return a slide whose tiles are all there, one after the other."""
    frames = pydicom.dcmread(path).pixel_array
    side = frames.shape[-2]
    down = pydicom.dcmread(path, stop_before_pixels=True).TotalPixelMatrixRows // side
    grid = frames.reshape(down, -1, side, side, 3)
    return _whole(grid.transpose(0, 2, 1, 3, 4).reshape(down * side, -1, 3), "YXS")


OF_MICROSCOPES = {".czi": czi, ".lif": lif, ".nd2": nd2, ".ims": imaris, ".mrc": mrc, ".dcm": dicom}


def windows_of(path: Path) -> Windows:
    """Return the shape of a source, colour first, and what reads a window of it."""
    if path.is_dir():
        files = sorted(path.iterdir())
        one = tifffile.imread if files[0].suffix == ".tif" else lambda file: pydicom.dcmread(file).pixel_array
        shape = (len(files), *one(files[0]).shape)
        return shape, lambda window: np.stack([one(file)[window[1:]] for file in files[window[0]]])
    if path.suffix in OF_MICROSCOPES:
        return OF_MICROSCOPES[path.suffix](path)
    if path.suffix == ".nii":
        volume = np.asanyarray(nibabel.load(path).dataobj).T
        return volume.shape, lambda window: volume[window]
    pixels = zarr.open_array(tifffile.imread(path, aszarr=True), mode="r")
    if pixels.shape[-1] != 3:
        return pixels.shape, lambda window: pixels[window]
    return (3, *pixels.shape[:2]), lambda window: np.moveaxis(pixels[window[1:]], -1, 0)


def main() -> None:
    source, store = map(Path, sys.argv[1:])
    found, (shape, read) = levels(store), windows_of(source)
    kept = tuple(n for n in found[0].shape if n > 1) if source.suffix in OF_MICROSCOPES else found[0].shape
    if kept != shape:  # some keep axes of one pixel
        raise SystemExit(f"{store}: level 0 is {found[0].shape}, the image {shape}")
    rng = np.random.default_rng(0)
    for _ in range(WINDOWS):
        start = [int(rng.integers(0, max(1, n - SIDE))) for n in shape]
        window = tuple(slice(s, s + SIDE) for s in start)
        here = iter(window)
        ours = tuple(slice(0, 1) if kept != found[0].shape and n == 1 else next(here) for n in found[0].shape)
        if not np.array_equal(np.reshape(found[0][ours], read(window).shape), read(window)):
            raise SystemExit(f"{store}: other pixels than {source} in {window}")
    print("levels " + ", ".join("x".join(map(str, array.shape)) for array in found))


main()
