"""``levels="source"``: the levels that a file has itself, by the libraries that own the formats."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

import bigimg
from bigimg.cli import cli
from bigimg.errors import BudgetError, InputError, UsageError
from bigimg.opening import own_levels
from bigimg.opening.open import levels_of_source, open_source
from bigimg.testing import check_reader
from bigimg.types import Array
from bigimg.viewing.napari.layers import layers_of
from tests.readers.dicom.slide_made import slide, tiles_of
from tests.readers.vendor.czi_files import Tile, metadata, write_czi
from tests.readers.vendor.hdf5_files import bdv, imaris
from tests.readers.vendor.slide_files import mrxs

SIZE = (401, 643)


def picture(shape: Sequence[int] = (*SIZE, 3)) -> Array:
    rng, (y, x) = np.random.default_rng(3), np.mgrid[: shape[0], : shape[1]]
    plane = 120 + 70 * np.sin(x / 6) * np.cos(y / 9) + 30 * ((x // 40 + y // 50) % 2)
    found = plane[(..., *[None] * (len(shape) - 2))] + rng.normal(0, 9, shape)
    return np.clip(found, 0, 255).astype(np.uint8)


def halved(fine: Array, f: int = 2, axes: Sequence[int] = (0, 1)) -> Array:
    """Return means of whole windows along ``axes``, rounded."""
    found = fine.astype(float)
    for axis in axes:
        whole = np.take(found, range(found.shape[axis] // f * f), axis)
        found = whole.reshape(*whole.shape[:axis], -1, f, *whole.shape[axis + 1 :]).mean(axis + 1)
    return np.rint(found).astype(fine.dtype)


def tiff(path: Path, levels: Sequence[Array], *, sub: bool = True, ome: bool = False, **options: Any) -> Path:
    """Write levels as SubIFDs, or as pages of reduced size."""
    given = {"photometric": "rgb", "tile": (64, 64)} | options
    with tifffile.TiffWriter(path, ome=ome) as file:
        about = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25,
                 "PhysicalSizeYUnit": "µm"} if ome else None  # fmt: skip
        file.write(levels[0], metadata=about, subifds=len(levels) - 1 if sub else 0, **given)
        for level in levels[1:]:
            file.write(level, metadata=None, subfiletype=1, **given)
    return path


def first(array: Array) -> Array:
    """Return the colours of a picture first, as bigimg has them."""
    return np.moveaxis(array, -1, 0)


@pytest.mark.parametrize(
    ("ome", "sub", "f"), [(True, True, 2), (True, True, 4), (False, True, 2), (False, False, 2)]
)
@pytest.mark.parametrize("compression", ["deflate", "jpeg"])
def test_the_levels_of_a_tiff(tmp_path: Path, compression: str, ome: bool, sub: bool, f: int) -> None:
    fine = picture()
    levels = [fine, halved(fine, f), halved(halved(fine, f))]
    path = tiff(
        tmp_path / ("a.ome.tif" if ome else "a.tif"), levels, ome=ome, sub=sub or ome, compression=compression
    )
    tree = bigimg.open_pyramid(path, levels="source")
    assert list(tree.children) == ["scale0", "scale1", "scale2"]
    with tifffile.TiffFile(path) as file:
        for number, level in enumerate(file.series[0].levels):
            np.testing.assert_array_equal(tree[f"scale{number}"]["image"], first(level.asarray()))
    smallest = bigimg.open(path, level=-1, levels="source")
    np.testing.assert_array_equal(smallest, tree["scale2"]["image"])
    steps = [tree[name]["image"].bigimg.spacing for name in tree.children]
    base = {"y": 0.25, "x": 0.5} if ome else {"y": 1, "x": 1}
    assert steps == [{name: step * n for name, step in base.items()} for n in (1, f, 2 * f)]
    assert tree["scale2"]["image"].bigimg.origin["x"] == base["x"] * (2 * f - 1) / 2
    assert tree["scale1"]["image"].bigimg.channels == ("R", "G", "B")
    assert list(bigimg.open_pyramid(path).children) == ["scale0"]  # unless somebody asks


REFUSED = {
    "one pixel of 4, the first": lambda fine: fine[::2, ::2],
    "one pixel of 4, in the middle": lambda fine: fine[1::2, 1::2],
    "lie one pixel behind along x": lambda fine: halved(np.roll(fine, -1, 1)),
    "lie one pixel before along y": lambda fine: halved(np.roll(fine, 1, 0)),
    "as of another picture": lambda fine: 255 - halved(fine),
    "it has 3 x 120 x 150 uint8, which is no whole part of 3 x 401 x 643 uint8": lambda fine: halved(fine)[
        :120, :150
    ],
}


@pytest.mark.parametrize("compression", ["deflate", "jpeg"])
@pytest.mark.parametrize("why", REFUSED)
def test_what_is_no_mean_is_refused_in_one_sentence(tmp_path: Path, why: str, compression: str) -> None:
    fine = picture()
    path = tiff(tmp_path / "a.ome.tif", [fine, REFUSED[why](fine)], ome=True, compression=compression)
    with pytest.raises(InputError, match=f"level 1 of the file is none: .*({why})") as caught:
        bigimg.open_pyramid(path, levels="source")
    text = str(caught.value)
    assert text.startswith(f"{path}: levels='source' takes levels that are means")
    assert text.endswith("leave levels='source' out, or make levels of level 0: bigimg convert")
    assert "\n" not in text
    assert bigimg.open(path).shape == (3, *SIZE)


def test_the_second_level_is_compared_too(tmp_path: Path) -> None:
    fine = picture()
    path = tiff(tmp_path / "a.tif", [fine, halved(fine), halved(fine)[::2, ::2]])
    with pytest.raises(InputError, match="level 2 of the file is none: it is nearer to one pixel of 4"):
        bigimg.open(path, levels="source")


def test_mostly_background_hides_no_samples(tmp_path: Path) -> None:
    """Few of 225 places have tissue: they are among those that are compared."""
    fine = np.full((1920, 1920, 3), 240, np.uint8)
    fine[900:1100, 300:500] = picture((200, 200, 3))
    for level, taken in ((halved(fine), True), (fine[::2, ::2], False)):
        path = tiff(tmp_path / f"{taken}.tif", [fine, level], compression="deflate")
        if taken:
            assert bigimg.open(path, level=1, levels="source").shape == (3, 960, 960)
        else:
            with pytest.raises(InputError, match="one pixel of 4"):
                bigimg.open(path, levels="source")


def test_sources_that_have_none(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", picture())
    tifffile.imwrite(tmp_path / "a.tif", picture(), photometric="rgb")
    for name in ("a.npy", "a.tif"):
        with pytest.raises(
            UsageError, match="levels='source' was asked for, and its file has one level alone"
        ):
            bigimg.open(tmp_path / name, levels="source")
    fine = picture()
    path = tiff(tmp_path / "b.tif", [fine, halved(fine)])
    with pytest.raises(UsageError, match="array: levels='source' is for files"):
        bigimg.open_pyramid(fine, levels="source")
    with pytest.raises(UsageError, match="levels=3: give 'source'"):
        bigimg.open(path, levels=3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="of labels there are none"):
        own_levels.taken(Labelled(open_source(path)), "source")
    store = tmp_path / "a.ome.zarr"
    bigimg.convert(path, store, progress=False)
    with pytest.raises(UsageError, match="a store has levels, and they are taken"):
        bigimg.open(store, levels="source")


class Labelled:
    """The reader of a file whose numbers are ids."""

    def __init__(self, reader: Any) -> None:
        self.inner, self.spec = reader, replace(reader.spec, kind="labels")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def test_a_conversion_makes_its_levels_itself(tmp_path: Path) -> None:
    fine = picture()
    path = tiff(tmp_path / "a.tif", [fine, halved(fine)])
    for function in (bigimg.plan, bigimg.convert):
        with pytest.raises(UsageError, match="levels of a store are exact means of level 0"):
            function(path, tmp_path / "a.ome.zarr", levels="source")
    done = CliRunner().invoke(cli, ["convert", str(path), str(tmp_path / "a.ome.zarr"), "--levels", "source"])
    assert "--levels source is for looking at a file" in str(done.exception)
    assert not (tmp_path / "a.ome.zarr").exists()
    assert CliRunner().invoke(cli, ["plan", str(path), "x.ome.zarr", "--levels", "two"]).exit_code == 2


def test_readers_of_levels_keep_the_contract(tmp_path: Path) -> None:
    fine = picture()
    path = tiff(tmp_path / "a.tif", [fine, halved(fine)])
    for level, pixels in enumerate((fine, halved(fine))):
        check_reader(
            lambda level=level: levels_of_source(path, levels="source")[level], expected=first(pixels)
        )  # type: ignore[misc]
    reader = levels_of_source(path, levels="source")[1]
    assert pickle.loads(pickle.dumps(reader)).spec == reader.spec
    assert "level 1 is that of the file: means" in reader.spec.of_source[-1]


def test_who_looks_reads_the_small_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fine = picture((512, 1024, 3))
    path = tiff(tmp_path / "a.tif", [fine, halved(fine, 4)])
    opened = bigimg.open(path, levels="source")
    layer, options, kind = layers_of(path, levels="source")[0]
    assert ([each.shape for each in layer], kind) == (
        [(512, 1024, 3), (128, 256, 3)],
        "image",
    )
    assert options["multiscale"]
    assert len(layers_of(opened)[0][0]) == 2
    levels = levels_of_source(path, levels="source")
    monkeypatch.setattr(type(levels.base.readers[0]), "read", _not_level_0(type(levels.base.readers[0])))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(bigimg.thumbnail(opened, 48), bigimg.thumbnail(levels[1], 48))
    done = CliRunner().invoke(
        cli, ["slice", str(path), str(tmp_path / "a.png"), "--level", "1", "--levels", "source"]
    )
    assert done.exit_code == 0, done.output


def _not_level_0(of: type) -> Any:
    read = of.read  # type: ignore[attr-defined]

    def only_small(reader: Any, region: Any) -> Any:
        assert (
            reader.spec.shape[1] < 512 or (region[1].stop - region[1].start) <= 256
        )  # of a place that is compared
        return read(reader, region)

    return only_small


@pytest.mark.parametrize("verb", ["thumbnail", "thumbnail --figure", "slice", "export"])
def test_verbs(tmp_path: Path, verb: str) -> None:
    fine = picture((512, 512, 3))
    path = tiff(tmp_path / "a.tif", [fine, halved(fine)])
    word, *flags = verb.split()
    target = tmp_path / "b.png"
    level = [] if word == "thumbnail" else ["--level", "1"]
    command = [word, str(path), str(target), "--levels", "source", *flags, *level]
    done = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    if word == "export":
        np.testing.assert_array_equal(bigimg.imread(target), halved(fine))


def test_a_member_of_a_zip_file_has_its_levels(tmp_path: Path) -> None:
    fine = picture()
    tiff(tmp_path / "a.tif", [fine, halved(fine)])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.write(tmp_path / "a.tif", "a.tif")
    reader = levels_of_source(f"{tmp_path}/a.zip::a.tif", levels="source")[1]
    region = (slice(0, 3), slice(0, 200), slice(0, 321))
    for each in (reader, pickle.loads(pickle.dumps(reader))):
        np.testing.assert_array_equal(each.read(region), first(halved(fine)))
    assert reader.source.endswith("a.zip::a.tif")


def test_nothing_is_read_before_it_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fine = picture()
    path = tiff(tmp_path / "a.tif", [fine, halved(fine)])
    monkeypatch.setattr(type(open_source(path)), "read", lambda *_: pytest.fail("read"))
    with pytest.raises(
        BudgetError, match=r"a\.tif: comparing its levels: needs .*: leave levels='source' out"
    ):
        bigimg.open(path, levels="source", memory="20MB")


def test_readers_are_closed_once_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fine = picture()
    path = tiff(tmp_path / "a.tif", [fine, halved(fine), halved(halved(fine))])
    reader, closed = open_source(path), list[Any]()
    monkeypatch.setattr(type(reader), "close", lambda self: closed.append(self))
    assert own_levels.taken(reader, "source").readers == tuple(closed)  # type: ignore[attr-defined]


def test_levels_are_advised_where_they_may_be_taken(tmp_path: Path) -> None:
    fine = picture()
    path = tiff(tmp_path / "a.tif", [fine, halved(fine)])
    with pytest.raises(
        UsageError, match="without levels; take those of its file by levels='source', or make a"
    ):
        bigimg.open(path, level=1)
    reader = open_source(path)
    assert own_levels.offered(reader) == 1
    assert any("levels='source'" in note for note in bigimg.info(reader).notes)
    reader.access = replace(reader.access, kind="sequential", order=("y", "x", "c"))  # type: ignore[misc]
    assert own_levels.offered(reader) == 0
    assert not any("levels='source'" in note for note in bigimg.info(reader).notes)


# ------------------------------------------------------------------------------------------------- other formats


def volume(shape: Sequence[int]) -> Array:
    return (picture(tuple(reversed(shape))).transpose() * 9).astype(np.uint16)


def test_imaris(tmp_path: Path) -> None:
    fine = volume((12, 90, 130))
    path = imaris(tmp_path / "a.ims", np.stack([[fine, fine[::-1]]]))
    coarse = halved(fine, 2, (1, 2))
    with h5py.File(path, "a") as file:
        for c, pixels in enumerate((coarse, coarse[::-1])):
            group = file.create_group(f"DataSet/ResolutionLevel 1/TimePoint 0/Channel {c}")
            for name, size in zip(("ImageSizeZ", "ImageSizeY", "ImageSizeX"), pixels.shape, strict=True):
                group.attrs[name] = np.frombuffer(str(size).encode(), "S1")
            padded = np.zeros((16, 64, 96), np.uint16)
            padded[:12, :45, :65] = pixels
            group.create_dataset("Data", data=padded, chunks=(4, 16, 16))
    img = bigimg.open(path, level=1, levels="source")
    np.testing.assert_array_equal(img, [coarse, coarse[::-1]])
    assert img.bigimg.spacing == {"z": 2, "y": 0.5, "x": 1}
    assert img.bigimg.channels == ("DAPI", "GFP")


def test_bigdataviewer(tmp_path: Path) -> None:
    fine = volume((16, 90, 130))
    path = bdv(tmp_path / "a.xml", {(0, 0): fine}, [{"channel": 0}])
    coarse = halved(fine, 2, (0, 1, 2))
    with h5py.File(path.with_suffix(".h5"), "a") as file:
        file.create_dataset("t00000/s00/1/cells", data=coarse, chunks=(4, 16, 16))
    img = bigimg.open(path, level=1, levels="source")
    np.testing.assert_array_equal(img, coarse)
    assert img.bigimg.spacing == {"z": 4, "y": 1, "x": 0.5}


@pytest.mark.vendors
@pytest.mark.parametrize("kind", ["n5", "precomputed"])
def test_folders_of_chunks(tmp_path: Path, kind: str) -> None:
    tensorstore = pytest.importorskip("tensorstore")
    fine = volume((16, 90, 130))
    levels, path = [fine, halved(fine, 2, (0, 1, 2))], tmp_path / "a.n5"
    for number, pixels in enumerate(levels):
        if kind == "n5":
            size = {"dimensions": pixels.shape[::-1], "blockSize": (16, 16, 8), "dataType": "uint16"}
            place: dict[str, Any] = {
                "driver": "n5",
                "kvstore": {"driver": "file", "path": str(path / f"v/s{number}")},
            }
            made = place | {"metadata": size | {"compression": {"type": "gzip"}}}
            tensorstore.open(made, create=True).result()[...] = pixels.transpose()
        else:
            scale = {"size": pixels.shape[::-1], "resolution": [4 << number] * 3, "encoding": "raw",
                     "chunk_size": [16, 16, 8], "key": f"s{number}"}  # fmt: skip
            about = {"type": "image", "data_type": "uint16", "num_channels": 1}
            made = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": str(path)},
                    "multiscale_metadata": about, "scale_metadata": scale}  # fmt: skip
            tensorstore.open(made, create=True, open=True).result()[...] = pixels.transpose()[..., None]
    if kind == "n5":
        (path / "attributes.json").write_text(json.dumps({"n5": "2.0.0"}))
    tree = bigimg.open_pyramid(path, levels="source")
    assert len(tree.children) == 2
    np.testing.assert_array_equal(tree["scale1"]["image"], levels[1])


@pytest.mark.parametrize("sampled", [False, True])
def test_a_dicom_slide(tmp_path: Path, sampled: bool) -> None:
    fine = picture((240, 320, 3))
    coarse = fine[::2, ::2] if sampled else halved(fine)
    for number, (pixels, step) in enumerate(((coarse, 0.001), (fine, 0.0005))):
        tiles = tiles_of(pixels, 40, 80)
        made = slide(tiles, pixels.shape[:2], number=number, spacing=step)
        made.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    if sampled:
        with pytest.raises(InputError, match="one pixel of 4"):
            bigimg.open(tmp_path, levels="source")
        return
    img = bigimg.open(tmp_path, level=1, levels="source")
    np.testing.assert_array_equal(img, first(coarse))
    np.testing.assert_array_equal(img, bigimg.open(tmp_path, series="level 1"))
    assert img.bigimg.spacing == {"y": 1, "x": 1}


@pytest.mark.parametrize("of", [0, 1, (0, 1)])
def test_tiles_that_were_never_scanned_stay_holes(tmp_path: Path, of: int | tuple[int, ...]) -> None:
    """Of full resolution; where the level lacks pixels beside these, they would be zeros in a thumbnail."""
    fine = picture((240, 320, 3))
    for number, (pixels, step) in enumerate(((halved(fine), 0.001), (fine, 0.0005))):
        lost = 1 - number in np.atleast_1d(of)
        tiles, down, across = tiles_of(pixels, 40, 80), pixels.shape[0] // 40, pixels.shape[1] // 80
        places = [(row * 40, column * 80) for row in range(down) for column in range(across)]
        kept = slice(1, None) if lost else slice(None)
        made = slide(tiles[kept], pixels.shape[:2], number=number, spacing=step, places=places[kept])
        made.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    if of != 0:
        with pytest.raises(InputError, match="level 1 of the file is none: it lacks pixels that level 0 has"):
            bigimg.thumbnail(tmp_path, 48, levels="source")
        return
    img = bigimg.open(tmp_path, level=1, levels="source")
    expected = first(halved(fine)).copy()
    hole = (20, 40)
    expected[:, : hole[0], : hole[1]] = 0
    np.testing.assert_array_equal(img, expected)
    assert bigimg.stats(img)["count"].values.tolist() == [120 * 160 - hole[0] * hole[1]] * 3
    assert [Path(path).name for path in levels_of_source(tmp_path, levels="source").base.paths] == [  # type: ignore[attr-defined]
        "1.dcm",
        "0.dcm",
    ]


@pytest.mark.vendors
@pytest.mark.parametrize("sampled", [False, True])
def test_a_slide_of_openslide(tmp_path: Path, sampled: bool) -> None:
    """The levels of these files are samples; where four pixels are alike these are means."""
    openslide = pytest.importorskip("openslide")
    pixels = picture((192, 256, 3))
    if not sampled:
        pixels = pixels[::2, ::2].repeat(2, 0).repeat(2, 1)
    images = pixels.reshape(4, 48, 4, 64, 3).swapaxes(1, 2)
    path = mrxs(tmp_path, images)
    if sampled:
        with pytest.raises(InputError, match="one pixel of 4"):
            bigimg.open(path, levels="source")
        return
    with openslide.OpenSlide(path) as file:
        expected = np.asarray(file.read_region((0, 0), 1, file.level_dimensions[1]))[..., :3]
    np.testing.assert_array_equal(bigimg.open(path, level=1, levels="source"), first(expected))


@pytest.mark.parametrize("lossy", [False, True])
@pytest.mark.parametrize("marked", [0, 2])
def test_czi(tmp_path: Path, marked: int, lossy: bool) -> None:
    """A mosaic that begins anywhere, and a level of its own; some programs do not mark it as one."""
    fine = picture((256, 384))
    coarse, codec = halved(fine), 1 if lossy else 0
    index = {"C": 0}
    tiles = [
        Tile(fine[y : y + 128, x : x + 128], y - 31, x + 77, index, kind="Gray8", codec=codec)
        for y in range(0, 256, 128)
        for x in range(0, 384, 128)
    ]
    shown = {"shown": (256, 256), "pyramid": marked, "kind": "Gray8", "codec": codec}
    own = [Tile(coarse[:, x : x + 128], -31, 77 + 2 * x, index, **shown) for x in (0,)]  # type: ignore[arg-type]
    own += [Tile(coarse[:, 128:], -31, 77 + 256, index, **shown | {"shown": (256, 128)})]  # type: ignore[arg-type]
    path = tmp_path / "a.czi"
    write_czi(path, [*tiles, *own], metadata(scaling={"X": 5e-7, "Y": 5e-7}))
    img = bigimg.open(path, level=1, levels="source")
    if lossy:
        assert np.abs(img.values.astype(int) - coarse).max() < 9
    else:
        np.testing.assert_array_equal(img, coarse)
    assert img.bigimg.spacing == {"y": 1, "x": 1}
    base = bigimg.open(path)
    assert img.bigimg.origin["x"] == base.bigimg.origin["x"] + 0.25
    assert base.shape == fine.shape


def test_a_level_that_lacks_planes_is_named(tmp_path: Path) -> None:
    fine = picture((128, 256))
    tiles = [Tile(fine, 0, 0, {"Z": z}, kind="Gray8") for z in range(3)]
    own = [Tile(halved(fine), 0, 0, {"Z": z}, shown=(128, 256), pyramid=2, kind="Gray8") for z in (0, 2)]
    write_czi(tmp_path / "a.czi", [*tiles, *own], metadata())
    said = r"a\.czi: level 1 of the file cannot be taken: 1 of 3 planes were .*; leave levels='source' out, or make"
    with pytest.raises(InputError, match=said):
        bigimg.open(tmp_path / "a.czi", levels="source")


# ---------------------------------------------------------------------------------------------------- real files


@pytest.mark.parametrize("name", ["big2d/yb10kx5k.zstd.tiff", "tiff/test_orient6.tif"])
def test_real_levels_that_are_means(data: Path, name: str) -> None:
    tree = bigimg.open_pyramid(data / name, levels="source")
    with tifffile.TiffFile(data / name) as file:
        assert len(tree.children) == len(file.series[0].levels)
        stored = file.series[0].levels[-1].asarray()
    smallest = tree[f"scale{len(tree.children) - 1}"]["image"].values
    np.testing.assert_array_equal(
        smallest, first(stored) if stored.ndim == 3 else stored.transpose()[:, ::-1]
    )


@pytest.mark.parametrize(
    "name",
    ["tiff/tiff_strip_planar_raw_with_overviews.tif", "tiff/rgba_geotiff.tiff", "tiff/shapes_multi_size.tif"],
)
def test_real_levels_that_are_samples(data: Path, name: str) -> None:
    with pytest.raises(InputError, match="level 1 of the file is none"):
        bigimg.open_pyramid(data / name, levels="source")


def test_a_real_slide_of_one_level(data: Path) -> None:
    with pytest.raises(UsageError, match="its file has one level alone"):
        bigimg.open(data / "wsi" / "CMU-1-Small-Region.svs", levels="source")
