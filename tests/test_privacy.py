"""Values planted in every free field of 24 formats, and in names of files, folders and channels: where do they get to?

Each file is written by the library that owns its format, or byte by byte where none writes such fields. Nothing planted
may reach a store, a notebook, what xarray saves, or an export; with ``keep_metadata`` the fields are in the store.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from nibabel.ecat import hdr_dtype
from PIL import Image, PngImagePlugin

import bigimg
from bigimg.errors import UsageError
from bigimg.geometry.spec import Channel
from bigimg.readers.allowed import known_channels
from tests.readers.volumes import header_files, volume_files

PLANTED = re.compile(rb"Zqs\d{3}q")
GREY = np.zeros((16, 24), np.uint8)
COLOR = np.zeros((16, 24, 3), np.uint8)
VOLUME = np.zeros((4, 16, 24), np.int16)
SERIES = np.zeros((3, 4, 5, 2), "<i2")


class Planter:
    """Gives values to plant, each another one."""

    def __init__(self) -> None:
        self.values: list[str] = []

    def __call__(self) -> str:
        self.values.append(f"Zqs{len(self.values):03d}q")
        return self.values[-1]

    def bytes(self) -> bytes:
        return self().encode()


type Maker = Callable[[Path, Planter], Path]


def nifti(kind: type, suffix: str) -> Maker:
    def make(stem: Path, plant: Planter) -> Path:
        image = kind(np.zeros((5, 4, 3), np.int16), np.eye(4))
        for name, (kind_of, _) in image.header.template_dtype.fields.items():
            if kind_of.kind == "S" and kind_of.itemsize >= 7:
                image.header[name] = plant.bytes()
        nibabel.save(image, path := stem.with_name(stem.name + suffix))
        return path

    return make


def afni(stem: Path, plant: Planter) -> Path:
    names = ("HISTORY_NOTE", "IDCODE_STRING", "IDCODE_DATE", "DATASET_NAME", "LABEL_1", "NOTE_NUMBER_001", "SUBJECT",
             "BRICK_KEYWORDS", "TEMPLATE_SPACE", "SCANNER", "STUDY_DATE")  # fmt: skip
    head = volume_files.afni(
        stem.with_name(stem.name + "+orig"), SERIES, labels=f"{plant()}~{plant()}", timed=False
    )
    with head.open("a") as file:
        for name in names:
            file.write(f"\ntype = string-attribute\nname = {name}\ncount = 8\n'{plant()}~\n")
    return head


def ecat(stem: Path, plant: Planter) -> Path:
    frames = np.zeros((1, 4, 5, 3), np.int16)
    path = volume_files.ecat(stem.with_suffix(".v"), frames, factors=[1.0])
    content = bytearray(path.read_bytes())
    header = np.frombuffer(content, hdr_dtype.newbyteorder(">"), 1).copy()
    for name in hdr_dtype.names or ():
        if hdr_dtype[name].kind == "S" and name != "magic_number" and hdr_dtype[name].itemsize >= 8:
            header[name] = plant.bytes()
    content[: header.nbytes] = header.tobytes()
    path.write_bytes(content)
    return path


def par(stem: Path, plant: Planter) -> Path:
    made = volume_files.par(stem.parent, "phantom_EPI_asc_CLEAR_2_1.PAR", side=4)
    path = stem.with_suffix(".PAR")
    made.with_suffix(".REC").rename(path.with_suffix(".REC"))
    text = made.read_text(encoding="latin-1")
    made.unlink()
    for label in ("Patient name", "Examination name", "Protocol name", "Examination date/time", "Series Type",
                  "Patient position", "Technique", "Scan mode", "Preparation direction"):  # fmt: skip
        text = re.sub(rf"(?m)^(\. +{label}[^:]*:).*$", rf"\1   {plant()}", text)
    path.write_text(text, encoding="latin-1")
    return path


MINC_FIELDS = {"": ("history", "ident"), "patient": ("full_name", "birthdate", "identification"),
               "study": ("study_id", "modality", "institution", "start_time"), "acquisition": ("operator", "protocol"),
               "dicom_0x0010": ("el_0x0010",), "free": ("note",)}  # fmt: skip


def minc1(stem: Path, plant: Planter) -> Path:
    from nibabel.externals.netcdf import netcdf_file

    path = volume_files.minc1(stem.with_suffix(".mnc"), VOLUME, ("zspace", "yspace", "xspace"), varied=False)
    with netcdf_file(path, "a", mmap=False) as file:
        for name, keys in MINC_FIELDS.items():
            place = (file.variables.get(name) or file.createVariable(name, "i", ())) if name else file
            for key in keys:
                setattr(place, key, plant.bytes())
    return path


def minc2(stem: Path, plant: Planter) -> Path:
    h5py = pytest.importorskip("h5py")
    names = ("zspace", "yspace", "xspace")
    path = volume_files.minc2(stem.with_suffix(".mnc"), VOLUME, names, varied=False, chunks=VOLUME.shape)
    with h5py.File(path, "r+") as file:
        for name, keys in MINC_FIELDS.items():
            place = file[f"minc-2.0/info/{name}"] if name in file["minc-2.0/info"] else None
            place = (
                (file.create_dataset(f"minc-2.0/info/{name}", data=0) if place is None else place)
                if name
                else file
            )
            for key in keys:
                place.attrs[key] = np.bytes_(plant())
    return path


def metaimage(suffix: str) -> Maker:
    def make(stem: Path, plant: Planter) -> Path:
        names = ("Comment", "Name", "ID", "AcquisitionDate", "0010|0010", "0008|0080", "Modality", "DistanceUnits",
                 "AnatomicalOrientation", "ParentID", "Operator", "ITK_InputFilterName", "ObjectSubType")  # fmt: skip
        more = "\n".join(f"{name} = {plant()}" for name in names)
        return header_files.metaimage(stem.with_suffix(suffix), VOLUME, more=more)

    return make


def nrrd(suffix: str) -> Maker:
    def make(stem: Path, plant: Planter) -> Path:
        fields = [f"{name}: {plant()}" for name in ("content", "space", "sample units")]
        fields += [f'labels: "{plant()}" "" ""', f'space units: "{plant()}" "mm" "mm"']
        fields += ["space directions: (1,0,0) (0,1,0) (0,0,1)"]
        keys = (
            "name",
            "patient",
            "modality",
            "ITK_InputFilterName",
            "DWMRI_note",
            "birth date",
            "Segment0_Name",
        )
        fields += [f"{name}:={plant()}" for name in keys]
        return header_files.nrrd(stem.with_suffix(suffix), VOLUME, more="\n".join(fields))

    return make


def dicom(stem: Path, plant: Planter) -> Path:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID, ds.SeriesInstanceUID = CTImageStorage, generate_uid(), "1.2.3"
    ds.Modality, ds.Rows, ds.Columns, ds.SamplesPerPixel = "CT", 16, 24, 1
    ds.PhotometricInterpretation, ds.PixelRepresentation = "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    ds.PixelData = np.zeros((16, 24), np.uint16).tobytes()
    for name in ("PatientName", "PatientID", "OtherPatientNames", "PatientComments", "InstitutionName", "StationName",
                 "InstitutionAddress", "ReferringPhysicianName", "OperatorsName", "StudyDescription", "ImageComments",
                 "SeriesDescription", "ProtocolName", "AccessionNumber", "StudyID", "DeviceSerialNumber"):  # fmt: skip
        setattr(ds, name, plant())
    ds.add_new(0x00090010, "LO", plant())
    ds.add_new(0x00091001, "LO", plant())
    ds.save_as(path := stem.with_suffix(".dcm"), enforce_file_format=True)
    return path


ASCII_TAGS = (269, 270, 271, 272, 285, 305, 306, 315, 316, 337, 32781, 33432, 34737, 42016, 42112, 65000)
"""Document, description, make, model, page, software, date, artist, computer, inks, copyright, GDAL's, private."""


