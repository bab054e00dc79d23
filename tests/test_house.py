"""The house rules that a machine can read from the imports: floors, sisters, what stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bigimg"
FLOORS = {
    "errors": 0, "types": 0, "version": 0,
    "geometry": 1, "system": 1, "places": 2, "reader": 2,
    "pyramid": 3, "lazy": 4,
    # Sisters: the source side, the store side. A reader knows nothing of OME-Zarr, a store nothing of TIFF.
    "readers": 5, "omezarr": 5,
    "planning": 6,
    "conversion": 7, "verification": 8, "opening": 8,
    # Functions of an image take paths too, so these stand above opening.
    "ops": 9, "exporters": 9,
    "faces": 10, "viewing": 11,
    "functions": 12, "accessor": 13, "xarray_engine": 14, "testing": 14, "cli": 14,
    "__init__": 15, "__main__": 15,
}  # fmt: skip
APART = {("opening", "conversion"), ("ops", "conversion"), ("exporters", "ops")}
"""Lower or not, the first may not import the second: reading an image needs no writer."""
MOST_IN_ROOT = 8
"""Modules beside the folders, ``__init__`` and ``__main__`` not counted."""
LONGEST = 450


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of every import, also those inside functions and for type checkers."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def room_of_import(name: str) -> str | None:
    parts = name.split(".")
    if parts[0] != "bigimg":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else "__init__"


def test_every_file_has_a_floor() -> None:
    assert {room_of(path) for path in modules()} <= set(FLOORS)


def test_imports_look_down() -> None:
    wrong = []
    for path in modules():
        room = room_of(path)
        for line, name in imports(path):
            other = room_of_import(name)
            if other is None or other == room:
                continue
            if FLOORS[other] >= FLOORS[room] or (room, other) in APART:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {room} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_no_circle() -> None:
    """Neither at module level nor inside functions: what needs one another is one subject, or wants a lower floor."""
    names = {module_name(path): path for path in modules()}
    below = {
        name: {
            target for _, text in imports(path) if (target := named_module(text, names)) and target != name
        }
        for name, path in names.items()
    }
    while leaves := {name for name in below if not below[name] & below.keys()}:
        for name in leaves:
            del below[name]
    assert not below, f"these import one another, or what does: {sorted(below)}"


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def named_module(name: str, names: Mapping[str, Path]) -> str | None:
    """Return the module that an import of ``name`` (of a module, or of a name in one) loads."""
    found = name if name in names else name.rpartition(".")[0]
    return found if found in names and found != "bigimg" else None


def test_the_root_is_small() -> None:
    found = sorted(path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__"))
    assert len(found) <= MOST_IN_ROOT, found


@pytest.mark.parametrize(
    ("room", "libraries"),
    [
        ("geometry", {"dask", "xarray", "zarr", "os", "pathlib"}),
        ("planning", {"dask", "xarray", "zarr"}),  # arithmetic on frozen values
        ("conversion", {"xarray", "zarr"}),  # what the command calls
        ("pyramid", {"dask", "xarray", "zarr"}),
    ],
)
def test_rooms_do_without(room: str, libraries: set[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules()
        if room_of(path) == room
        for line, name in imports(path)
        if name.split(".")[0] in libraries
    ]
    assert not found


OF_ONE_SYSTEM = {
    "fcntl",
    "resource",
    "ctypes",
    "termios",
    "tty",
    "pty",
    "pwd",
    "grp",
    "posix",
    "msvcrt",
    "winreg",
}
"""Modules that not every system has, and the door to its C library."""
OF_EVERY_SYSTEM = {
    "DirEntry", "PathLike", "SEEK_CUR", "SEEK_END", "SEEK_SET", "W_OK", "X_OK", "_exit", "access", "chmod", "close",
    "environ", "fspath", "fstat", "fsync", "getpid", "listdir", "lstat", "path", "pipe", "replace", "scandir", "sep",
    "stat", "stat_result", "strerror", "umask", "unlink", "utime", "walk", "write", "SIGINT", "SIGTERM", "SIG_IGN",
    "Signals", "signal",
}  # fmt: skip
"""Of ``os`` and ``signal``, what we use that is everywhere and does the same; a rename and an open file are not."""
SCREEN = "viewing/napari/window.py"
"""Asks whether there is a screen, which only Linux can be without."""


def test_only_one_room_knows_the_operating_system() -> None:
    wrong = []
    for path in modules():
        if room_of(path) == "system":
            continue
        where = path.relative_to(PACKAGE).as_posix()
        found = [
            (line, name) for line, name in imports(path)
            if name.split(".")[0] in OF_ONE_SYSTEM
            or (name.startswith(("os.", "signal.")) and name.split(".")[1] not in OF_EVERY_SYSTEM)
        ]  # fmt: skip
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Attribute(value=ast.Name(id="os" | "signal" as module), attr=name, lineno=line):
                    if name not in OF_EVERY_SYSTEM:
                        found.append((line, f"{module}.{name}"))
                case ast.Attribute(value=ast.Name(id="sys"), attr="platform", lineno=line) if where != SCREEN:
                    found.append((line, "sys.platform"))
                case ast.Constant(value=str(text), lineno=line) if text.startswith(
                    ("/proc", "/sys/", "/dev/")
                ):
                    found.append((line, text))
        wrong += [f"{where}:{line}: {name}" for line, name in found]
    assert not wrong, "\n".join(wrong)


DASKS_OWN = (
    "highlevelgraph",
    "blockwise",
    "core",
    "optimization",
    "graph_manipulation",
    "delayed",
    "local",
    "order",
)
"""Modules of dask that say how it works inside; those that begin with an underscore are such too."""
INNER = {"__dask_graph__", "__dask_keys__", "__dask_layers__", "__dask_optimize__", "dask", "expr"}


def test_dask_is_asked_through_its_public_functions() -> None:
    """Its graphs change from one version to the next, and its array expressions have none."""
    wrong = []
    for path in modules():
        for line, name in imports(path):
            inner = name.split(".")[1:2]
            if name.split(".")[0] == "dask" and inner and (inner[0] in DASKS_OWN or inner[0].startswith("_")):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {name}")
        wrong += [
            f"{path.relative_to(ROOT)}:{node.lineno}: .{node.attr}"
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute) and node.attr in INNER
        ]
    assert not wrong, "\n".join(wrong)


def test_two_files_of_the_lazy_tree_know_dask() -> None:
    found = {
        path.name
        for path in modules()
        if room_of(path) == "lazy"
        for _, name in imports(path)
        if name.split(".")[0] == "dask"
    }
    assert found == {"dask_edge.py", "dask_compute.py"}


def test_files_have_a_subject_and_an_end() -> None:
    for path in modules():
        lines = path.read_text(encoding="utf-8").splitlines()
        assert path.stem not in {"utils", "util", "helpers", "helper", "core", "common", "misc"}, path
        assert len(lines) <= LONGEST, f"{path} has {len(lines)} lines"
        assert not lines or lines[0].startswith('"""'), f"{path} does not say what it is"


