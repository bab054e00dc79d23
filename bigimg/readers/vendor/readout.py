"""A reader of rarer files of microscopes through openreadout (the extra ``readout``), marked experimental.

openreadout is young. Formats that have a reader here (CZI, LIF, ND2, Imaris, MRXS) never come this way: it reads their
planes whole. Each of its handles keeps its own tables and there is one for each read at a time, so reads take turns.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from bigimg.errors import InputError, damage, one_line, reading
from bigimg.geometry.axes import ORDER, Axis
from bigimg.geometry.region import on_all_axes, pieces, shape_of, shift
from bigimg.geometry.spec import RGB, RGBA, Channel, ImageSpec, SpacingNote
from bigimg.reader import Access
from bigimg.readers.allowed import known_channels, public_and_private
from bigimg.readers.extras import imported
from bigimg.readers.several import Named, pick
from bigimg.readers.values import color_in
from bigimg.system.shared import Shared
from bigimg.types import Array, Json, Region

FIXED_BYTES = 128 << 20
"""Memory of the library and its tables, measured and rounded up."""
TRIED = {"dm": "DM3, DM4", "ser": "SER", "emd": "EMD"}
"""Formats whose pixels were compared with those of another reader or of the one who made the file."""
COLORS = {3: RGB, 4: RGBA}


class ReadoutReader:
    """One image of a file, as a :class:`bigimg.reader.Reader`.

    Parameters
    ----------
    path : str or path-like
    series : int or str, optional
        Which image, by number or name; the first by default.

    Raises
    ------
    InputError
        openreadout cannot open the file, or does not decode its pixels.
    MissingExtraError
        The extra ``readout`` is not installed.
    UsageError
        There is no such image.
    """

    def __init__(self, path: str | os.PathLike[str], *, series: int | str | None = None) -> None:
        self.source = os.fspath(path)
        self._file: Shared[Any] = Shared()
        with self._opened("cannot be opened") as file:
            info = file.info
            if info["format"]["id"] == "dm":
                _check_length(self.source)
            images = info["images"]
            if not images:
                raise InputError(f"{self.source}: holds no image that openreadout reads; give one that does")
            named = [
                Named(str(each.get("name") or ""), tuple(file.shape(i))) for i, each in enumerate(images)
            ]
            self._image, others = pick(self.source, named, series)
            shape, dtype = file.shape(self._image), np.dtype(file.dtype(self._image))
        image = images[self._image]
        self._samples = image["samples_per_pixel"]
        if self._samples > 1 and (image["size_c"] > 1 or self._samples not in COLORS):
            what = f"has {image['size_c']} channels of {self._samples} samples, which are not read"
            raise InputError(f"{self.source}: {what}; export its channels one by one")
        self.spec = self._described(info["format"], image, shape, dtype, others)
        tile = int(
            np.prod([n for name, n in zip(self.spec.dims, self.spec.chunks, strict=True) if name in "cyx"])
        )
        what = "tiles" if "tile_width" in _level(image) else "planes"
        self.access = Access(
            "random", f"{what} by openreadout (experimental)", (), FIXED_BYTES, 3 * tile * dtype.itemsize
        )

    def read(self, region: Region) -> Array:
        """Return the values of ``region``, plane by plane.

        Raises
        ------
        InputError
            The file is damaged, or has pixels that openreadout does not decode.
        """
        t, c, z, y, x = every = on_all_axes(region, self.spec.dims)
        colored = self._samples > 1
        found = np.empty(shape_of(every), self.spec.dtype)
        tile = tuple(n for name, n in zip(self.spec.dims, self.spec.chunks, strict=True) if name in "yx")
        with self._opened("its pixels cannot be read") as file:
            for at, channel, depth in np.ndindex(
                found.shape[0], 1 if colored else found.shape[1], found.shape[2]
            ):
                place = {"c": 0 if colored else c.start + channel, "z": z.start + depth, "t": t.start + at}
                for _, (down, across) in pieces((y, x), tile):
                    box = (across.start, down.start, across.stop - across.start, down.stop - down.start)
                    pixels = file.read_plane(self._image, **place, region=box)
                    inside = shift((down, across), (y.start, x.start))
                    if colored:
                        found[at, :, depth, *inside] = np.moveaxis(pixels, -1, 0)[c]
                    else:
                        found[at, channel, depth, *inside] = pixels
        return found.reshape(shape_of(region))

    def close(self) -> None:
        """Let go of the file; reading afterwards opens it again."""
        if (file := self._file.take()) is not None:
            file.close()

    @contextmanager
    def _opened(self, what: str) -> Iterator[Any]:
        """Give the open file to one thread at a time, and turn the errors of openreadout into ours."""
        openreadout = imported("openreadout", self.source)
        with self._file.lock, reading(self.source):
            try:
                if self._file.value is None:
                    self._file.value = openreadout.File(self.source)
                yield self._file.value
            except openreadout.UnsupportedFeatureError as error:
                said = f"{what}: openreadout does not decode it ({one_line(error)})"
                raise InputError(f"{self.source}: {said}; export it as TIFF") from error
            except openreadout.OpenReadoutError as error:
                raise damage(self.source, f"{what} ({one_line(error)})") from error

    def _described(
        self,
        form: Mapping[str, Any],
        image: Mapping[str, Any],
        shape: Any,
        dtype: Any,
        others: tuple[str, ...],
    ) -> ImageSpec:
        notes = [f"read by openreadout, which is young ({form['name']}): compare it with another reader"]
        if form["id"] not in TRIED:
            notes.append(
                f"files of {form['vendor']} like this one were never compared with another reader by bigimg"
            )
        if dtype.kind not in "biuf":
            raise InputError(
                f"{self.source}: its pixels are {dtype}, which is not supported; export its magnitude"
            )
        size = image.get("physical_size") or {}
        steps: dict[str, tuple[float, str]] = {
            name: (float(size[name]), "micrometer") for name in "zyx" if size.get(name)
        }
        if step := image.get("time_increment_s"):
            steps["t"] = float(step), "second"
        if not {"y", "x"} <= {*steps}:
            notes.append(SpacingNote("the file has no pixel size; 1 is assumed"))
        samples = self._samples
        sizes = dict(zip(ORDER, shape[:5], strict=True)) | ({"c": samples} if samples > 1 else {})
        axes = tuple(
            Axis(n, sizes[n], *steps.get(n, (1.0, None))) for n in ORDER if sizes[n] > 1 or n in "yx"
        )
        level = _level(image)
        chunk = {
            "y": level.get("tile_height") or sizes["y"],
            "x": level.get("tile_width") or sizes["x"],
            "c": samples,
        }
        chunks = tuple(min(chunk.get(axis.name, 1), axis.size) for axis in axes)
        channels, names = (COLORS[samples], {}) if samples > 1 else _channels(image)
        fields: dict[str, Json] = {
            name: value for name, value in image.items() if name != "resolution_levels"
        }
        public, private = public_and_private(fields, "readout")
        return ImageSpec(
            axes,
            dtype,
            chunks,
            channels,
            meta=public,
            private=private | names,
            notes=tuple(notes),
            of_source=others,
        )


def _check_length(path: str) -> None:
    """Refuse a DM3 or DM4 that is cut behind its pixels, where its sizes stand: openreadout would make them 1."""
    with open(path, "rb") as file:
        head = file.read(12)
        (version,) = struct.unpack(">i", head[:4])
        form, start = (">q", 16) if version == 4 else (">i", 12)
        (length,) = struct.unpack_from(form, head, 4)
        there = file.seek(0, os.SEEK_END)
    if version in (3, 4) and there < start + length:
        raise damage(path, f"should have {start + length} bytes, but {there} are there")


def _level(image: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is said of full resolution."""
    levels = image.get("resolution_levels") or [{}]
    found: Mapping[str, Any] = levels[0]
    return found


def _channels(image: Mapping[str, Any]) -> tuple[tuple[Channel, ...], dict[str, Json]]:
    """Return the channels; none where they have no names but that of the image."""
    said = [str(each.get("name") or "") for each in image["channels"]]
    if len(said) != image["size_c"] or not any(name and name != image.get("name") for name in said):
        return (), {}
    colors = [color_in(str(each.get("color"))) for each in image["channels"]]
    return known_channels(
        [
            Channel(name or f"Channel {i}", color)
            for i, (name, color) in enumerate(zip(said, colors, strict=True))
        ]
    )