def tiff(**options: Any) -> Maker:
    def make(stem: Path, plant: Planter) -> Path:
        tags = [(code, "s", 0, plant(), True) for code in ASCII_TAGS if code not in (270, 305)]
        tags += [(700, 1, 0, plant.bytes(), True), (33723, 7, 0, plant.bytes(), True)]
        path = stem.with_suffix(".tif")
        tifffile.imwrite(
            path, GREY, metadata=None, description=plant(), software=plant(), extratags=tags, **options
        )
        return path

    return make


def pages(stem: Path, plant: Planter) -> Path:
    """A TIFF of mass cytometry, whose pages are named by their channels."""
    with tifffile.TiffWriter(path := stem.with_suffix(".tif")) as file:
        for _ in range(3):
            tag = (285, "s", 0, plant(), True)
            file.write(GREY, metadata=None, contiguous=False, extratags=[tag], photometric="minisblack")
    return path


def channels_of_scanner(stem: Path, plant: Planter) -> Path:
    """A QPTIFF with a page for each channel."""
    with tifffile.TiffWriter(path := stem.with_suffix(".tif")) as file:
        for _ in range(2):
            fields = "".join(f"<{name}>{plant()}</{name}>" for name in ("Name", "Biomarker", "Operator"))
            text = f"<PerkinElmer-QPI-ImageDescription>{fields}</PerkinElmer-QPI-ImageDescription>"
            file.write(
                GREY, metadata=None, contiguous=False, description=text, software="PerkinElmer-QPI",
                photometric="minisblack", tile=(16, 16),
            )  # fmt: skip
    return path


