"""Which reader takes an HDF5 file: that of Imaris, BigDataViewer or MINC where it is theirs, else that of a dataset."""

from __future__ import annotations

from bigimg.reader import Reader
from bigimg.readers.extras import imported
from bigimg.readers.hdf5.datasets import open_dataset
from bigimg.readers.hdf5.inside import reading_hdf5


def open_hdf5(source: str, *, series: int | str | None = None, allow_partial: bool = False) -> Reader:
    """Return a reader of the HDF5 file ``source``: of Imaris, BigDataViewer or MINC where it is one, else of a dataset.

    Parameters
    ----------
    source : str
    series : int or str, optional
        The path of a dataset, which may be left out where there is one; of BigDataViewer a view.
    allow_partial : bool
        Open what is there where chunks were never written.

    Raises
    ------
    MissingExtraError
        h5py is not installed.
    InputError
        The file is damaged, or has several datasets, of which none was named.
    """
    h5py = imported("h5py", source)
    with reading_hdf5(source), h5py.File(source, "r") as file:
        imaris, bdv, minc = (
            "ImarisDataSet" in file.attrs,
            "s00" in file and "t00000" in file,
            "minc-2.0" in file,
        )
    named = isinstance(series, str) and series.startswith("/")
    if imaris and not named:
        from bigimg.readers.vendor.imaris import open_imaris

        return open_imaris(source, series=series, allow_partial=allow_partial)
    if bdv and not named:
        from bigimg.readers.vendor.bdv import open_bdv

        return open_bdv(source, series=series, allow_partial=allow_partial)
    if minc and series is None:
        from bigimg.readers.volumes.minc import open_minc

        return open_minc(source)
    return open_dataset(source, series=series, allow_partial=allow_partial)
