"""LIF, LOF and XLEF against liffile, openreadout and numpy; :mod:`tests.readers.vendor.leica` makes files by hand."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile

from bigimg.errors import BigimgError, InputError, InputNotFoundError, MissingExtraError, UsageError
from bigimg.geometry.region import full
from bigimg.geometry.spec import RGB
from bigimg.reader import Reader
from bigimg.readers.registry import open_file
from bigimg.testing import check_reader
from bigimg.types import Array
from tests.readers.vendor.leica import image, write_lif, write_lof, write_project

liffile = pytest.importorskip("liffile")

REAL = "vendor/LeicaLASX_wavelength-sweep_example.lif"
BGR = ("3 Blue", "2 Green", "1 Red")
GREY = ("0 Green", "0 Red", "0 Glow")


def numbers(*shape: int, dtype: str = "u2") -> Array:
    return np.random.default_rng(1).integers(0, 200, shape).astype(dtype)


def whole(reader: Reader) -> Array:
    return reader.read(full(reader.spec.shape))


@pytest.mark.parametrize(
    "dims",
    [
        "tzcyx",  # as LAS X writes
        "ctzyx",
        "tczyx",
        "tyzx",  # a scan along x and z, row after row
        "zyxc",  # colours side by side
        "yx",
    ],
)
@pytest.mark.parametrize("row", [0, 64])
def test_any_order(tmp_path: Path, dims: str, row: int) -> None:
    sizes = {"t": 2, "c": 3, "z": 4, "y": 5, "x": 6}
    pixels = numbers(*(sizes[name] for name in dims))
    path = str(write_lif(tmp_path / "a.lif", image("one", pixels, dims, row=row, channels=GREY)))
    ours = sorted(dims, key="tczyx".index)
    expected = pixels.transpose([dims.index(name) for name in ours])
    check_reader(lambda: open_file(path), expected=expected)
    spec = open_file(path).spec
    assert spec.dims == tuple(ours)
    if not row and dims[-2:] == "yx":
        with liffile.LifFile(path) as file:
            assert np.array_equal(file.images[0].asarray(), pixels)


@pytest.mark.parametrize("row", [0, 16, 18])  # 15 bytes; 16 is no whole pixel, which liffile refuses
def test_colours_are_turned_to_red_first(tmp_path: Path, row: int) -> None:
    pixels = numbers(6, 5, 3, dtype="u1")
    path = str(write_lif(tmp_path / "a.lif", image("one", pixels, "yxc", row=row, channels=BGR)))
    check_reader(lambda: open_file(path), expected=pixels[..., ::-1].transpose(2, 0, 1))
    assert open_file(path).spec.channels == RGB
    if row != 16:
        with liffile.LifFile(path) as file:
            theirs = file.images[0]
            assert theirs.sizes["S"] == 3  # before it is asked for them, liffile takes the padding for pixels
            assert np.array_equal(whole(open_file(path)), theirs.asarray().transpose(2, 0, 1))


def test_groups_of_colours(tmp_path: Path) -> None:
    pixels = numbers(2, 4, 5, 3)
    path = str(write_lif(tmp_path / "a.lif", image("one", pixels, "Cyxc", row=32, channels=BGR)))
    check_reader(lambda: open_file(path), expected=pixels[..., ::-1].transpose(0, 3, 1, 2).reshape(6, 4, 5))
    assert [channel.color for channel in open_file(path).spec.channels][3] == "FF0000"


def test_planes_of_colours_have_their_names(tmp_path: Path) -> None:
    made = image("one", numbers(3, 4, 5), "cyx", channels=BGR)
    reader = open_file(write_lif(tmp_path / "a.lif", made))
    assert reader.spec.channels == RGB[::-1]


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f2"])
def test_types(tmp_path: Path, dtype: str) -> None:
    pixels = numbers(3, 4, dtype=dtype)
    path = str(write_lif(tmp_path / "a.lif", image("one", pixels, "yx")))
    check_reader(lambda: open_file(path), expected=pixels)


def test_spacing_names_and_colours(tmp_path: Path) -> None:
    lengths = {"x": (1e-6, 2e-6), "y": (0, 2e-6), "z": (5e-6, -6e-6), "t": (0, 9.0)}
    made = image("one", numbers(4, 4, 3, 5, 5), "tzcyx", lengths=lengths, channels=GREY)
    reader = open_file(write_lif(tmp_path / "a.lif", made))
    t, _, z, y, x = reader.spec.axes
    assert [(axis.spacing, axis.unit) for axis in (t, z, y)] == [
        (3.0, "second"), (pytest.approx(2.0), "micrometer"), (pytest.approx(0.5), "micrometer"),
    ]  # fmt: skip
    assert (x.origin, z.origin) == (1.0, 0.0)
    assert any("far end" in note for note in reader.spec.notes)
    assert [channel.color for channel in reader.spec.channels] == ["00FF00", "FF0000", None]
    with liffile.LifFile(tmp_path / "a.lif") as file:
        assert [channel.name for channel in reader.spec.channels] == file.images[0].coords["C"].tolist()


def test_scan_of_x_and_z(tmp_path: Path) -> None:
    pixels = numbers(4, 6)
    path = str(write_lif(tmp_path / "a.lif", image("xz", pixels, "zx")))
    check_reader(lambda: open_file(path), expected=pixels[:, None])
    spec = open_file(path).spec
    assert (spec.dims, spec.shape) == (("z", "y", "x"), (4, 1, 6))
    assert any("no axis y (it is a scan along x z)" in note for note in spec.notes)


def test_wavelengths_are_channels(tmp_path: Path) -> None:
    pixels = numbers(3, 2, 2, 4, 5)
    lengths = {"Λ": (400e-9, 20e-9), "λ": (500e-9, 10e-9)}
    made = image("sweep", pixels, "λΛcyx", lengths=lengths, channels=("0 Green", "0 Red"))
    path = str(write_lif(tmp_path / "a.lif", made))
    check_reader(lambda: open_file(path), expected=pixels.transpose(2, 1, 0, 3, 4).reshape(12, 4, 5))
    names = [channel.name for channel in open_file(path).spec.channels]
    assert names[:4] == [
        "Ch0 excitation 400 nm emission 500 nm", "Ch0 excitation 400 nm emission 505 nm",
        "Ch0 excitation 400 nm emission 510 nm", "Ch0 excitation 420 nm emission 500 nm",
    ]  # fmt: skip


def test_other_axes_are_chosen(tmp_path: Path) -> None:
    pixels = numbers(3, 4, 5)
    path = write_lif(tmp_path / "a.lif", image("turned", pixels, "Ayx"))
    with pytest.raises(
        InputError, match=r"series 0 turned has the axis A \(0 to 2\), of which one must be chosen: axis="
    ):
        open_file(path)
    reader = open_file(path, axis={"A": 2})
    assert np.array_equal(whole(reader), pixels[2])
    assert reader.spec.of_source == ("series 0 turned has the axis A (0 to 2), and this is 2",)
    with pytest.raises(UsageError, match=r"axis A \(0 to 2\); choose one of these"):
        open_file(path, axis={"A": 3})
    with pytest.raises(UsageError, match="no axis Q to choose from, it has A"):
        open_file(path, axis={"Q": 0})


def test_mosaic(tmp_path: Path) -> None:
    pixels = numbers(3, 4, 5)
    path = write_lif(tmp_path / "a.lif", image("tiles", pixels, "Myx"))
    with pytest.raises(InputError, match="mosaic of 3 tiles that were not merged; export it merged by LAS X"):
        open_file(path)
    assert np.array_equal(whole(open_file(path, axis={"M": 1})), pixels[1])


def test_several_images(tmp_path: Path) -> None:
    first, second = numbers(4, 5), numbers(2, 6, 7)
    path = write_lif(tmp_path / "a.lif", image("one", first, "yx"), image("two", second, "zyx"))
    assert np.array_equal(whole(open_file(path)), first)
    assert np.array_equal(whole(open_file(path, series="two")), second)
    assert "0 one (4 x 5), 1 two (2 x 6 x 7)" in open_file(path, series=1).spec.of_source[0]
    with pytest.raises(UsageError, match="no series 2"):
        open_file(path, series=2)


def test_lof(tmp_path: Path) -> None:
    pixels = numbers(3, 4, 5)
    path = str(write_lof(tmp_path / "a.lof", image("one", pixels, "zyx")))
    check_reader(lambda: open_file(path), expected=pixels)
    with liffile.LifFile(path) as file:
        assert np.array_equal(file.images[0].asarray(), pixels)


def test_project_with_a_lof(tmp_path: Path) -> None:
    pixels = numbers(3, 4, 5)
    made = image("one", pixels, "zyx")
    write_lof(tmp_path / "one.lof", made)
    block = f'<Block File="..%5Cone.lof" Offset="0" Size="{len(made.data)}" UUID="0"/>'
    path = str(write_project(tmp_path, made, block))
    check_reader(lambda: open_file(path), expected=pixels)
    assert set(map(Path, open_file(path).paths)) == {Path(path), tmp_path / "one.lof"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("dims", "shape", "copies"),
    [
        ("zyx", (3, 4, 5), 0),
        ("zyxc", (3, 4, 5, 3), 0),
        ("zyx", (3, 4, 5), 3),
    ],  # the last: grey written as colour
)
def test_project_with_tiffs(tmp_path: Path, dims: str, shape: tuple[int, ...], copies: int) -> None:
    pixels = numbers(*shape, dtype="u1")
    made = image("one", pixels, dims, channels=BGR)
    size, blocks = pixels[0].nbytes, ""
    for i, plane in enumerate(pixels):
        stored = np.stack([plane] * copies, axis=-1) if copies else plane
        tifffile.imwrite(tmp_path / f"z{i}.tif", stored, compression="deflate")
        blocks += f'<Frame File="../z{i}.tif" Offset="{i * size}" Size="{size}" UUID="0"/>'
    path = str(write_project(tmp_path, made, blocks))
    expected = pixels if dims == "zyx" else pixels.transpose(3, 0, 1, 2)
    check_reader(lambda: open_file(path), expected=expected)
    with liffile.LifFile(path) as file:
        assert np.array_equal(file.images[0].asarray(), pixels)
    (tmp_path / "z1.tif").unlink()
    with pytest.raises(InputNotFoundError, match=r"in z1.tif, which is not there"):
        open_file(path)


def test_project_reads_nothing_outside_its_folder(tmp_path: Path) -> None:
    made = image("one", numbers(4, 5), "yx")
    (folder := tmp_path / "inside").mkdir()
    write_lof(tmp_path / "secret.lof", made)
    path = write_project(folder, made, '<Block File="../../secret.lof" Offset="0" Size="40"/>')
    with pytest.raises(InputError, match="outside its own folder"):
        open_file(path)
    words = path.read_text("utf-8")
    path.write_text(words.replace("Metadata/one.xlif", "../secret.lof"), "utf-8")
    with pytest.raises(InputError, match="outside its own folder"):
        open_file(path)
    path.write_text(words.replace("Metadata/one.xlif", "project.xlef"), "utf-8")
    with pytest.raises(InputError, match="named twice"):
        open_file(path)


def test_truncated(tmp_path: Path) -> None:
    pixels = numbers(4, 3, 20, 30)
    whole_file = write_lif(tmp_path / "a.lif", image("one", pixels, "tzyx")).read_bytes()
    (cut := tmp_path / "cut.lif").write_bytes(whole_file[: -3 * pixels[0].nbytes // 2])
    with pytest.raises(
        InputError, match=r"cut.lif: ends at byte \d+, before the end of 5 of the 12 planes of series 0"
    ):
        open_file(cut)
    reader = open_file(cut, allow_partial=True)
    assert np.array_equal(reader.read((slice(0, 2), slice(0, 3), slice(0, 20), slice(0, 30))), pixels[:2])
    assert reader.spec.missing == (
        (slice(2, 3), slice(1, 3), slice(0, 20), slice(0, 30)),
        (slice(3, 4), slice(0, 3), slice(0, 20), slice(0, 30)),
    )
    cut.write_bytes(whole_file[: -pixels.nbytes - 10])  # in the head of the block
    for partial in (False, True):
        with pytest.raises(InputError, match="pixels of series 0 one are not in it"):
            open_file(cut, allow_partial=partial)


def test_pixels_of_another_image_are_never_taken(tmp_path: Path) -> None:
    one, two = image("one", numbers(4, 5), "yx"), image("two", numbers(4, 5), "yx")
    short = one._replace(data=one.data[:-2])
    with pytest.raises(InputError, match="it has 38 bytes of pixels, before the end of 1 of the 1"):
        open_file(write_lif(tmp_path / "a.lif", short, two))


def test_flim_is_refused(tmp_path: Path) -> None:
    made = image("one", numbers(4, 5), "yx")
    flim = made._replace(
        name="lifetimes", description='<Data><SingleMoleculeDetection IsImage="true"/></Data>'
    )
    path = write_lif(tmp_path / "a.lif", flim, made)
    assert open_file(path).spec.shape == (4, 5)
    with pytest.raises(InputError, match="raw FLIM"):
        open_file(path, series=0)


def test_an_image_that_makes_no_sense_keeps_none_from_the_others(tmp_path: Path) -> None:
    made = image("one", numbers(4, 5), "yx")
    odd = made._replace(name="odd", description=made.description.replace('DataType="0"', 'DataType="7"'))
    path = write_lif(tmp_path / "a.lif", odd, made)
    assert open_file(path).spec.shape == (4, 5)
    with pytest.raises(InputError, match="header makes no sense"):
        open_file(path, series="odd")


def test_mutants_are_named_or_harmless(tmp_path: Path) -> None:
    """A changed letter of the header may say other words or sizes, so what is opened is only read, not compared."""
    pixels = numbers(2, 20, 30)
    data = write_lif(tmp_path / "a.lif", image("one", pixels, "zyx")).read_bytes()
    rng = np.random.default_rng(2)
    path = tmp_path / "mutant.lif"
    for i in range(20):
        mutant = bytearray(data)
        if i % 2:
            del mutant[int(rng.integers(len(data))) :]
        else:
            mutant[int(rng.integers(len(data) - pixels.nbytes))] ^= 1 << int(rng.integers(8))
        path.write_bytes(mutant)
        try:
            found = whole(open_file(path))
        except BigimgError:
            continue
        assert not i % 2 or np.array_equal(found, pixels)


def test_liffile_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_lif(tmp_path / "a.lif", image("one", numbers(4, 5), "yx"))
    monkeypatch.setitem(sys.modules, "liffile", None)
    with pytest.raises(MissingExtraError, match="bio"):
        open_file(path)


@pytest.mark.parametrize("series", [0, 1, 2])
def test_real_file(data: Path, series: int) -> None:
    path = str(data / REAL)
    reader = open_file(path, series=series)
    with liffile.LifFile(path) as file:
        theirs = file.images[series]
        assert np.array_equal(whole(reader), theirs.asarray())  # t λ z y x lies as t c z y x
        for axis in reader.spec.axes:
            if axis.name != "c":
                coords = theirs.coords[axis.name.upper()]
                factor = 1.0 if axis.name == "t" else 1e6
                assert axis.spacing == pytest.approx(float(coords[1] - coords[0]) * factor)
                assert axis.origin == pytest.approx(float(coords[0]) * factor, abs=1e-9)
        wave = theirs.coords["Λ" if series == 1 else "λ"]
    assert [channel.name.split()[1] for channel in reader.spec.channels] == [f"{w * 1e9:.4g}" for w in wave]
    assert reader.spec.meta["Magnification"] in ("63", 63)
    assert "SystemSerialNumber" in reader.spec.private


@pytest.mark.vendors
@pytest.mark.parametrize(("series", "theirs"), [(0, [0]), (1, range(1, 16)), (2, [16])])
def test_real_file_against_openreadout(data: Path, series: int, theirs: Sequence[int]) -> None:
    """It takes each excitation for an image."""
    openreadout = pytest.importorskip("openreadout")
    with openreadout.File(str(data / REAL)) as file:
        expected = np.concatenate([file.read_image(i) for i in theirs], axis=1)
    assert np.array_equal(whole(open_file(data / REAL, series=series)).ravel(), expected.ravel())