def slide(stem: Path, plant: Planter) -> Path:
    fields = ("Filename", "User", "Title", "Date", "Time", "ScanScope ID", "Barcode", "Label", "Slide Name")
    head = "Aperio Image Library v11.2.1\r\n24x16 [0,0 24x16] (32x32) JPEG/RGB Q=70|AppMag = 20|MPP = 0.5"
    text = head + "".join(f"|{name} = {plant()}" for name in fields)
    with tifffile.TiffWriter(path := stem.with_suffix(".svs")) as file:
        file.write(COLOR, tile=(32, 32), photometric="rgb", metadata=None, description=text)
        for photo in ("label", "macro"):
            description = f"Aperio Image Library v11.2.1\n{photo} 24x16 {plant()}"
            file.write(COLOR, photometric="rgb", metadata=None, description=description)
    return path


def scanner(software: str, root: str) -> Maker:
    """A TIFF whose description is the XML of a scanner: PerkinElmer, Philips, Leica, Ventana."""

    def make(stem: Path, plant: Planter) -> Path:
        fields = "".join(
            f"<{name}>{plant()}</{name}>" for name in ("Name", "Operator", "Barcode", "SlideID", "Date")
        )
        text = f"<{root} Label='{plant()}'>{fields}</{root}>"
        path = stem.with_suffix(".tif")
        tifffile.imwrite(
            path, COLOR, tile=(32, 32), photometric="rgb", metadata=None, software=software, description=text
        )
        return path

    return make


def ome(stem: Path, plant: Planter) -> Path:
    channels = "".join(
        f'<Channel ID="Channel:0:{i}" Name="{plant()}" Fluor="{plant()}" SamplesPerPixel="1"/>'
        for i in range(2)
    )
    text = f"""<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"
Creator="{plant()}"><Experimenter ID="Experimenter:0" FirstName="{plant()}" LastName="{plant()}" Email="{plant()}"/>
<Image ID="Image:0" Name="{plant()}"><AcquisitionDate>{plant()}</AcquisitionDate><Description>{plant()}</Description>
<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="24" SizeY="16" SizeC="2" SizeZ="1" SizeT="1"
PhysicalSizeX="0.5" PhysicalSizeXUnit="{plant()}">{channels}<TiffData IFD="0" PlaneCount="2"/></Pixels></Image></OME>"""
    tifffile.imwrite(path := stem.with_suffix(".ome.tif"), np.stack([GREY] * 2), description=text, metadata=None,
                     photometric="minisblack")  # fmt: skip
    return path


def imagej(stem: Path, plant: Planter) -> Path:
    more = {
        "axes": "CYX",
        "unit": plant(),
        "Info": plant(),
        "Labels": [plant(), plant()],
        "Property": plant(),
    }
    tifffile.imwrite(path := stem.with_suffix(".tif"), np.stack([GREY] * 2), imagej=True, metadata=more)
    return path


