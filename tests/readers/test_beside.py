"""Names of files in a file from a stranger lead nowhere but into its own folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from bigimg.errors import InputError, InputNotFoundError
from bigimg.readers.beside import file_beside, inside, path_beside


@pytest.mark.parametrize(
    ("name", "start", "expected"),
    [
        ("a.raw", "", "a.raw"),
        ("sub\\a.raw", "", "sub/a.raw"),
        ("sub/../a.raw", "", "a.raw"),
        ("./a.raw", "sub", "sub/a.raw"),
        ("../a.raw", "sub", "a.raw"),
        ("64:64:40", "", "64:64:40"),  # no drive
        ("../a.raw", "", None),
        ("../../a.raw", "sub", None),
        ("sub/../../a.raw", "", None),
        ("..\\a.raw", "", None),
        ("/etc/passwd", "", None),
        ("/etc/passwd", "sub", None),
        ("\\\\host\\share\\a.raw", "", None),
        ("C:\\a.raw", "", None),
        ("C:a.raw", "", None),
        ("", "", None),
        (".", "", None),
        ("..", "sub", None),
    ],
)
def test_names(name: str, start: str, expected: str | None) -> None:
    found = inside(name, start)
    assert found == (None if expected is None else str(Path(expected)))


def test_files(tmp_path: Path) -> None:
    header = tmp_path / "a.mhd"
    (tmp_path / "a.raw").touch()
    assert file_beside(str(header), "a.raw") == str(tmp_path / "a.raw")
    assert path_beside(str(header), "b.raw") == str(tmp_path / "b.raw")
    with pytest.raises(
        InputNotFoundError, match=r"a\.mhd: its pixels should be in b\.raw, which is not there"
    ):
        file_beside(str(header), "b.raw")
    with pytest.raises(InputNotFoundError, match=r"b\.raw, which is not there; put that file beside it"):
        file_beside(str(header), "b.raw")
    with pytest.raises(
        InputNotFoundError,
        match=r"a part of it should be in sub/b\.raw, which is not there; put that file there",
    ):
        file_beside(str(header), "b.raw", "sub", what="a part of it")
    with pytest.raises(InputError, match=r"a\.mhd: names the file '\.\./a\.raw', outside its own folder"):
        path_beside(str(header), "../a.raw")
