"""Write files as microscopes and scanners write them, of any size: numbers that are known, nobody's data.

CZI comes from the writer of Zeiss (pylibCZIrw), Imaris from h5py, DICOM from pydicom, SVS from tifffile; LIF and MRC
are written by hand; ND2 is a real file whose frames are replaced, and is made only where that file is.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

ZSTD = "zstd1:ExplicitLevel=2;PreProcess=HiLoByteUnpack"
CLUSTER = "cluster.nd2"


def ramp(height: int, width: int, step: int, *, y: int = 0, most: int = 4000) -> np.ndarray:
    """Return uint16 pixels that tell their place: 3 a column, 7 a row, and ``step``."""
    rows, columns = np.arange(y, y + height)[:, None] * 7, np.arange(width)[None] * 3
    return ((rows + columns + step) % most).astype(np.uint16)


def cells(height: int, width: int, number: int) -> np.ndarray:
    """Return uint16 pixels of waves and the noise of a camera."""
    rng = np.random.default_rng(number)
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]
    waves = 2000 + 1500 * np.sin((y + number * 37) / 90) * np.cos((x - number * 11) / 70)
    return (waves + rng.normal(0, 30, (height, width))).astype(np.uint16)


def czi_mosaic(path: Path, side: int, count: int, *, overlap: int = 0, codec: str = ZSTD) -> None:
    """Write ``count`` x ``count`` tiles of ``side`` pixels, later ones over earlier ones."""
    from pylibCZIrw import czi

    with czi.create_czi(str(path), exist_ok=True) as file:
        for number in range(count * count):
            row, column = divmod(number, count)
            place = (column * (side - overlap), row * (side - overlap))
            file.write(
                cells(side, side, number)[..., None], location=place, plane={"C": 0, "Z": 0, "T": 0}, scene=0,
                compression_options=codec,
            )  # fmt: skip
        file.write_metadata(
            "made", channel_names={0: "DAPI"}, scale_x=0.325e-6, scale_y=0.325e-6, scale_z=1e-6
        )


def czi_stack(path: Path, side: int, sizes: tuple[int, int, int], *, codec: str = ZSTD) -> None:
    """Write planes of ``side`` pixels along t, c and z."""
    from pylibCZIrw import czi

    with czi.create_czi(str(path), exist_ok=True) as file:
        for t, c, z in np.ndindex(sizes):
            pixels = cells(side, side, t + c + z)[..., None]
            file.write(pixels, plane={"C": c, "Z": z, "T": t}, compression_options=codec)
        names = {c: ("DAPI", "GFP")[c % 2] for c in range(sizes[1])}
        file.write_metadata("made", channel_names=names, scale_x=1e-6, scale_y=1e-6, scale_z=2e-6)


def lif(path: Path, shape: tuple[int, int, int, int, int]) -> None:
    """Write uint16 pixels of ``shape`` (t, z, c, y, x), as they lie in the file."""
    times, depth, channels, height, width = shape
    plane = height * width * 2
    luts = ("Green", "Red", "Blue", "Gray")
    described = "".join(
        f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" NameOfMeasuredQuantity="" Min="0" Max="1" '
        f'Unit="" LUTName="{luts[c % 4]}" IsLUTInverted="0" BytesInc="{c * plane}" BitInc="0"/>'
        for c in range(channels)
    )
    axes = (
        (1, width, 0.2e-6, "m", 2), (2, height, 0.2e-6, "m", 2 * width), (3, depth, 1e-6, "m", plane * channels),
        (4, times, 2.0, "s", plane * channels * depth),
    )  # fmt: skip
    sizes = "".join(
        f'<DimensionDescription DimID="{number}" NumberOfElements="{size}" Origin="0" Length="{(size - 1) * step}" '
        f'Unit="{unit}" BitInc="0" BytesInc="{apart}"/>'
        for number, size, step, unit, apart in axes
        if size > 1
    )
    total = plane * channels * depth * times
    image = f"<Channels>{described}</Channels><Dimensions>{sizes}</Dimensions>"
    header = (
        '<LMSDataContainerHeader Version="2"><Element Name="made" UniqueID="a"><Data><Experiment/></Data>'
        '<Memory Size="0" MemoryBlockID="MemBlock_0"/><Children><Element Name="Series001" UniqueID="b"><Data><Image>'
        f'<ImageDescription>{image}</ImageDescription></Image></Data><Memory Size="{total}" '
        'MemoryBlockID="MemBlock_1"/></Element></Children></Element></LMSDataContainerHeader>'
    )
    with path.open("wb") as file:
        text = header.encode("utf-16-le")
        file.write(struct.pack("<iiBi", 0x70, len(text) + 5, 0x2A, len(header)) + text)
        for name, size in (("MemBlock_0", 0), ("MemBlock_1", total)):
            text = name.encode("utf-16-le")
            file.write(struct.pack("<iiBQBi", 0x70, 14 + len(text), 0x2A, size, 0x2A, len(name)) + text)
        for t, z, c in np.ndindex(times, depth, channels):
            for y in range(0, height, 512):
                rows = ramp(min(512, height - y), width, z * 101 + c * 1009 + t * 31, y=y, most=60000)
                file.write(rows.tobytes())


def imaris(
    path: Path, shape: tuple[int, int, int, int, int], *, chunks: tuple[int, int, int] = (8, 256, 256),
    levels: int = 3, packing: dict[str, object] | None = None,
) -> None:  # fmt: skip
    """Write uint16 pixels of ``shape`` (t, c, z, y, x) and coarser levels, padded to whole chunks."""
    import h5py

    times, channels, *sizes = shape
    rng = np.random.default_rng(0)

    def letters(value: object) -> np.ndarray:
        return np.frombuffer(str(value).encode(), "S1")

    with h5py.File(path, "w") as file:
        for name, text in (("ImarisDataSet", "ImarisDataSet"), ("DataSetDirectoryName", "DataSet"),
                           ("DataSetInfoDirectoryName", "DataSetInfo"), ("ImarisVersion", "5.5.0")):  # fmt: skip
            file.attrs[name] = letters(text)
        file.attrs["NumberOfDataSets"] = np.array([1], "u4")
        image = file.create_group("DataSetInfo/Image")
        ends = {
            f"ExtMax{i}": n * step
            for i, (n, step) in enumerate(zip(sizes[::-1], (0.3, 0.3, 2.0), strict=True))
        }
        starts = {f"ExtMin{i}": 0 for i in range(3)}
        for name, value in {**dict(zip("ZYX", sizes, strict=True)), **starts, **ends, "Unit": "um"}.items():
            image.attrs[name] = letters(value)
        for c in range(channels):
            group = file.create_group(f"DataSetInfo/Channel {c}")
            for name, value in {
                "Name": ("DAPI", "GFP")[c % 2],
                "Color": "0.000 1.000 0.000",
                "ColorRange": "0 1000",
            }.items():
                group.attrs[name] = letters(value)
        moments = file.create_group("DataSetInfo/TimeInfo")
        moments.attrs["FileTimePoints"] = letters(times)
        for t in range(times):
            moments.attrs[f"TimePoint{t + 1}"] = letters(f"2020-01-01 10:00:{t * 10:02d}.000")
        for level, t, c in np.ndindex(levels, times, channels):
            depth, height, width = (max(1, n >> level) for n in sizes)
            group = file.create_group(f"DataSet/ResolutionLevel {level}/TimePoint {t}/Channel {c}")
            for name, size in (("ImageSizeZ", depth), ("ImageSizeY", height), ("ImageSizeX", width)):
                group.attrs[name] = letters(size)
            padded = [-(-n // chunk) * chunk for n, chunk in zip((depth, height, width), chunks, strict=True)]
            options = {"compression": "gzip", "compression_opts": 2} if packing is None else packing
            data = group.create_dataset("Data", padded, "u2", chunks=chunks, **options)
            for z in range(0, depth, chunks[0]):
                slab = np.zeros((chunks[0], *padded[1:]), np.uint16)
                for k in range(min(chunks[0], depth - z)):
                    plane = ramp(height, width, (z + k) * 101 + c * 1009 + t * 31)
                    slab[k, :height, :width] = plane + rng.integers(0, 8, plane.shape, dtype=np.uint16)
                data[z : z + chunks[0]] = slab


def mrc(path: Path, planes: Iterator[np.ndarray], depth: int) -> None:
    """Write int16 planes as a map of 8.4 angstrom a voxel."""
    with path.open("wb") as file:
        for z, plane in enumerate(planes):
            if z == 0:
                height, width = plane.shape
                sizes = (width, height, depth)
                header = struct.pack("<4i3i3i3f3f3i", *sizes, 1, 0, 0, 0, *sizes, *(8.4 * n for n in sizes),
                                     90, 90, 90, 1, 2, 3)  # fmt: skip
                header = header.ljust(108, b"\0") + struct.pack("<i", 20140)
                file.write((header.ljust(208, b"\0") + b"MAP " + b"\x44\x44\0\0").ljust(1024, b"\0"))
            file.write(plane.astype("<i2").tobytes())


def dicom_slide(path: Path, tiles: Iterator[np.ndarray], across: int, down: int) -> None:
    """Write RGB tiles as a whole slide in JPEG, all tiles, row by row; tiles that repeat are coded once."""
    import imagecodecs
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate_extended
    from pydicom.uid import JPEGBaseline8Bit, VLWholeSlideMicroscopyImageStorage

    known: dict[bytes, bytes] = {}
    frames: list[bytes] = []
    for tile in tiles:
        side = tile.shape[0]
        head = tile[:2].tobytes()
        if head not in known:
            known[head] = bytes(imagecodecs.jpeg8_encode(tile, level=85, subsampling="422"))
        frames.append(known[head])
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
    made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.6"
    made.InstanceNumber, made.Modality, made.Manufacturer = 1, "SM", "made"
    made.ContainerIdentifier, made.PatientName, made.PatientID = "made", "made", "made"
    made.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    made.TotalPixelMatrixRows, made.TotalPixelMatrixColumns = side * down, side * across
    made.TotalPixelMatrixFocalPlanes, made.NumberOfOpticalPaths = 1, 1
    made.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    made.ImagedVolumeWidth, made.ImagedVolumeHeight = side * across * 0.0005, side * down * 0.0005
    made.Rows, made.Columns, made.NumberOfFrames = side, side, len(frames)
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "YBR_FULL_422", 0
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.LossyImageCompression = "01"
    origin, light, measures, shared = Dataset(), Dataset(), Dataset(), Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = "20", "40"
    made.TotalPixelMatrixOriginSequence = [origin]
    light.OpticalPathIdentifier, light.ObjectiveLensPower = "0", 20
    made.OpticalPathSequence = [light]
    measures.PixelSpacing, measures.SliceThickness = [0.0005, 0.0005], "0.001"
    shared.PixelMeasuresSequence = [measures]
    made.SharedFunctionalGroupsSequence = [shared]
    made.DimensionOrganizationType = "TILED_FULL"
    data, made.ExtendedOffsetTable, made.ExtendedOffsetTableLengths = encapsulate_extended(frames)
    made.add_new(0x7FE00010, "OB", data)
    made["PixelData"].is_undefined_length = True
    made.save_as(path, enforce_file_format=True)


def svs(path: Path, tiles: Callable[[], Iterator[np.ndarray]], side: int, tile: int) -> None:
    """Write RGB tiles of a square slide as Aperio does: JPEG, the pixel size in the description."""
    import tifffile

    words = f"Aperio Image Library v11.2.1 \r\n{side}x{side} [0,0 {side}x{side}] JPEG/RGB Q=70|AppMag = 20|MPP = 0.499"
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        tif.write(
            tiles(), shape=(side, side, 3), dtype=np.uint8, tile=(tile, tile), photometric="rgb",
            compression="jpeg", compressionargs={"level": 70}, description=words, metadata=None, software=None,
        )  # fmt: skip


def cluster() -> Path | None:
    """Return the real ND2 that lies beside the real images, or None."""
    given = os.environ.get("BIGIMG_TEST_DATA")
    roots = [Path(given).parent] if given else []
    roots += [parent / "shared" for parent in Path(__file__).resolve().parents]
    return next((place for root in roots if (place := root / "vendor" / CLUSTER).is_file()), None)


def nd2(path: Path, height: int, width: int, *, packed: bool = False) -> None:
    """Write the real ND2 with other frames: 2 channels of ``height`` x ``width``; 3 times of 10 planes.

    Raises
    ------
    FileNotFoundError
        The real file is not here.
    """
    place = cluster()
    if place is None:
        raise FileNotFoundError(f"{CLUSTER}, a real ND2, is not beside the real images")
    source = place.read_bytes()
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!"
    (where,) = struct.unpack("<Q", source[-8:])

    def chunk(at: int) -> tuple[bytes, bytes]:
        _, room, size = struct.unpack_from("<IIQ", source, at)
        return source[at + 16 : at + 16 + room], source[at + 16 + room : at + 16 + room + size]

    table, at, entries = chunk(where)[1], 0, []
    while (name := table[at : table.index(b"!", at) + 1]) != end:
        entries.append((name, *struct.unpack_from("<QQ", table, at + len(name))))
        at += len(name) + 16
    rng = np.random.default_rng(0)
    written: list[tuple[bytes, int, int]] = []
    with path.open("wb") as file:

        def put(name: bytes, data: bytes, key: bytes = b"") -> None:
            written.append((key or name, file.tell(), len(data)))
            file.write(struct.pack("<IIQ", 0x0ABECEDA, len(name), len(data)) + name + data)
            file.write(b"\0" * (-file.tell() % 4096))

        put(*chunk(0))
        for key, at, _ in entries:
            if at == 0:
                continue
            name, data = chunk(at)
            if key.startswith(b"ImageDataSeq"):
                number = int(key.split(b"|")[1][:-1])
                first = ramp(height, width, number * 101)
                pixels = np.stack([first, first + 1000], axis=-1)
                pixels += rng.integers(0, 16, pixels.shape, dtype=np.uint16)
                plain = pixels.tobytes()
                data = data[:8] + (zlib.compress(plain, 1) if packed else plain)
            elif key.startswith(b"ImageAttributesLV"):
                changed = {"uiWidth": width, "uiHeight": height, "uiWidthBytes": width * 4, "uiTileWidth": width,
                           "uiTileHeight": height, **({"eCompression": 0} if packed else {})}  # fmt: skip
                data = _changed(data, changed)
            put(name, data, key)
        table = b"".join(name + struct.pack("<QQ", *place) for name, *place in written)
        table += end + struct.pack("<Q", file.tell())
        name = b"ND2 FILEMAP SIGNATURE NAME 0001!"
        file.write(struct.pack("<IIQ", 0x0ABECEDA, len(name), len(table)) + name + table)


def _changed(data: bytes, numbers: dict[str, int]) -> bytes:
    """Return attributes of an ND2 with other numbers; names are UTF-16, the number of 32 bits follows."""
    made = bytearray(data)
    for name, value in numbers.items():
        key = name.encode("utf-16-le") + b"\0\0"
        struct.pack_into("<i", made, made.index(key) + len(key), value)
    return bytes(made)


def many_tiffs(folder: Path, sizes: Sequence[int], side: int) -> None:
    """Write ``img_t0000_c0_z000.tif`` and so on of ``sizes`` (t, c, z), uint16 of ``side`` pixels."""
    import tifffile

    folder.mkdir()
    pool = [cells(side, side, number) for number in range(32)]
    for number, (t, c, z) in enumerate(np.ndindex(tuple(sizes))):
        tifffile.imwrite(folder / f"img_t{t:04}_c{c}_z{z:03}.tif", pool[number % 32], metadata=None)
