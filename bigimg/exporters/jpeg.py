"""JPEG of one plane, grey or RGB of 8 bits, by libvips from a stream.

libvips takes a stream only as a file format, so the rows go through a pipe as a PNG without compression. The
calling thread writes into the pipe, so that Ctrl-C is heard; another one encodes.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from bigimg.errors import OutputError, UsageError
from bigimg.exporters.layout import Asked, Layout, Slabs, refuse_options
from bigimg.exporters.png import GREY, RGB, color_type, plane_order, write_png
from bigimg.geometry.spec import ImageSpec

LONGEST = 65500
"""Pixels a side that libjpeg writes."""
QUALITY = 90
"""When nothing is asked: no artefacts that an eye finds, about 10:1."""
VIPS_BYTES = 24 << 20
"""libvips, its threads and its lines, measured."""


def lay_out(levels: Sequence[ImageSpec], target: Path, asked: Asked) -> Layout:
    """Return how a JPEG holds the plane.

    Raises
    ------
    UsageError
        Other than 8 bits, more than one plane, channels other than grey or RGB, or a side too long.
    """
    import pyvips  # noqa: F401  # it is there before memory is planned

    refuse_options(asked, "JPEG", "quality")
    spec = levels[0]
    order = plane_order(spec, target, "JPEG")
    if spec.dtype != np.uint8:
        raise UsageError(
            f"{target}: JPEG holds 8 bits a value, not {spec.dtype}: write .png or .tif, which keep it, or take bigimg "
            "slice for a picture to look at"
        )
    if color_type(spec, target, "JPEG") not in (GREY, RGB):
        raise UsageError(f"{target}: JPEG has no alpha: write .png or .tif")
    if max(spec.shape[spec.axis(name)] for name in "yx") > LONGEST:
        raise UsageError(
            f"{target}: a side is longer than the {LONGEST} pixels of a JPEG: write .png or .tif"
        )
    quality = QUALITY if asked.quality is None else asked.quality
    if not 1 <= quality <= 100:
        raise UsageError(f"{target}: quality {quality}: give 1 to 100")
    row = spec.nbytes // spec.shape[spec.axis("y")]
    return Layout(
        order, spec.dtype, encode=functools.partial(_encode, target=target, quality=quality),
        encode_bytes=VIPS_BYTES + 600 * row + (16 << 20),
        notes=("JPEG changes values, and keeps neither spacing nor geometry",),
    )  # fmt: skip


def _encode(levels: Sequence[Slabs], file: IO[bytes], *, target: Path, quality: int) -> None:
    """Write rows into a pipe that libvips reads at the other end."""
    import pyvips

    reading, writing = os.pipe()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            source = pyvips.Source.new_from_descriptor(reading)
            image = pyvips.Image.new_from_source(source, "", access="sequential", fail_on="truncated")
            image.jpegsave_target(pyvips.Target.new_to_descriptor(file.fileno()), Q=quality)
        except pyvips.Error as error:
            failed.append(error)
        finally:
            os.close(reading)

    thread = threading.Thread(target=work, name="bigimg-jpeg")
    thread.start()
    try:
        with open(writing, "wb", buffering=1 << 20) as pipe:
            write_png(levels, pipe, target=target, compress=False)
    except BrokenPipeError:
        pass  # libvips has given up, and says why
    finally:
        thread.join()
    if failed:
        said = " ".join(str(failed[0]).split())
        raise OutputError(f"{target}: libvips cannot write it ({said}); check the disk, or write .png")
