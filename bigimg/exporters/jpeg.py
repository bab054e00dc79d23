"""Export to JPEG: one plane, grey or RGB of 8 bits, encoded by libvips from a stream.

libvips reads a stream only in a file format, so the rows go through a pipe as an uncompressed PNG. The calling thread
writes into the pipe, so that Ctrl-C stops it; another thread encodes.
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
from bigimg.exporters.layout import Layout, Slabs
from bigimg.exporters.png import GREY, RGB, color_type, plane_order, write_png
from bigimg.geometry.spec import ImageSpec

LONGEST = 65500
"""Pixels a side that libjpeg writes."""
QUALITY = 90
"""Default quality: an eye sees no artefacts; about 10:1."""
VIPS_BYTES = 24 << 20
"""Memory of libvips, its threads and its line buffers, measured."""


def lay_out(levels: Sequence[ImageSpec], target: Path, *, quality: int = QUALITY) -> Layout:
    """Return how a JPEG holds the plane.

    Raises
    ------
    UsageError
        Values have not 8 bits, there is more than one plane, channels are not grey or RGB, or a side is too long.
    """
    import pyvips  # noqa: F401  # so that the plan measures memory after this import

    spec = levels[0]
    order = plane_order(spec, target, "JPEG")
    if spec.dtype != np.uint8:
        raise UsageError(
            f"{target}: JPEG holds 8 bits a value, not {spec.dtype}: write .png or .tif, which hold it, or make a "
            "picture with bigimg slice"
        )
    if color_type(spec, target, "JPEG") not in (GREY, RGB):
        raise UsageError(f"{target}: JPEG has no alpha: write .png or .tif")
    if max(spec.sizes["y"], spec.sizes["x"]) > LONGEST:
        raise UsageError(f"{target}: a side has more than {LONGEST} pixels, JPEG's limit: write .png or .tif")
    if not 1 <= quality <= 100:
        raise UsageError(f"{target}: quality {quality}: give 1 to 100")
    row = spec.nbytes // spec.sizes["y"]
    return Layout(
        order, spec.dtype, encode=functools.partial(_encode, target=target, quality=quality),
        encode_bytes=VIPS_BYTES + 600 * row + (16 << 20),
        notes=("JPEG changes values, and keeps neither spacing nor geometry",),
    )  # fmt: skip


def _encode(levels: Sequence[Slabs], file: IO[bytes], *, target: Path, quality: int) -> None:
    """Write rows into a pipe from which libvips reads."""
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
        pass  # libvips stopped reading; its error is raised below
    finally:
        thread.join()
    if failed:
        why = " ".join(str(failed[0]).split())
        raise OutputError(f"{target}: libvips cannot write it ({why}); check the disk, or write .png")
