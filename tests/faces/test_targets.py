"""No verb and no function writes over what it reads, nor over what is there unasked; a new one has a row here or fails.

Each row is tried with a target that is the source, a link to it or lies inside it, and with one that is there already:
an error, and not one byte anywhere has changed.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image

import bigimg
from bigimg.cli import cli
from bigimg.errors import BigimgError, OutputError, UsageError
from bigimg.faces import convert as converting
from bigimg.faces import downsample as shrinking
from bigimg.faces import patch_files as saving
from bigimg.viewing import canvas, figure_files, pictures
from bigimg.viewing.napari import saving as layers_saving
from bigimg.viewing.napari.layers import layers_of

STORE, PLANES = "s.ome.zarr", "planes"
PIXELS = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)

VERBS: dict[str, list[tuple[str, Callable[[str, str], list[str]]]]] = {
    "slice": [("s.png", lambda s, t: [s, t]), ("s.png", lambda s, t: [s, t, "--figure"])],
    "thumbnail": [("s.tif", lambda s, t: [s, t]), ("s.jpg", lambda s, t: [s, t, "--figure"])],
    "montage": [
        ("s.png", lambda s, t: [s, t, "--plane", "z"]),
        ("s.png", lambda s, t: ["other.png", s, t]),
        ("s.png", lambda s, t: [s, "other.png", t]),
    ],
    "ortho": [
        ("s.png", lambda s, t: [s, t]),
        ("s.png", lambda s, t: ["other.png", t, "--overlay", s]),
    ],
    "histogram": [
        ("s.png", lambda s, t: [s, "--plot", t]),
        ("s.png", lambda s, t: ["other.png", "--where", s, "--plot", t]),
    ],
    "plan": [(STORE, lambda s, t: [s, t])],
    "convert": [(STORE, lambda s, t: [s, t])],
    "stack": [
        (STORE, lambda s, t: [s, "other.ome.zarr", t, "--axis", "z"]),
        (STORE, lambda s, t: ["other.ome.zarr", s, t, "--axis", "z"]),
    ],
    "pack": [(STORE, lambda s, t: [s, t])],
    "unpack": [("s.ozx", lambda s, t: [s, t])],
    "demo": [(STORE, lambda s, t: [t, "--size", "64x64"])],
    "mask": [(STORE, lambda s, t: [s, t, "--above", "3"])],
    "downsample": [(STORE, lambda s, t: [s, t, "--factor", "2"]), ("s.png", lambda s, t: [s, t, "--factor", "2"])],
    "patches": [
        ("s.npy", lambda s, t: [s, t, "--size", "8"]),
        (STORE, lambda s, t: [s, t, "--size", "8"]),
        (PLANES, lambda s, t: [s, t, "--size", "y=8,x=8"]),
        ("mask.npy", lambda s, t: ["other.npy", t, "--size", "8", "--where", s]),
        ("mask.ome.zarr", lambda s, t: ["other.npy", t, "--size", "8", "--where", s]),
    ],
    "export": [(name, lambda s, t: [s, t]) for name in ("s.png", "s.tif", "s.npy")],
}  # fmt: skip
"""Of each verb that writes: the name of its source, which a target could have, and the words after the verb."""
ROWS = [(verb, row) for verb, rows in VERBS.items() for row in range(len(rows))]
READING = {"info", "formats", "stats", "fraction", "verify", "clean", "view", "edit", "upgrade"}
"""Have no target; ``clean`` removes what bigimg left, ``edit``, ``upgrade`` and ``verify`` change a store of ours."""

SAVED: dict[str, Any] = {"progress": False}
FUNCTIONS: dict[str, tuple[str, Callable[[Any, Path], object]]] = {
    "bigimg.plan": (STORE, lambda s, t: bigimg.plan(s, t)),
    "bigimg.convert": (STORE, lambda s, t: bigimg.convert(s, t, **SAVED)),
    "bigimg.convert over": (STORE, lambda s, t: bigimg.convert(s, t, overwrite=True, **SAVED)),
    "bigimg.write": (STORE, lambda s, t: bigimg.write(s, t, **SAVED)),
    "bigimg.write computed": (STORE, lambda s, t: bigimg.write(bigimg.rescale(s), t, overwrite=True, **SAVED)),
    "bigimg.write stacked": (
        STORE,
        lambda s, t: bigimg.write(
            bigimg.stack([bigimg.open(s), bigimg.open("other.ome.zarr")], "z"), t, overwrite=True, **SAVED
        ),
    ),
    "bigimg.pack": (STORE, lambda s, t: bigimg.pack(s, t, **SAVED)),
    "bigimg.pack over": (STORE, lambda s, t: bigimg.pack(s, t, overwrite=True, **SAVED)),
    "bigimg.unpack": ("s.ozx", lambda s, t: bigimg.unpack(s, t, **SAVED)),
    "bigimg.unpack over": ("s.ozx", lambda s, t: bigimg.unpack(s, t, overwrite=True, **SAVED)),
    "bigimg.export": ("s.npy", lambda s, t: bigimg.export(s, t, **SAVED)),
    "bigimg.map_patches": (
        STORE, lambda s, t: bigimg.map_patches(np.negative, s, 16, out=t, overwrite=True, **SAVED)
    ),
    "accessor.export": ("s.npy", lambda s, t: bigimg.open(s).bigimg.export(t, **SAVED)),
    "accessor.map_patches": (
        STORE, lambda s, t: bigimg.open(s).bigimg.map_patches(np.negative, 16, out=t, overwrite=True, **SAVED)
    ),
    "converting.convert_to_store": (
        STORE, lambda s, t: converting.convert_to_store(s, t, overwrite=True, **SAVED)
    ),
    "converting.convert_source": (STORE, lambda s, t: converting.convert_source(s, t, overwrite=True, **SAVED)),
    "saving.save_patches": ("s.npy", lambda s, t: saving.save_patches(bigimg.patches(s, 8), t, **SAVED)),
    "saving.save_patches some": (
        PLANES, lambda s, t: saving.save_patches(bigimg.patches(s, (8, 8))[:3], t, **SAVED)
    ),
    "shrinking.downsample_to": ("s.tif", lambda s, t: shrinking.downsample_to(s, t, factor=2, **SAVED)),
    "shrinking.downsample_to store": (
        STORE, lambda s, t: shrinking.downsample_to(s, t, factor=2, overwrite=True, **SAVED)
    ),
    "pictures.plane_picture": ("s.png", lambda s, t: pictures.plane_picture(s, t)),
    "pictures.plane_picture over": ("s.png", lambda s, t: pictures.plane_picture(s, t, overwrite=True)),
    "pictures.plane_picture of a size": ("s.tif", lambda s, t: pictures.plane_picture(s, t, most=512)),
    "figure_files.plane_figure": ("s.png", lambda s, t: figure_files.plane_figure(s, t)),
    "figure_files.plane_figure over": ("s.png", lambda s, t: figure_files.plane_figure(s, t, overwrite=True)),
    "figure_files.plane_figure of a size": ("s.png", lambda s, t: figure_files.plane_figure(s, t, most=512)),
    "figure_files.montage_figure": (
        "s.png", lambda s, t: figure_files.montage_figure(["other.png", s], t, plane=None)
    ),
    "figure_files.montage_figure over": (
        "s.png", lambda s, t: figure_files.montage_figure([s, "other.png"], t, overwrite=True, plane=None)
    ),
    "figure_files.ortho_figure": ("s.png", lambda s, t: figure_files.ortho_figure(s, t)),
    "figure_files.ortho_figure over": ("s.png", lambda s, t: figure_files.ortho_figure(s, t, overwrite=True)),
    "figure_files.histogram_figure": ("s.png", lambda s, t: figure_files.histogram_figure(s, t)),
    "figure_files.histogram_figure over": (
        "s.png", lambda s, t: figure_files.histogram_figure(s, t, overwrite=True)
    ),
    "layers_saving.save new": (STORE, lambda s, t: layers_saving.save(str(t), layers_of(s))),
    "layers_saving.save": (
        STORE, lambda s, t: layers_saving.save(str(t), layers_of(s), overwrite=True)
    ),
}  # fmt: skip
"""Of each function that writes: the name of its source, and the call; one name may have several."""
DOOR = re.compile("is the source|lies inside the source|--overwrite is for stores")
OF_NO_SOURCE: dict[str, Callable[[Path], object]] = {
    "canvas.save": lambda t: canvas.save(canvas.new_figure(shown=False), t),
}


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sources")
    (place / PLANES).mkdir()
    for name in ("s.png", "other.png", "s.jpg", f"{PLANES}/0.png", f"{PLANES}/1.png"):
        Image.fromarray(PIXELS).save(place / name)
    tifffile.imwrite(place / "s.tif", PIXELS)
    for name in ("s.npy", "other.npy"):
        np.save(place / name, PIXELS)
    np.save(place / "mask.npy", PIXELS > 9)
    for name, pixels in ((STORE, PIXELS), ("other.ome.zarr", PIXELS), ("mask.ome.zarr", PIXELS > 9)):
        bigimg.convert(pixels, place / name, progress=False)
    bigimg.pack(place / STORE, place / "s.ozx", progress=False)
    return place


@pytest.fixture
def place(nursery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with one image in every form, in which we are."""
    shutil.copytree(nursery, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything(place: Path) -> dict[str, object]:
    """Return the content of each file, where each link leads, and the names of all folders."""
    return {
        path.relative_to(place).as_posix(): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in place.rglob("*")
    }


def targets(place: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Yield every target that would harm the source ``name``, with what it is to it."""
    source = place / name
    yield "the source", source
    yield "the source by another path", place / "planes" / ".." / name
    ending = "".join(source.suffixes)
    link = place / f"link{ending}"
    link.symlink_to(name)
    yield "a symbolic link", link
    if source.is_file():
        hard = place / f"hard{ending}"
        os.link(source, hard)
        yield "a hard link", hard
    elif name.endswith(".zarr"):
        yield "inside the source", source / f"more{ending}"
        yield "inside the source by a link", link / f"more{ending}"


def ended(*words: object) -> tuple[int, str]:
    """Return the exit code of a command, run in this process, and what it said at its end."""
    done = CliRunner().invoke(cli, list(map(str, words)))
    if isinstance(done.exception, BigimgError):
        return done.exception.exit_code, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


# ------------------------------------------------------------------------------------------------ all are here


def test_every_verb_has_a_row() -> None:
    assert set(cli.list_commands(click.Context(cli))) == {*VERBS, *READING}


def test_every_function_that_writes_has_a_row() -> None:
    """A public function with a target, here or in a module that rows name, and all faces that call the door."""
    known = {name.split()[0] for name in (*FUNCTIONS, *OF_NO_SOURCE)}
    modules: dict[str, Any] = {"converting": converting, "saving": saving, "shrinking": shrinking}
    modules |= {"pictures": pictures, "figure_files": figure_files, "canvas": canvas}
    found = {f"bigimg.{name}" for name in bigimg.__all__ if writes(getattr(bigimg, name))}
    for short, module in modules.items():
        for name, value in vars(module).items():
            own = getattr(value, "__module__", None) == module.__name__
            if own and not name.startswith("_") and writes(value):
                found.add(f"{short}.{name}")
    accessor = importlib.import_module("bigimg.accessor")
    found |= {f"accessor.{name}" for name, door in vars(accessor.ImageAccessor).items() if writes(door)}
    # The same function under its public name, and a check of a name.
    same = {f"converting.{name}" for name in ("plan", "convert", "write", "check_name")}
    assert found - same <= known


def test_every_module_that_makes_files_is_known() -> None:
    """Whoever puts something under a name that a user gave does so by these means, and asks the door first."""
    package = Path(bigimg.__file__).parent
    makers = {
        "staged",
        "rename_without_replacing",
        "savefig",
        "imwrite",
        "write_text",
        "write_bytes",
        "to_zarr",
    }
    asks = {"checked_target"}
    makes, checks = set(), set()
    for path in package.rglob("*.py"):
        module = path.relative_to(package).with_suffix("").as_posix()
        names = {
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call)
        }
        makes |= {module} if names & makers else set()
        checks |= {module} if names & asks else set()
    # Called by those that ask; copies of ours.
    below = {"conversion/commit", "exporters/staging", "places/spool", "places/transfer"}
    assert makes - below <= checks


def writes(value: Any) -> bool:
    if not inspect.isfunction(value):
        return False
    parameters = inspect.signature(value).parameters
    return bool({"target", "out"} & set(parameters)) or value.__name__ == "map_patches"


# ---------------------------------------------------------------------------------------------------- the verbs


@pytest.mark.parametrize(("verb", "row"), [row for row in ROWS if row[0] != "demo"])
def test_a_verb_leaves_its_source_alone(verb: str, row: int, place: Path) -> None:
    name, words = VERBS[verb][row]
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    may = any("--overwrite" in option.opts for option in command.params)
    for what, target in targets(place, name):
        before = everything(place)
        for over in ([], ["--overwrite"]) if may else ([],):
            code, said = ended(verb, *words(name, str(target)), *over)
            assert (code, bool(DOOR.search(said))) == (2, True), (what, over, said)
            assert everything(place) == before, (what, over)


@pytest.mark.parametrize(("verb", "row"), ROWS)
def test_a_verb_replaces_nothing_unasked(verb: str, row: int, place: Path) -> None:
    name, words = VERBS[verb][row]
    ending = "".join(Path(name).suffixes)
    (place / f"file{ending}").write_bytes(b"mine")
    (place / f"folder{ending}").mkdir()
    (place / f"nowhere{ending}").symlink_to("gone")
    before = everything(place)
    for target in ("file", "folder", "nowhere"):
        folder = target == "folder" and any(
            name in verb for name in ("slice", "thumb", "mont", "ortho", "hist", "export")
        )
        code, said = ended(verb, *words(name, f"{target}{ending}"))
        expected = (2, "is a directory") if folder else (4, "exists already")  # click knows of folders
        assert code == expected[0], (target, said)
        assert expected[1] in said, target
        assert everything(place) == before, target


# ------------------------------------------------------------------------------------------------ the functions


OF_PATHS = ("bigimg.pack", "bigimg.unpack")
"""Copy the bytes of a store, and take its path alone."""
FORMS = [
    (form, name) for name in FUNCTIONS for form in ("path", "array", "tree")
    if form == "path" or name.split()[0] not in OF_PATHS
]  # fmt: skip
FORMS += [("list", name) for name, (source, _) in FUNCTIONS.items() if source.endswith((".png", ".tif"))]


@pytest.mark.parametrize(("form", "name"), FORMS)
def test_a_function_leaves_its_source_alone(name: str, form: str, place: Path) -> None:
    source, call = FUNCTIONS[name]
    for what, target in targets(place, source):
        before = everything(place)
        given = {
            "path": Path(source),
            "array": bigimg.open(source),
            "list": [source],
            "tree": bigimg.open_pyramid(source),
        }
        with pytest.raises(UsageError, match=DOOR):
            call(given[form], target)
        assert everything(place) == before, what


@pytest.mark.parametrize("name", [*FUNCTIONS, *OF_NO_SOURCE])
def test_a_function_replaces_nothing_unasked(name: str, place: Path) -> None:
    source, call = FUNCTIONS.get(name, ("s.png", None))
    target = place / f"there{''.join(Path(source).suffixes)}"
    (place / "elsewhere").write_bytes(b"mine")
    for kind in ("file", "folder", "link"):
        if kind == "file":
            target.write_bytes(b"mine")
        elif kind == "folder":
            target.mkdir()
        else:
            target.symlink_to("elsewhere")
        before = everything(place)
        if not (name.endswith("over") and kind == "file" and source != STORE):
            with pytest.raises(OutputError):
                call(source, target) if call else OF_NO_SOURCE[name](target)
            assert everything(place) == before, kind
        target.rmdir() if kind == "folder" else target.unlink()


@pytest.mark.parametrize("verb", ["slice", "thumbnail", "montage", "export", "histogram"])
def test_no_picture_comes_into_the_store_that_it_shows(verb: str, place: Path) -> None:
    before = everything(place)
    plot = ["--plot"] if verb == "histogram" else []
    code, said = ended(verb, STORE, *plot, f"{STORE}/0/look.png")
    assert (code, everything(place)) == (2, before)
    assert "lies inside the source" in said


# ----------------------------------------------------------------------------------------------- what is allowed


def test_a_picture_replaces_a_file_when_asked(place: Path) -> None:
    Path("there.png").write_bytes(b"old")
    assert ended("slice", "s.npy", "there.png", "--overwrite", "-q") == (0, "")
    np.testing.assert_array_equal(np.asarray(Image.open("there.png")), PIXELS)
    assert not [path for path in place.iterdir() if path.name.startswith(".")]


def test_a_picture_that_fails_leaves_the_old_one(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("there.png").write_bytes(b"old")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bigimg.exporters.run.encode", full)
    before = everything(place)
    with pytest.raises(OutputError, match=r"there\.png: cannot write \(No space left"):
        pictures.plane_picture("s.npy", "there.png", overwrite=True)
    assert everything(place) == before


def test_labels_are_written_into_the_store_that_they_were_made_from(place: Path) -> None:
    img = bigimg.open(STORE)
    for over in (False, True):
        bigimg.write(img > 9, Path(STORE, "labels", "high"), overwrite=over, progress=False)
    assert ended("mask", STORE, f"{STORE}/labels/low", "--below", "9", "-q") == (0, "")
    assert bigimg.verify(STORE).ok
    label = Path(STORE, "labels", "high")
    before = everything(place)
    with pytest.raises(UsageError, match="is the source"):
        bigimg.write(bigimg.open(label), label, overwrite=True, progress=False)
    with pytest.raises(UsageError, match="lies inside the source"):
        bigimg.write(img > 9, Path(STORE, "high"), progress=False)
    assert everything(place) == before


@pytest.mark.parametrize("source", ["a.zip::s.png", "*.png", b"", "open"])
def test_other_places_of_a_source_are_known(source: Any, place: Path) -> None:
    import zipfile

    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.write("s.png")
    os.rename("a.zip", "b.zip") if source == b"" else None
    before = everything(place)
    if source == "open":
        with open("s.png", "rb") as file, pytest.raises(UsageError, match="is the source"):
            pictures.plane_picture(file, "s.png", overwrite=True)
    elif source == b"":  # pixels in memory have no place
        pictures.plane_picture(Path("s.png").read_bytes(), "s.png", overwrite=True)
        np.testing.assert_array_equal(np.asarray(Image.open("s.png")), PIXELS)
        return
    else:
        target = "a.zip" if "::" in source else "other.png"
        with pytest.raises(UsageError, match="is the source"):
            pictures.plane_picture(source, target, overwrite=True)
    assert everything(place) == before


def test_two_dots_behind_a_link_are_those_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other" / "dir").mkdir(parents=True)
    (tmp_path / "link").symlink_to("other/dir")
    bigimg.write(np.full((8, 8), 7, np.uint8), "q.zarr")
    bigimg.write(np.ones((8, 8), np.uint8), "link/../q.zarr")
    assert int(bigimg.open("q.zarr").max()) == 7
    assert int(bigimg.open("other/q.zarr").max()) == 1


@pytest.mark.parametrize("target", ["s.zarr", "s.zarr/0/in.zarr"])
def test_an_address_of_a_file_is_known_as_a_source(tmp_path: Path, target: str) -> None:
    bigimg.write(np.ones((8, 8), np.uint8), tmp_path / "s.zarr")
    with pytest.raises(UsageError):
        bigimg.convert(f"file://{tmp_path}/s.zarr", tmp_path / target, overwrite=True)
    assert int(bigimg.open(tmp_path / "s.zarr").max()) == 1


# ------------------------------------------------------------------------------------ sources of several files


def with_files(place: Path) -> dict[str, tuple[Any, str]]:
    """Make sources of several files; return of each what to open, and the file that must stay."""
    import nibabel

    (place / "v.raw").write_bytes(PIXELS.tobytes())
    (place / "v.mhd").write_text(
        "NDims = 2\nDimSize = 50 40\nElementType = MET_UCHAR\nElementDataFile = v.raw\n"
    )
    (place / "n.raw").write_bytes(PIXELS.tobytes())
    (place / "n.nhdr").write_text(
        "NRRD0004\ntype: uint8\ndimension: 2\nsizes: 50 40\nencoding: raw\ndata file: n.raw\n"
    )
    nibabel.Nifti1Pair(np.zeros((4, 5, 6), np.uint8), np.eye(4)).to_filename(place / "p.img")
    for number in (1, 2):
        tifffile.imwrite(place / f"f{number}.tif", PIXELS)
    (place / "t").mkdir()
    for number in (0, 1):
        planes = "".join(
            f'<TiffData FirstC="{c}" IFD="0" PlaneCount="1"><UUID FileName="tile{c}.tif">urn:uuid:{c}</UUID></TiffData>'
            for c in (0, 1)
        )
        ome = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{number}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" '
            f'SizeX="50" SizeY="40" SizeC="2" SizeZ="1" SizeT="1">{planes}</Pixels></Image></OME>'
        )
        tifffile.imwrite(place / "t" / f"tile{number}.tif", PIXELS, description=ome, metadata=None)
    return {
        "mhd": ("v.mhd", "v.raw"),
        "nhdr": ("n.nhdr", "n.raw"),
        "hdr": ("p.img", "p.hdr"),
        "img": ("p.hdr", "p.img"),
        "list": (["f1.tif", "f2.tif"], "f2.tif"),
        "pattern": ("f?.tif", "f2.tif"),
        "tiles": ("t/tile0.tif", "t/tile1.tif"),
    }


SETS = ["mhd", "nhdr", "hdr", "img", "list", "pattern", "tiles"]


@pytest.mark.parametrize("many", SETS)
@pytest.mark.parametrize("form", ["path", "array", "computed", "moved"])
def test_no_file_of_a_source_of_several_is_written_over(
    many: str, form: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bigimg.conversion.target import checked_target
    from bigimg.opening.open import open_source

    source, other = with_files(place)[many]
    given: Any = open_source(source) if form == "path" else bigimg.open(source)
    if form == "computed":
        given = bigimg.rescale(given)
    if form == "moved":
        monkeypatch.chdir(place.parent)
    before = everything(place)
    with pytest.raises(UsageError, match="is the source"):
        checked_target(place / other, given, overwrite=True, file=True)
    assert everything(place) == before


@pytest.mark.parametrize("form", ["path", "array"])
def test_a_picture_is_not_written_over_a_tile_of_its_source(form: str, place: Path) -> None:
    source, other = with_files(place)["tiles"]
    given = source if form == "path" else bigimg.open(source)
    before = everything(place)
    for write in (
        pictures.plane_picture,
        partial(pictures.plane_picture, most=64),
        figure_files.plane_figure,
    ):
        with pytest.raises(UsageError, match="is the source"):
            write(given, other, overwrite=True)
    assert everything(place) == before


@pytest.mark.parametrize("name", [STORE, "s.npy", "list"])
def test_arithmetic_of_xarray_keeps_the_name_of_its_source(name: str, place: Path) -> None:
    source, target = (["s.png", "other.png"], "other.png") if name == "list" else (name, name)
    img = bigimg.open(source)
    before = everything(place)
    write: Callable[..., object] = bigimg.write if name == STORE else pictures.plane_picture
    for made in (img * 2, img.astype(np.float32), np.sqrt(img), (img > 3).isel(x=slice(9))):
        with pytest.raises(UsageError, match="is the source"):
            write(made, target, overwrite=True)
    assert everything(place) == before


@pytest.mark.parametrize("how", ["opened", "computed", "patches", "mapped", "masked"])
def test_a_source_is_known_after_the_folder_has_changed(
    how: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    img = bigimg.open(STORE)
    cut = bigimg.patches("other.npy", 8, where=bigimg.open("mask.npy"))
    mapped = bigimg.map_patches(np.negative, STORE, 16)
    monkeypatch.chdir(place.parent)
    before = everything(place)
    source = {"patches": "other.npy", "masked": "mask.npy"}.get(how, STORE)
    made = {"opened": img, "computed": bigimg.rescale(img), "mapped": mapped}.get(how)
    with pytest.raises(UsageError, match=DOOR):
        saving.save_patches(cut, place / source, **SAVED) if made is None else bigimg.write(
            made, place / source
        )
    assert everything(place) == before


def test_a_list_of_files_is_not_converted_over_one_of_them(place: Path) -> None:
    shutil.copy("s.png", "a")
    shutil.copy("s.png", "b")
    before = everything(place)
    with pytest.raises(UsageError, match="is the source"):
        bigimg.convert(["a", "b"], "a", overwrite=True, progress=False)
    assert everything(place) == before


ADDRESSES = [
    "s3://bucket/a.ome.zarr", "gs://b/c/a.ome.zarr", "memory://a.ome.zarr", "http://127.0.0.1/a.ome.zarr",
    "file:///none/a.ome.zarr", "S3://bucket/a.ome.zarr", "simplecache::s3://bucket/a.ome.zarr", "https://a.org/a.tif",
    Path("s3://bucket/a.ome.zarr"),
]  # fmt: skip


@pytest.mark.parametrize("target", ADDRESSES, ids=str)
def test_an_address_never_becomes_a_folder(
    target: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", PIXELS)
    folder = Path(os.path.normpath(target)).parent
    folder.mkdir(parents=True, exist_ok=True) if not folder.is_absolute() else None
    before = sorted(tmp_path.rglob("*"))
    stored = target if isinstance(target, Path) else target.replace(".tif", "")
    calls: list[Callable[[], Any]] = [
        lambda: bigimg.plan("a.npy", stored), lambda: bigimg.convert("a.npy", stored),
        lambda: bigimg.write(PIXELS, stored), lambda: bigimg.export(PIXELS, f"{target}.tif"),
        lambda: pictures.plane_picture("a.npy", f"{target}.png"),
        lambda: bigimg.map_patches(np.negative, PIXELS, 9, out=stored),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(UsageError, match=r"is an address, and bigimg writes to folders of this machine"):
            call()
    found = CliRunner().invoke(cli, ["convert", "a.npy", str(stored)])
    assert isinstance(found.exception, UsageError)
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "s3:").mkdir(exist_ok=True)
    bigimg.write(PIXELS, "./s3:/a.ome.zarr", progress=False, sync=False)
    assert (tmp_path / "s3:/a.ome.zarr").is_dir()