def folder(stem: Path, plant: Planter) -> Path:
    (place := stem.with_name(plant())).mkdir()
    for name in (f"{plant()}_1", f"{plant()}_2"):
        tifffile.imwrite(place / f"{name}.tif", GREY, description=plant(), metadata=None)
    return place


def exif(plant: Planter) -> Image.Exif:
    made = Image.Exif()
    for code in (270, 271, 272, 305, 306, 315, 316, 33432, 40093):
        made[code] = plant()
    return made


def png(size: int) -> Maker:
    def make(stem: Path, plant: Planter) -> Path:
        info = PngImagePlugin.PngInfo()
        for name in ("Title", "Author", "Comment", "Creation Time"):
            info.add_text(name, plant())
        info.add_itxt("Description", plant(), zip=True)
        image = Image.fromarray(GREY if size == 8 else GREY.astype(np.uint16))
        image.save(path := stem.with_suffix(".png"), pnginfo=info, exif=exif(plant))
        return path

    return make


def picture(suffix: str, *names: str) -> Maker:
    def make(stem: Path, plant: Planter) -> Path:
        more: dict[str, Any] = {name: plant.bytes() for name in names}
        if suffix in (".jpg", ".webp", ".avif"):
            more["exif"] = exif(plant)
        Image.fromarray(COLOR).save(path := stem.with_suffix(suffix), **more)
        return path

    return make


def pnm(stem: Path, plant: Planter) -> Path:
    path = stem.with_suffix(".pgm")
    path.write_bytes(f"P5\n# {plant()}\n24 16\n255\n".encode() + GREY.tobytes())
    return path


def targa(stem: Path, plant: Planter) -> Path:
    name = plant.bytes()
    head = struct.pack("<BBBHHBHHHHBB", len(name), 0, 3, 0, 0, 0, 0, 0, 24, 16, 8, 0)
    stem.with_suffix(".tga").write_bytes(head + name + GREY.tobytes())
    return stem.with_suffix(".tga")


def zipped(maker: Maker, suffix: str) -> Maker:
    def make(stem: Path, plant: Planter) -> Path:
        path = maker(stem, plant)
        found = path.with_name(path.name + suffix)
        found.write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        return found

    return make


MAKERS: dict[str, Maker] = {
    "NIfTI-1": nifti(nibabel.Nifti1Image, ".nii"), "NIfTI-2": nifti(nibabel.Nifti2Image, ".nii"),
    "NIfTI in gzip": nifti(nibabel.Nifti1Image, ".nii.gz"), "NIfTI pair": nifti(nibabel.Nifti1Pair, ".img"),
    "Analyze": nifti(nibabel.Spm99AnalyzeImage, ".img"), "AFNI": afni, "ECAT": ecat, "PAR/REC": par, "MINC 1": minc1,
    "MINC 2": minc2, "MetaImage": metaimage(".mha"), "MetaImage header": metaimage(".mhd"), "NRRD": nrrd(".nrrd"),
    "NRRD header": nrrd(".nhdr"), "DICOM": dicom, "TIFF": tiff(), "BigTIFF": tiff(bigtiff=True), "SVS": slide,
    "QPTIFF": scanner("PerkinElmer-QPI", "PerkinElmer-QPI-ImageDescription"),
    "TIFF of named pages": pages, "QPTIFF of channels": channels_of_scanner,
    "Philips TIFF": scanner("Philips DP v1.0", "DataObject"), "XML in TIFF": scanner("Scanner", "iScan"),
    "OME-TIFF": ome, "ImageJ": imagej, "folder of TIFFs": folder, "PNG": png(8), "PNG of 16 bits": png(16),
    "JPEG": picture(".jpg", "comment", "xmp"), "WebP": picture(".webp", "xmp"), "GIF": picture(".gif", "comment"),
    "JPEG 2000": picture(".jp2", "comment"), "AVIF": picture(".avif", "xmp"), "PNM": pnm, "Targa": targa,
}  # fmt: skip


