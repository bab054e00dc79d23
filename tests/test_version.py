"""The line that adds an extra fits how bigimg was installed; what is required is used."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
from fsspec.registry import known_implementations
from pydicom.pixels.decoders import gdcm, pyjpegls, pylibjpeg

import bigimg
from bigimg.version import DISTRIBUTION, install_line

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = {"pillow": "PIL", "python-gdcm": "gdcm", "backports-zstd": "backports",
           "openslide-python": "openslide", "openslide-bin": "openslide"}  # fmt: skip
"""Where import and distribution differ by more than a hyphen; ``openslide`` loads the library in openslide-bin."""
EDITABLE = {"url": "file:///home/me/big%20img", "dir_info": {"editable": True}}
FOLDER = {"url": "file:///home/me/bigimg", "dir_info": {}}
WHEEL = {"url": "file:///tmp/bigimg_zarr-0.1.0-py3-none-any.whl", "archive_info": {}}


@pytest.mark.parametrize(
    ("installer", "origin", "prefix", "line"),
    [
        ("uv", EDITABLE, "/home/me/big img/.venv", "uv sync --project '/home/me/big img' --inexact --extra plot"),
        ("uv", EDITABLE, "/home/me/env", "uv pip install -e '/home/me/big img[plot]'"),
        ("pip", EDITABLE, "/home/me/big img/.venv", "pip install -e '/home/me/big img[plot]'"),
        ("pip", FOLDER, "/env", "pip install '/home/me/bigimg[plot]'"),
        ("pip", WHEEL, "/env", "pip install 'bigimg-zarr[plot]'"),
        ("uv", None, "/env", "uv pip install 'bigimg-zarr[plot]'"),
        ("pip", None, "/env", "pip install 'bigimg-zarr[plot]'"),
        (None, None, "/env", "pip install 'bigimg-zarr[plot]'"),
        ("uv", None, "uv-receipt.toml", "uv tool install 'bigimg-zarr[plot]'"),
        ("uv", FOLDER, "uv-receipt.toml", "uv tool install '/home/me/bigimg[plot]'"),
        ("pip", None, "pipx_metadata.json", "pipx runpip bigimg-zarr install 'bigimg-zarr[plot]'"),
        ("uv", None, "pipx_metadata.json", "pipx runpip bigimg-zarr install 'bigimg-zarr[plot]'"),
    ],
)  # fmt: skip
def test_the_line_fits_the_installation(
    installer: str | None,
    origin: object,
    prefix: str,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last part of a relative prefix is the file by which the maker of that environment is known."""
    known = tmp_path / f"{DISTRIBUTION}-0.1.0.dist-info"
    known.mkdir()
    if installer is not None:
        (known / "INSTALLER").write_text(f"{installer}\n")
    if origin is not None:
        (known / "direct_url.json").write_text(json.dumps(origin))
    if not prefix.startswith("/"):
        (tmp_path / prefix).touch()
        prefix = str(tmp_path)
    monkeypatch.setattr(sys, "prefix", prefix)
    monkeypatch.setattr(
        importlib.metadata, "distribution", lambda name: importlib.metadata.Distribution.at(known)
    )
    assert install_line("plot") == line


def test_requirements_beside_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    beside = ("napari", "napari[pyqt6]")
    folder = Path(sys.prefix).parent
    if install_line("plot").startswith("uv sync"):
        assert install_line(*beside) == (
            f"uv sync --project {folder} --inexact --extra napari && uv pip install 'napari[pyqt6]'"
        )

    def unknown(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", unknown)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert install_line(*beside) == "pip install 'bigimg-zarr[napari]' 'napari[pyqt6]'"
    (tmp_path / "uv-receipt.toml").touch()
    assert install_line(*beside) == "uv tool install 'bigimg-zarr[napari]' '--with=napari[pyqt6]'"


def test_the_distribution_has_one_name() -> None:
    assert PROJECT["name"] == DISTRIBUTION
    assert importlib.metadata.version(DISTRIBUTION) == bigimg.__version__
    assert (ROOT / "bigimg" / "napari.yaml").read_text().splitlines()[1] == f"name: {DISTRIBUTION}"
    assert PROJECT["entry-points"]["napari.manifest"] == {DISTRIBUTION: "bigimg:napari.yaml"}


def test_no_page_and_no_message_installs_the_package_of_a_stranger() -> None:
    texts = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "pyproject.toml"]
    for folder in ("bigimg", "docs", "benchmarks", "examples"):
        texts += [path for ending in ("py", "md", "yaml") for path in (ROOT / folder).rglob(f"*.{ending}")]
    strangers = re.compile(r"\bbigimg\[|\b(install|add|--with|--from|inject|download) +['\"]?bigimg(?![\w-])")
    assert strangers.search("pip install bigimg")
    assert strangers.search("uv add 'bigimg[plot]'")
    found = [f"{path.relative_to(ROOT)}: {match[0]}" for path in texts
             for match in strangers.finditer(path.read_text(encoding="utf-8"))]  # fmt: skip
    assert not found


# ------------------------------------------------------------------------------------------------- what is required


def module_of(requirement: str) -> str:
    name = re.match(r"[\w-]+", requirement)
    assert name is not None
    return MODULES.get(name[0], name[0].replace("-", "_"))


def imported_and_named() -> tuple[set[str], set[str]]:
    """Return the packages that bigimg imports, and its strings."""
    imports: set[str] = set()
    strings: set[str] = set()
    for path in (ROOT / "bigimg").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import():
                    imports |= {alias.name.split(".")[0] for alias in node.names}
                case ast.ImportFrom(module=str(module)):
                    imports.add(module.split(".")[0])
                case ast.Constant(value=str(text)):
                    strings.add(text)
    return imports | {text.split(".")[0] for text in strings if text == "backports.zstd"}, strings


def test_every_core_dependency_is_imported() -> None:
    imports, _ = imported_and_named()
    modules = {module_of(each) for each in PROJECT["dependencies"]}
    assert modules <= imports, modules - imports


def test_every_extra_is_imported_or_named_where_it_is_used() -> None:
    """By bigimg; or by pydicom, which asks its plugins for decoders; or by fsspec, for what a scheme needs."""
    imports, strings = imported_and_named()
    by_pydicom = {module_of(each) for plugins in (gdcm, pyjpegls, pylibjpeg)
                  for needs in plugins.DECODER_DEPENDENCIES.values() for each in needs}  # fmt: skip
    by_fsspec = {each["class"].split(".")[0] for each in known_implementations.values()}
    for extra, packages in PROJECT["optional-dependencies"].items():
        assert packages, f"the extra {extra} is empty"
        if extra != "all":
            modules = {module_of(each) for each in packages}
            used = {"dicom": by_pydicom, "remote": by_fsspec | strings | imports}.get(
                extra, imports | strings
            )
            assert modules <= used, f"{extra}: {modules - used}"


def test_all_holds_every_extra() -> None:
    extras = PROJECT["optional-dependencies"]
    (line,) = extras["all"]
    assert line == f"{DISTRIBUTION}[{','.join(name for name in extras if name != 'all')}]"
