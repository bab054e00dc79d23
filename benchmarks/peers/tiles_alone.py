"""Decode every tile, plane or chunk of a file once with the library that owns its format, two at a time; keep nothing.

    python tiles_alone.py SOURCE

Prints the bytes that were decoded. What only shows a file as an array is added up, as else nothing would be read.
"""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

THREADS = 2


def czi(source: Path) -> Iterator[Callable[[], np.ndarray]]:
    import czifile

    file = czifile.CziFile(source)
    file.set_lock(True)  # one file handle for both threads
    for block in file.subblocks():
        yield block.data


def lif(source: Path) -> Iterator[Callable[[], np.ndarray]]:
    import liffile

    pixels = liffile.LifFile(source).images[0].asarray(mode="r", out="memmap")
    for index in np.ndindex(pixels.shape[:-2]):
        yield lambda index=index: np.array(pixels[index])


def nd2(source: Path) -> Iterator[Callable[[], np.ndarray]]:
    import nd2

    file = nd2.ND2File(source)
    for number in range(file.attributes.sequenceCount):
        yield lambda number=number: np.array(file.read_frame(number))


def imaris(source: Path) -> Iterator[Callable[[], np.ndarray]]:
    import h5py

    file = h5py.File(source)
    for time in file["DataSet/ResolutionLevel 0"].values():
        for channel in time.values():
            data = channel["Data"]
            for chunk in data.iter_chunks():
                yield (
                    lambda pixels=data[chunk]: pixels
                )  # h5py takes one thread at a time, and may hang with two


def mrc(source: Path) -> Iterator[Callable[[], np.ndarray]]:
    import mrcfile

    pixels = mrcfile.mmap(source, permissive=True).data
    for plane in pixels:
        yield lambda plane=plane: np.array(plane)


def dicom(source: Path) -> Iterator[Callable[[], np.ndarray]]:
    import pydicom
    from pydicom.pixels import get_decoder

    header = pydicom.dcmread(source, defer_size=1024)
    decoder = get_decoder(header.file_meta.TransferSyntaxUID)
    header.PixelData  # noqa: B018 - read now, by one thread
    for number in range(int(header.NumberOfFrames)):
        yield lambda number=number: decoder.as_array(header, index=number)[0]


def tiff(source: Path) -> Iterator[Callable[[], np.ndarray]]:
    import tifffile

    for file in sorted(source.iterdir()):
        yield lambda file=file: tifffile.imread(file)


READERS = {".czi": czi, ".lif": lif, ".nd2": nd2, ".ims": imaris, ".mrc": mrc, ".dcm": dicom, "": tiff}


def main() -> None:
    source = Path(sys.argv[1])
    with ThreadPoolExecutor(THREADS) as pool:
        jobs = READERS[source.suffix](source)
        total, waiting = 0, []
        for job in jobs:
            waiting.append(pool.submit(lambda job=job: job().nbytes))
            if len(waiting) >= 4 * THREADS:
                total += waiting.pop(0).result()
        total += sum(each.result() for each in waiting)
    print(total, "bytes decoded")


if __name__ == "__main__":
    main()