def planted_in(place: Path) -> set[bytes]:
    """Return what was planted of all that the files at ``place`` hold, and of their names within it."""
    files = [path for path in place.rglob("*") if path.is_file()] if place.is_dir() else [place]
    names = [str(path.relative_to(place)).encode() for path in files if path != place]
    return {
        value
        for content in (*names, *(path.read_bytes() for path in files))
        for value in PLANTED.findall(content)
    }


def made(maker: Maker, tmp_path: Path) -> tuple[Path, Planter]:
    plant = Planter()
    (place := tmp_path / plant()).mkdir()
    return maker(place / plant(), plant), plant


def test_enough_is_planted(tmp_path: Path) -> None:
    count = 0
    for number, maker in enumerate(MAKERS.values()):
        (tmp_path / str(number)).mkdir()
        path, plant = made(maker, tmp_path / str(number))
        said = b"".join(each.read_bytes() for each in path.parent.rglob("*") if each.is_file())
        assert plant.values[2].encode() in said or path.is_dir() or path.suffix in (".gz", ".avif"), path
        count += len(plant.values)
    assert count >= 300
    assert len(MAKERS) >= 24


@pytest.mark.parametrize("name", MAKERS)
def test_nothing_planted_gets_out(name: str, tmp_path: Path) -> None:
    path, _ = made(MAKERS[name], tmp_path)
    img = bigimg.open(path)
    store = tmp_path / "a.ome.zarr"
    bigimg.convert(path, store, progress=False)
    bigimg.convert(img, tmp_path / "of_array.ome.zarr", progress=False)
    bigimg.convert(store, tmp_path / "old.ome.zarr", ome_version="0.4", progress=False)
    for kind in (".nii", ".ome.tif", ".tif", ".nrrd", ".mha", ".npy"):
        bigimg.export(path, tmp_path / f"a{kind}")
        bigimg.export(store, tmp_path / f"b{kind}")
    for file in tmp_path.iterdir():
        if not PLANTED.search(file.name.encode()):
            assert not planted_in(file), file.name
    # The path that was given is an attribute, so that nothing is written over it; it tells nobody more than was typed.
    img.attrs = {key: value for key, value in img.attrs.items() if value != str(path)}
    assert not PLANTED.search((img._repr_html_() + repr(img)).encode())
    img.to_dataset(name="image").to_zarr(tmp_path / "x.zarr", zarr_format=2, consolidated=False)
    assert not planted_in(tmp_path / "x.zarr")


FIELDS = {name: maker for name, maker in MAKERS.items() if name not in ("PNM", "Targa")}
"""Formats whose fields are read; the comments of PNM and Targa are not."""


@pytest.mark.parametrize("name", FIELDS)
def test_fields_are_kept_if_asked_for(name: str, tmp_path: Path) -> None:
    path, _ = made(FIELDS[name], tmp_path)
    plan = bigimg.plan(path, tmp_path / "a.ome.zarr", keep_metadata=True, probe=False)
    assert any(re.fullmatch(r"kept: \d+ fields? that may tell who was imaged", note) for note in plan.notes)
    bigimg.convert(path, tmp_path / "a.ome.zarr", keep_metadata=True, progress=False)
    bigimg.convert(bigimg.open(path), tmp_path / "b.ome.zarr", keep_metadata=True, progress=False)
    kept = json.loads((tmp_path / "a.ome.zarr" / "zarr.json").read_text())["attributes"]["bigimg"]["meta"]
    meta = json.loads(json.dumps(dict(bigimg.open(path).bigimg.meta)))
    assert PLANTED.search(json.dumps(kept).encode())
    for key in meta.keys() - {"ChannelNames"}:
        assert key in kept, key
    assert planted_in(tmp_path / "b.ome.zarr" / "zarr.json") == planted_in(
        tmp_path / "a.ome.zarr" / "zarr.json"
    )


def test_channels_are_named_again_if_asked_for(tmp_path: Path) -> None:
    path, _ = made(ome, tmp_path)
    assert bigimg.open(path).bigimg.channels == ("Channel 0", "Channel 1")
    tree = bigimg.convert(path, tmp_path / "a.ome.zarr", keep_metadata=True, progress=False)
    assert all(PLANTED.fullmatch(name.encode()) for name in tree.bigimg.level(0).bigimg.channels)
    tree = bigimg.convert(path, tmp_path / "b.ome.zarr", channels=["Ann", "Bob"], progress=False)
    assert tree.bigimg.level(0).bigimg.channels == ("Ann", "Bob")


