"""Nothing but regular files is read, and nothing outside the file or folder that was named, unless it is asked for."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile

import bigimg
from bigimg.errors import InputError, UnknownFormatError
from bigimg.readers.raw import compressed
from tests.readers.volumes.header_files import metaimage, nrrd
from tests.readers.volumes.volume_files import minc2

VOLUME = np.arange(12 * 11 * 10, dtype=np.int16).reshape(12, 11, 10)
AXES = ("zspace", "yspace", "xspace")
IMAGE = "minc-2.0/image/0/image"

pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


# ------------------------------------------------------------------------------------------------ pipes and devices


@pipes
@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.zip", "a.ozx", "a.zarr", "a", "a.zip::b.png", "*.tif"])
def test_a_pipe_is_refused_and_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name.split("::")[0].replace("*", "b"))
    for work in (bigimg.open, bigimg.info, bigimg.plan):
        more = (tmp_path / "out.ome.zarr",) if work is bigimg.plan else ()
        with pytest.raises(InputError, match=r"is a pipe|no file matches"):
            work(tmp_path / name, *more)


@pipes
def test_a_pipe_in_a_folder_of_planes_is_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "0.tif", VOLUME[0])
    os.mkfifo(tmp_path / "1.tif")
    with pytest.raises(UnknownFormatError, match=r"1\.tif: is a pipe, and only files and folders are read"):
        bigimg.open(tmp_path)


@pipes
@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr"])
def test_a_pipe_with_the_pixels_of_a_header_is_refused(name: str, tmp_path: Path) -> None:
    (metaimage if name == "a.mhd" else nrrd)(tmp_path / name, VOLUME)
    (data,) = (path for path in tmp_path.iterdir() if path.name != name)
    data.unlink()
    os.mkfifo(data)
    with pytest.raises(InputError, match=f"its pixels should be in {data.name}"):
        bigimg.open(tmp_path / name)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no such sockets")
def test_sockets_and_devices_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("a.tif")
        with pytest.raises(UnknownFormatError, match=r"a\.tif: is a socket"):
            bigimg.open("a.tif")
    os.symlink("/dev/zero", "b.tif")
    for name in ("/dev/zero", "b.tif"):
        with pytest.raises(UnknownFormatError, match="is a device"):
            bigimg.open(name)


@pytest.mark.parametrize("name", ["a\0.png", "~/no such.png", "x" * 300 + ".png", "~nobody/a.ome.zarr"])
def test_names_that_no_file_has(name: str) -> None:
    with pytest.raises(InputError, match=r"os.path.expanduser|no such file|File name too long"):
        bigimg.open(name)


@pytest.mark.skipif(os.name != "posix", reason="names of files are text here")
def test_names_that_are_not_utf8_convert(tmp_path: Path) -> None:
    source, target = (os.fsdecode(bytes(tmp_path) + name) for name in (b"/\xe9.npy", b"/\xe9.ome.zarr"))
    np.save(source, VOLUME[0])
    bigimg.convert(source, target, progress=False, keep_metadata=True)
    np.testing.assert_array_equal(bigimg.open(target), VOLUME[0])
    assert bigimg.verify(target, source=source).ok
    assert len(list(tmp_path.iterdir())) == 2


# --------------------------------------------------------------------------------------- what a file says of others


def minc(path: Path) -> Path:
    return minc2(path, VOLUME, AXES, varied=False, chunks=(12, 11, 10))


def test_links_and_values_outside_an_hdf5_file_are_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    other = minc(tmp_path / "other.mnc")
    np.testing.assert_array_equal(bigimg.imread(other), VOLUME)
    (tmp_path / "secret").write_bytes(VOLUME.tobytes())
    for number in range(4):
        path = shutil.copy(other, tmp_path / f"{number}.mnc")
        with h5py.File(path, "r+") as file:
            attributes = dict(file[IMAGE].attrs)
            if number == 0:  # a soft link within the file is fine
                file["elsewhere"] = file[IMAGE]
                del file[IMAGE]
                file[IMAGE] = h5py.SoftLink("/elsewhere")
                continue
            del file[IMAGE]
            if number == 1:
                file[IMAGE] = h5py.ExternalLink("other.mnc", IMAGE)
                continue
            if number == 2:
                where = [(str(tmp_path / "secret"), 0, VOLUME.nbytes)]
                made = file.create_dataset(IMAGE, VOLUME.shape, VOLUME.dtype, external=where)
            else:
                layout = h5py.VirtualLayout(VOLUME.shape, VOLUME.dtype)
                layout[...] = h5py.VirtualSource(str(other), IMAGE, VOLUME.shape)
                made = file.create_virtual_dataset(IMAGE, layout)
            made.attrs.update(attributes)
    np.testing.assert_array_equal(bigimg.imread(tmp_path / "0.mnc"), VOLUME)
    for number, words in enumerate(
        ("link to the file 'other.mnc'", "in the file '.*secret'", "in the file 'others'"), 1
    ):
        with pytest.raises(InputError, match=rf"{number}\.mnc: .*minc-2.0/image/0/image.*{words}"):
            bigimg.open(tmp_path / f"{number}.mnc")


def test_a_chunk_that_is_deflated_twice_is_not_inflated(tmp_path: Path) -> None:
    """Inflated once it is smaller than its pixels; twice it would be 100 times as large."""
    h5py = pytest.importorskip("h5py")
    path = minc(tmp_path / "a.mnc")
    with h5py.File(path, "r+") as file:
        attributes = dict(file[IMAGE].attrs)
        del file[IMAGE]
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk(VOLUME.shape)
        for _ in range(2):
            made.set_filter(h5py.h5z.FILTER_DEFLATE, 0, (1,))
        space = h5py.h5s.create_simple(VOLUME.shape)
        image = h5py.h5d.create(file.id, IMAGE.encode(), h5py.h5t.STD_I16LE, space, made)
        h5py.Dataset(image).attrs.update(attributes)
        image.write_direct_chunk((0, 0, 0), zlib.compress(zlib.compress(bytes(100 * VOLUME.nbytes))))
    with pytest.raises(InputError, match=r"packed by the filters 1, 1 of HDF5"):
        bigimg.open(path)


@pytest.mark.parametrize("how", ["above", "absolute", "below", "beside"])
def test_files_that_ome_xml_names(how: str, tmp_path: Path) -> None:
    """tifffile opens them wherever they are, if their UUID is right."""
    folder = tmp_path / "set"
    (folder / "below").mkdir(parents=True)
    where = {"above": tmp_path, "absolute": tmp_path, "below": folder / "below", "beside": folder}[how]
    name = {"above": "../b.ome.tif", "absolute": str(where / "b.ome.tif"), "below": "below/b.ome.tif"}.get(
        how, "b.ome.tif"
    )
    data = "".join(
        f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1"><UUID FileName="{each}">urn:uuid:{z}</UUID></TiffData>'
        for z, each in enumerate(("a.ome.tif", name))
    )
    for z, path in enumerate((folder / "a.ome.tif", where / "b.ome.tif")):
        xml = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{z}"><Image ID="Image:0">'
            f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="int16" SizeX="10" SizeY="11" SizeZ="2" SizeC="1" '
            f'SizeT="1"><Channel ID="Channel:0:0"/>{data}</Pixels></Image></OME>'
        )
        tifffile.imwrite(path, VOLUME[z], description=xml, metadata=None)
    if how in ("below", "beside"):
        np.testing.assert_array_equal(bigimg.imread(folder / "a.ome.tif"), VOLUME[:2])
        return
    with pytest.raises(InputError, match=r"names the file '.*b\.ome\.tif', outside its own folder"):
        bigimg.open(folder / "a.ome.tif")


# ------------------------------------------------------------------------------------------------ streams without end


def test_a_stream_that_goes_on_behind_the_last_pixel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "MOST_REST", 1 << 20)
    data = nibabel.Nifti1Image(VOLUME.T, np.eye(4)).to_bytes()
    for name, more in (("whole.nii.gz", 1 << 20), ("endless.nii.gz", 3 << 20)):
        (tmp_path / name).write_bytes(gzip.compress(data + bytes(more)))
    np.testing.assert_array_equal(bigimg.imread(tmp_path / "whole.nii.gz"), VOLUME)
    with pytest.raises(InputError, match="goes on for more than 1 MiB after the last pixel"):
        bigimg.imread(tmp_path / "endless.nii.gz")