def loaded_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(' '.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_importing_bigimg_costs_nothing() -> None:
    loaded = loaded_after("import bigimg; bigimg.__all__; dir(bigimg)")
    assert not loaded & {"numpy", "xarray", "dask", "zarr", "click", "PIL", "importlib.metadata"}


def test_help_imports_no_array_library() -> None:
    code = (
        "from click.testing import CliRunner; from bigimg.cli import cli; CliRunner().invoke(cli, ['--help'])"
    )
    assert not loaded_after(code) & {"numpy", "xarray", "dask", "zarr", "PIL", "tifffile"}


def test_info_of_a_path_needs_no_xarray(tmp_path: Path) -> None:
    code = (
        "import numpy, bigimg\n"
        f"path = {str(tmp_path / 'a.npy')!r}\n"
        "numpy.save(path, numpy.zeros((4, 5)))\n"
        "bigimg.info(path); bigimg.imread(path)"
    )
    assert not loaded_after(code) & {"xarray", "dask", "zarr"}


def test_every_public_name_is_there() -> None:
    import bigimg

    for name in bigimg.__all__:
        assert getattr(bigimg, name) is not None
        assert name in dir(bigimg)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        bigimg.nonsense  # noqa: B018


def test_no_public_name_is_that_of_a_file() -> None:
    import bigimg

    rooms = {path.stem for path in PACKAGE.iterdir()}
    assert not rooms & {name for name in bigimg.__all__ if name != "__version__"}