@pytest.mark.parametrize(
    "name",
    ["DAPI", "GFP", "Alexa Fluor 488", "Cy5", "far red", "CD45", "Ki-67(Er168Di)", "Er168", "191Ir_DNA1", "HH3",
     "dsDNA", "Opal 520", "C0", "Ch1-T1", "Channel 3", "405nm", "panCK", "Autofluorescence", "Hoechst 33342", "mCherry",
     "PD-L1", "R", "H&E", "Coef", "F-stat", "TL Brightfield", "FOXP3", "ArAr80", "Na23", "CD8a", "WGA-647",
     "CD45RA(Er166Di)", "HLA-DR", "FoxP3", "pan-CK", "Collagen Type I", "GranzymeB", "BetaCatenin", "TexasRed", "Cb",
     "AlexaFluor488", "Hoechst33342", "Ch2GaAsP-T2", "T-PMT", "iNOS", "Na/K ATPase", "TIM-3", "141Pr_SMA"],
)  # fmt: skip
def test_known_channels_keep_their_names(name: str) -> None:
    assert known_channels([Channel(name)]) == ((Channel(name),), {})


@pytest.mark.parametrize(
    "name",
    [
        "Doe Jane",
        "DAPI Doe",
        "doe_jane_1.tif",
        "2023-11-07 Smith",
        "Patient 12",
        "1975-03-04",
        "04.03.75",
        "DoeJane",
    ],
)
def test_other_names_are_numbers(name: str) -> None:
    assert known_channels([Channel(name, "FF0000")]) == (
        (Channel("Channel 0", "FF0000"),),
        {"ChannelNames": [name]},
    )


def test_the_provenance_knows_the_source_by_its_digest(tmp_path: Path) -> None:
    path, _ = made(MAKERS["TIFF"], tmp_path)
    for kept in (False, True):
        store = tmp_path / f"{kept}.ome.zarr"
        bigimg.convert(path, store, keep_metadata=kept, progress=False)
        said = json.loads((store / "bigimg" / "provenance" / "zarr.json").read_text())["attributes"]
        assert said["source"] == (path.name if kept else None)
        assert said["digest"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (said["digest"]["bytes"], said["digest"]["of"]) == (path.stat().st_size, "all bytes")


def test_texts_of_a_nifti_are_exported_if_asked_for(tmp_path: Path) -> None:
    path, _ = made(MAKERS["NIfTI-1"], tmp_path)
    done = bigimg.export(path, tmp_path / "a.nii")
    assert (
        "left out: descrip, aux_file, intent_name; keep_metadata=True writes them" in done.plan.layout.notes
    )
    bigimg.export(path, tmp_path / "b.nii", keep_metadata=True)
    theirs, ours = (nibabel.load(each).header for each in (path, tmp_path / "b.nii"))
    for name in ("descrip", "aux_file", "intent_name"):
        assert ours[name] == theirs[name]
    with pytest.raises(UsageError, match="is an option of NIfTI, not of PNG"):
        bigimg.export(GREY, tmp_path / "a.png", keep_metadata=True)


def test_the_label_of_a_slide_is_not_converted_unless_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    head = "Aperio Image Library v11.2.1\r\n24x16 [0,0 24x16] (32x32) JPEG/RGB Q=70"
    with tifffile.TiffWriter(path) as file:
        file.write(
            np.zeros((64, 96, 3), np.uint8), photometric="rgb", metadata=None, description=head, tile=(32, 32)
        )
        for value, text in enumerate(("Aperio\nthumbnail", "Aperio\nlabel 24x16", "Aperio\nmacro 24x16"), 1):
            small = np.full((16 + value, 24, 3), value, np.uint8)
            file.write(
                small, photometric="rgb", metadata=None, description=text, subfiletype=9 if value == 3 else 1
            )
    tree = bigimg.convert(path, tmp_path / "a.ome.zarr", progress=False)
    assert int(tree.bigimg.level(0).max()) == 0
    assert int(bigimg.open(path, series="Label").max()) == 2
