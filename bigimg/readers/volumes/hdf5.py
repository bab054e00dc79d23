"""Pixels of a dataset in an HDF5 file, through h5py (the extra ``hdf5``), one slab at a time.

The HDF5 library keeps one lock for the whole process, so ours costs nothing and keeps ``close`` out of a read. A
chunk that was never written reads as zeros there, silently: :func:`check_stored` counts them before. And it inflates a
chunk without a limit: :func:`check_inflated` has done so before, in pieces. And it follows names of other files, which
:func:`check_inside` refuses.
"""

from __future__ import annotations

import io
import math
import threading
from typing import Any

import numpy as np

from bigimg.errors import InputError, MissingExtraError, reading
from bigimg.geometry.region import grid, pieces
from bigimg.readers.raw.plain import CHUNK, READ_BYTES, as_native
from bigimg.readers.raw.streams import PORTION_BYTES, ZlibStream, stream_errors
from bigimg.types import Array, DType, Region, Shape
from bigimg.version import install_line

HDF5_BYTES = 8 << 20
"""Memory of an open HDF5 file: the library's metadata and its chunk cache of 1 MiB, measured and rounded up."""

SLACK_BYTES = 1 << 10
"""What a chunk may be longer than twice its pixels: the head, the checksum and so on of a small one."""


class Hdf5Pixels:
    """The numbers of one dataset.

    Parameters
    ----------
    path : str
    name : str
        Of the dataset.
    dataset : h5py.Dataset
        The same, open: only its shape, dtype and chunks are taken.

    Raises
    ------
    InputError
        Chunks of the dataset are missing.
    """

    def __init__(self, path: str, name: str, dataset: Any) -> None:
        self.path = path
        self.name = name
        self.dtype: DType = dataset.dtype
        self.shape: Shape = dataset.shape
        # Where the dataset is one piece any part can be read alone, as of a raw file.
        self.chunks: Shape = dataset.chunks or (*(1 for _ in self.shape[1:]), min(self.shape[-1], CHUNK))
        self.read_bytes = READ_BYTES
        if dataset.chunks:
            self.read_bytes += 2 * math.prod(self.chunks) * self.dtype.itemsize
        check_stored(path, dataset)
        self._checked = np.zeros(grid(self.shape, self.chunks) if dataset.chunks else 0, bool)
        self._file: Any = None
        self._lock = threading.Lock()

    def read(self, region: Region) -> Array:
        """Return the pixels of ``region`` in native byte order.

        Raises
        ------
        InputError
            The file is gone, or damaged there.
        """
        h5py = import_h5py(self.path)
        errors, what = (OSError, RuntimeError, KeyError, ValueError), "its pixels cannot be read"
        with self._lock, reading(self.path, errors, "fetch the file again", what=what):
            if self._file is None:
                self._file = h5py.File(self.path, "r")
            dataset = self._file[self.name]
            for index, _ in pieces(region, self.chunks) if self._checked.size else ():
                if not self._checked[index]:
                    check_inflated(self.path, dataset, index)
                    self._checked[index] = True
            part: Array = dataset[region]
        return as_native(np.ascontiguousarray(part))

    def close(self) -> None:
        """Let go of the file; a later read opens it again."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32"}
"""Numbers of the filters that MINC writes; all others, and one twice, unpack to sizes that no one has checked."""


def check_inside(path: str, file: Any) -> None:
    """Check that all of an open HDF5 file lies in it, and that its datasets unpack only by filters of MINC.

    Raises
    ------
    InputError
        A link or a dataset leads to another file: a file from a stranger must not be able to read any file here.
    """
    h5py = import_h5py(path)
    remedy = "make one file of it with h5repack, where you trust it"

    def wrong_link(name: str, link: Any) -> str | None:
        leads_out = isinstance(link, h5py.ExternalLink)
        return f"its {name} is a link to the file {link.filename!r}; {remedy}" if leads_out else None

    def wrong_object(name: str, found: Any) -> str | None:
        if not isinstance(found, h5py.Dataset):
            return None
        if found.is_virtual or found.external:
            where = found.external[0][0] if found.external else "others"
            return f"the values of its {name} lie in the file {where!r}; {remedy}"
        made = found.id.get_create_plist()
        numbers = [made.get_filter(i)[0] for i in range(made.get_nfilters())]
        if len(set(numbers)) == len(numbers) and set(numbers) <= set(FILTERS):
            return None
        what = f"its {name} is packed by the filters {', '.join(map(str, numbers))} of HDF5"
        return f"{what}, and MINC has {', '.join(FILTERS.values())}; pack it so with h5repack"

    # A visit ends at the first that is returned; h5py 3.16 makes a SystemError of what is raised within.
    if wrong := file.visititems_links(wrong_link) or file.visititems(wrong_object):
        raise InputError(f"{path}: {wrong}")


def check_stored(path: str, dataset: Any) -> None:
    """Check that every pixel of ``dataset`` was written.

    Raises
    ------
    InputError
        Some were not: the library would make zeros of them.
    """
    if dataset.chunks:
        what, wanted = "chunks", math.prod(grid(dataset.shape, dataset.chunks))
        there = int(dataset.id.get_num_chunks())
    else:
        what, wanted, there = "bytes", dataset.nbytes, int(dataset.id.get_storage_size())
    if there != wanted:
        written = f"{there} of {wanted} {what} of its pixels were written"
        raise InputError(f"{path}: {written}; what is missing is not known, write the file again")


def check_inflated(path: str, dataset: Any, index: Shape) -> None:
    """Check that chunk ``index`` of ``dataset``, where it is deflated, has no more bytes inside than its shape says.

    Raises
    ------
    InputError
        It has more, or is damaged.
    """
    start = tuple(i * n for i, n in zip(index, dataset.chunks, strict=True))
    if dataset.compression != "gzip":
        return
    most = math.prod(dataset.chunks) * dataset.dtype.itemsize
    found = dataset.id.get_chunk_info_by_coord(start).size
    if found <= 2 * most + SLACK_BYTES:  # deflate makes little more of what it cannot make less
        skipped, packed = dataset.id.read_direct_chunk(start)
        if skipped:
            return
        stream, room, found = ZlibStream(io.BytesIO(packed)), memoryview(bytearray(PORTION_BYTES)), 0
        what = f"chunk {index} of its pixels is damaged"
        with reading(path, stream_errors(), "fetch the file again", what=what):
            while found <= most and (got := stream.readinto(room)):
                found += got
    if found > most:
        what = f"more inside than the {most} bytes that its shape {dataset.chunks} needs"
        why = "the file is damaged, or made to exhaust memory"
        raise InputError(f"{path}: chunk {index} of its pixels has {what}; {why}")


def import_h5py(path: str) -> Any:
    """Return h5py.

    Raises
    ------
    MissingExtraError
        It is not installed; the message has the line that installs it.
    """
    try:
        import h5py
    except ImportError:
        what = "is HDF5, which h5py reads, and that is not installed"
        raise MissingExtraError(f"{path}: {what}: {install_line('hdf5')}") from None
    return h5py
