"""Every operation on an image far larger than memory, each consuming what it makes: what memory is measured of.

To add one, write a function of the lazy image into :data:`OPERATIONS`; it has to go through what it makes a piece at
a time, and keep none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _stats(img: Any) -> None:
    import bigimg

    bigimg.stats(img).compute()


def _stats_with_histogram(img: Any) -> None:
    import bigimg

    bigimg.stats(img, bins=256, range=(0, 256)).compute()


def _stats_along(img: Any) -> None:
    import bigimg

    bigimg.stats(img, by=img.dims[0]).compute()


def _stats_where(img: Any) -> None:
    import bigimg

    bigimg.stats(img, where=bigimg.mask(img, above=100)).compute()


def _stats_of_computed(img: Any) -> None:
    import bigimg

    bigimg.stats(img.astype("f4") * 2 + 1).compute()


def _histogram(img: Any) -> None:
    import bigimg

    bigimg.histogram(img, bins=50).compute()


def _percentile(img: Any) -> None:
    import bigimg

    bigimg.percentile(img, [1, 50, 99]).compute()


def _otsu(img: Any) -> None:
    import bigimg

    bigimg.otsu(img).compute()


def _sweep(img: Any) -> None:
    import bigimg

    bigimg.sweep(img, list(range(0, 250, 10))).compute()


def _fraction(img: Any) -> None:
    import bigimg

    bigimg.fraction(bigimg.mask(img, between=(20, 90))).compute()


def _area(img: Any) -> None:
    import bigimg

    bigimg.area(bigimg.mask(img, equals=7) | bigimg.mask(img, above=200)).compute()


def _mask_by_otsu(img: Any) -> None:
    import bigimg

    bigimg.fraction(bigimg.mask(img, otsu=True)).compute()


def _apply_mask(img: Any) -> None:
    import bigimg

    bigimg.stats(bigimg.apply_mask(img, bigimg.mask(img, below=125))).compute()


def _consumed(make: Callable[[Any, Any], Any]) -> Callable[[Any], None]:
    """Return what goes through all pixels of an image that ``make(bigimg, img)`` gives, keeping none."""

    def consume(img: Any) -> None:
        import bigimg

        bigimg.stats(make(bigimg, img)).compute()

    return consume


def _small_shape(bigimg: Any, img: Any) -> Any:
    return bigimg.resize(img, {name: n // 37 + 1 for name, n in img.sizes.items() if name in "zyx"})


def _top_of_pyramid(bigimg: Any, img: Any) -> Any:
    return bigimg.build_pyramid(img, levels=6)["scale5"]["image"]


def _grey(bigimg: Any, img: Any) -> Any:
    return bigimg.gray(img) if "c" in img.dims else bigimg.map(img, abs)


def _root(values: Any) -> Any:
    import numpy as np

    return np.sqrt(np.abs(values.astype(np.float32)))


def _half(bigimg: Any, img: Any) -> Any:
    return bigimg.crop(img, {name: (n // 4, n // 4 * 3) for name, n in img.sizes.items() if name in "yx"})


def _plane(img: Any) -> None:
    import bigimg

    bigimg.plane(img, "x", index=1000).compute()
    bigimg.plane(img, "y").compute()


def _region(img: Any) -> None:
    """What a large screen asks for, and is kept whole: up to 67 MB, which dask holds twice when it joins blocks."""
    import bigimg

    side = 256 if "z" in img.dims else 2048
    size = {name: min(side, n) for name, n in img.sizes.items() if name in "zyx"}
    bigimg.region(img, {name: img.sizes[name] // 3 for name in size}, size).compute()


def _thumbnail(img: Any) -> None:
    import bigimg

    bigimg.thumbnail(img, 1024)


def _stacked(bigimg: Any, img: Any) -> Any:
    """Of a volume two planes, of a plane the image twice."""
    if "z" in img.dims:
        return bigimg.stack([bigimg.plane(img, "z", index=i) for i in (3, img.sizes["z"] // 2)], "z")
    return bigimg.stack([img, img], "z")


def _profile(img: Any) -> None:
    import bigimg

    ends = [dict.fromkeys("yx", 0), {name: img.sizes[name] - 1 for name in "yx"}]
    few = {name: 0 for name in img.dims if name in "cz"}
    bigimg.profile(img.isel(few), *ends).compute()


def _random_patches(img: Any) -> None:
    import bigimg

    for _ in bigimg.patches(img, (174, 187), n=1_000_000, seed=0).items():
        pass


def _grid_of_patches(img: Any) -> None:
    import bigimg

    for _ in bigimg.patches(img, 96, overlap=32):
        pass


def _covered_patches(img: Any) -> None:
    import bigimg

    for _ in bigimg.patches(
        img, (256, 256), where=img > 100 if "c" not in img.dims else (img > 100).any("c")
    ).items():
        pass


def _mapped_patches(img: Any) -> None:
    import bigimg

    bigimg.stats(bigimg.map_patches(abs, img, (256, 256), overlap=32, dtype=img.dtype)).compute()


def _reassembled(bigimg: Any, img: Any) -> Any:
    return bigimg.reassemble(bigimg.patches(img, 64 if "z" in img.dims else 256, overlap=16))


def _stats_of_labels(img: Any) -> None:
    import bigimg

    bigimg.stats(img, by=_bands(img)).compute()


def _bands(img: Any) -> Any:
    """Label the image by broad bands of its last axis, lazily: ids that no level and no chunk decides."""
    import dask.array as da
    import numpy as np
    import xarray

    dims = [name for name in img.dims if name != "c"]
    like = img.isel(c=0) if "c" in img.dims else img
    width = max(like.sizes["x"] // 8, 1)

    def ids(block_info: Any = None) -> Any:
        where = block_info[None]["array-location"]
        line = (np.arange(*where[-1]) // width).astype(np.int32)
        return np.broadcast_to(line, [stop - start for start, stop in where]).copy()

    data = da.map_blocks(ids, chunks=like.chunks, dtype=np.int32, meta=np.empty((0,) * len(dims), np.int32))
    return xarray.DataArray(data, dims=dims, attrs={"kind": "labels"})


OPERATIONS: dict[str, Callable[[Any], None]] = {
    "stats": _stats,
    "stats with a histogram": _stats_with_histogram,
    "stats along an axis": _stats_along,
    "stats where": _stats_where,
    "stats of 2 a + 1": _stats_of_computed,
    "histogram": _histogram,
    "percentile": _percentile,
    "otsu": _otsu,
    "sweep": _sweep,
    "fraction of a mask": _fraction,
    "area of two masks": _area,
    "mask by otsu": _mask_by_otsu,
    "stats by labels": _stats_of_labels,
    "apply_mask, then stats": _apply_mask,
    "downsample by 3": _consumed(lambda bigimg, img: bigimg.downsample(img, 3)),
    "downsample by 4, gaussian": _consumed(lambda bigimg, img: bigimg.downsample(img, 4, method="gaussian")),
    "gaussian of 2 a + 1": _consumed(
        lambda bigimg, img: bigimg.downsample(img * 2 + 1, 4, method="gaussian")
    ),
    "resize of a rescaled one": _consumed(lambda bigimg, img: _small_shape(bigimg, bigimg.rescale(img))),
    "downsample by 8, mode": _consumed(lambda bigimg, img: bigimg.downsample(img, 8, method="mode")),
    "resize to a 37th": _consumed(_small_shape),
    "build_pyramid, level 5": _consumed(_top_of_pyramid),
    "gray, or map": _consumed(_grey),
    "map, square root": _consumed(lambda bigimg, img: bigimg.map(img, _root)),
    "rescale by min and max": _consumed(lambda bigimg, img: bigimg.rescale(img, "uint8")),
    "rescale by percentiles": _consumed(lambda bigimg, img: bigimg.rescale(img, percentiles=(1, 99), by="c")),
    "crop": _consumed(_half),
    "plane": _plane,
    "region": _region,
    "thumbnail": _thumbnail,
    "with_geometry": _consumed(lambda bigimg, img: bigimg.with_geometry(img, spacing=2, unit="um")),
    "stack": _consumed(_stacked),
    "profile": _profile,
    "patches, random": _random_patches,
    "patches, grid": _grid_of_patches,
    "patches where": _covered_patches,
    "map_patches, then stats": _mapped_patches,
    "reassemble, then stats": _consumed(_reassembled),
}
