"""Small slides by hand, as OpenSlide's notes on the formats describe them: MRXS, BIF and VMS."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from bigimg.types import Array

ID = "0123456789abcdef0123456789abcdef"


def mrxs(
    folder: Path, images: Array, *, overlap: int = 0, absent: Sequence[int] = (), fill: int = 0xFFFFFF
) -> Path:
    """Write an MRXS of two levels from images of shape (rows, columns, y, x, 3), but for those ``absent``."""
    down, across, height, width = images.shape[:4]
    inside = folder / "a"
    inside.mkdir()
    data, levels = bytearray(b"\0" * 16), list[list[tuple[int, int, int]]]()
    for factor in (1, 2):
        records = []
        for row in range(0, down, factor):
            for column in range(0, across, factor):
                if factor == 1 and row * across + column in absent:
                    continue
                made = np.zeros((height, width, 3), np.uint8)
                for i, j in np.ndindex(factor, factor):
                    if row + i < down and column + j < across:
                        small = images[row + i, column + j, ::factor, ::factor]
                        made[i * height // 2 : i * height // 2 + len(small), j * width // 2 :][
                            :, : small.shape[1]
                        ] = small
                coded = BytesIO()
                Image.fromarray(made).save(coded, "PNG")
                records.append((row * across + column, len(data), len(coded.getvalue())))
                data += coded.getvalue()
        levels.append(records)
    head = b"01.02" + ID.encode()
    roots = len(head) + 8
    lists, pages, at = b"", b"", roots + 8
    table = struct.pack("<2i", at, at + 8)  # where the list of each level begins
    at += 16
    for records in levels:
        lists += struct.pack("<2i", 0, at + len(pages))
        pages += struct.pack("<2i", len(records), 0)
        pages += b"".join(struct.pack("<4i", *record, 0) for record in records)
    (inside / "Index.dat").write_bytes(head + struct.pack("<2i", roots, roots) + table + lists + pages)
    (inside / "Data0000.dat").write_bytes(data)
    sections = "".join(
        f"[LEVEL_{i}]\nIMAGE_CONCAT_FACTOR = {i}\nOVERLAP_X = {overlap}\nOVERLAP_Y = {overlap}\n"
        f"MICROMETER_PER_PIXEL_X = {0.25 * 2**i}\nMICROMETER_PER_PIXEL_Y = {0.25 * 2**i}\n"
        f"IMAGE_FILL_COLOR_BGR = {fill}\nDIGITIZER_WIDTH = {width}\nDIGITIZER_HEIGHT = {height}\nIMAGE_FORMAT = PNG\n"
        for i in range(2)
    )
    (inside / "Slidedat.ini").write_text(
        f"[GENERAL]\nSLIDE_VERSION = 01.02\nSLIDE_ID = {ID}\nSLIDE_NAME = Roe Jane\nIMAGENUMBER_X = {across}\n"
        f"IMAGENUMBER_Y = {down}\nOBJECTIVE_MAGNIFICATION = 20\nCameraImageDivisionsPerSide = 1\n"
        "[HIERARCHICAL]\nHIER_COUNT = 1\nNONHIER_COUNT = 0\nINDEXFILE = Index.dat\nHIER_0_NAME = Slide zoom level\n"
        "HIER_0_COUNT = 2\nHIER_0_VAL_0_SECTION = LEVEL_0\nHIER_0_VAL_1_SECTION = LEVEL_1\n"
        f"[DATAFILE]\nFILE_COUNT = 1\nFILE_0 = Data0000.dat\n{sections}"
    )
    Image.fromarray(images[0, 0]).save(folder / "a.mrxs", "JPEG")  # a picture for the file manager
    return folder / "a.mrxs"


def bif(path: Path, images: Array, *, overlap: int = 0) -> Path:
    """Write a Ventana BIF of one level from tiles of shape (rows, columns, y, x, 3)."""
    down, across, height, width = images.shape[:4]
    plain = images.swapaxes(1, 2).reshape(down * height, across * width, 3)
    joints = []
    number = {}  # rows are numbered from bottom to top, and run to and fro
    for row in range(down):
        for column in range(across):
            from_below = down - 1 - row
            number[row, column] = (
                from_below * across + (across - 1 - column if from_below % 2 else column) + 1
            )
    for row, column in number:
        if column + 1 < across:
            joints.append(("RIGHT", number[row, column], number[row, column + 1], overlap, 0))
        if row:
            joints.append(("UP", number[row, column], number[row - 1, column], 0, overlap))
    joined = "".join(
        f'<TileJointInfo FlagJoined="1" Confidence="99" Direction="{way}" Tile1="{a}" Tile2="{b}" OverlapX="{x}" '
        f'OverlapY="{y}"/>'
        for way, a, b, x, y in joints
    )
    info = (
        f'<EncodeInfo Ver="2"><SlideStitchInfo><ImageInfo AOIScanned="1" AOIIndex="0" Width="{width}" '
        f'Height="{height}" NumCols="{across}" NumRows="{down}" Pos-X="0" Pos-Y="0">{joined}</ImageInfo>'
        "</SlideStitchInfo>"
        '<AoiOrigin><AOI0 OriginX="0" OriginY="0"/></AoiOrigin></EncodeInfo>'
    )
    scan = '<iScan Magnification="20" ScanRes="0.465" Z-layers="1" UnitNumber="1" UserName="Roe Jane"/>'
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        packet = scan.encode()
        file.write(
            np.zeros((32, 24, 3), np.uint8), photometric="rgb", description="Label Image", metadata=None,
            extratags=[(700, 1, len(packet), packet, True)],
        )  # fmt: skip
        packet = info.encode()
        file.write(
            plain, photometric="rgb", tile=(height, width), compression="deflate",
            description="level=0 mag=20 quality=95", metadata=None, extratags=[(700, 1, len(packet), packet, True)],
        )  # fmt: skip
    return path


def vms(folder: Path, pixels: Array) -> Path:
    """Write a Hamamatsu VMS of one JPEG with marks at each of its rows of blocks, and its map."""
    # (4:2:0 would be no VMS: OpenSlide takes each run between two marks for a picture of its own.)
    Image.fromarray(pixels).save(folder / "image.jpg", quality=95, subsampling=0, restart_marker_blocks=8)
    Image.fromarray(pixels[::8, ::8]).save(
        folder / "map.jpg", quality=95, subsampling=0, restart_marker_blocks=1
    )
    height, width = pixels.shape[:2]
    (folder / "a.vms").write_text(
        "[Virtual Microscope Specimen]\nNoLayers=1\nNoJpegColumns=1\nNoJpegRows=1\nImageFile=image.jpg\n"
        f"MapFile=map.jpg\nMacroImage=map.jpg\nOptimisationFile=\nPhysicalWidth={width * 250}\n"
        f"PhysicalHeight={height * 250}\nSourceLens=20\nReference=S21-1234\n"
    )
    return folder / "a.vms"
