"""Members of zip files as files: right, bounded, with their other halves, and gone afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from bigimg.errors import InputError, InputNotFoundError, OutputError
from bigimg.places.cache import TemporaryFolder
from bigimg.places.spool import spool
from bigimg.places.unzip import unzip

FILES = {
    "readme.txt": b"hello",
    "scans/brain.hdr": b"header",
    "scans/brain.img": b"pixels" * 1000,
    "scans/brain.nii": b"another file of the same name",
    "scans/other.img": b"not asked for",
    "meta/head.mhd": b"NDims = 3\nElementDataFile = voxels.raw\n",
    "meta/voxels.raw": b"voxels",
    "meta/more.raw": b"more",
    "list/head.mhd": b"ElementDataFile = slice%03d.raw 1 2 1\n",
    "list/slice001.raw": b"1",
    "list/slice002.raw": b"2",
    "series/1.dcm": b"1",
    "series/2.dcm": b"2",
    "series/deeper/3.dcm": b"3",
    "../outside.txt": b"may not be written there",
}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in FILES.items():
            file.writestr(name, content)
        file.mkdir("empty")
    return path


def left(cache: Path) -> list[Path]:
    return list(cache.glob("temporary/*"))


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ("readme.txt", {"readme.txt"}),
        ("scans/brain.nii", {"brain.nii"}),
        ("scans/brain.hdr", {"brain.hdr", "brain.img", "brain.nii"}),
        ("scans/brain.img", {"brain.hdr", "brain.img", "brain.nii"}),
        ("meta/head.mhd", {"head.mhd", "voxels.raw"}),
        ("list/head.mhd", {"head.mhd", "slice001.raw", "slice002.raw"}),
        ("series", {"1.dcm", "2.dcm"}),
        ("../outside.txt", {"outside.txt"}),
    ],
)
def test_a_member_and_what_belongs_to_it(archive: Path, cache: Path, member: str, expected: set[str]) -> None:
    copy = unzip(archive, member, shown="a.zip", most_bytes=10**6)
    folder = copy.folder.path
    assert {path.name for path in folder.iterdir()} == expected
    assert folder.parent == cache / "temporary"
    assert copy.path == (folder if member == "series" else folder / os.path.basename(member))
    if member != "series":
        assert copy.path.read_bytes() == FILES[member]
    del copy
    assert left(cache) == []


def test_absent_members(archive: Path, cache: Path) -> None:
    with pytest.raises(
        InputNotFoundError, match=r"a\.zip: holds no 'b\.png'; it holds .*readme\.txt|… \(15 in all"
    ):
        unzip(archive, "b.png", shown="a.zip", most_bytes=10**6)
    with pytest.raises(InputNotFoundError, match="no such file"):
        unzip(archive.with_name("b.zip"), "b.png", shown="b.zip", most_bytes=10**6)
    assert left(cache) == []


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, cache: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.img", bytes(50_000_000))
    assert (tmp_path / "a.zip").stat().st_size < 100_000
    with pytest.raises(
        InputError, match=r"unpacks to 50000000 bytes, allowed 1000000; use max_download='50MB'"
    ):
        unzip(tmp_path / "a.zip", "a.img", shown="a.zip", most_bytes=10**6)
    assert left(cache) == []


def test_a_bomb_that_lies_about_its_size(tmp_path: Path, cache: Path) -> None:
    """The directory says 5 bytes; zipfile stops there and misses the CRC."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.img", bytes(1_000_000))
    content = path.read_bytes()
    size = (1_000_000).to_bytes(4, "little")
    path.write_bytes(content.replace(size, (5).to_bytes(4, "little")))
    with pytest.raises(InputError, match="cannot be unzipped"):
        unzip(path, "a.img", shown="a.zip", most_bytes=10**6)
    assert left(cache) == []


@pytest.mark.parametrize("where", [0.1, 0.5, 0.99])
def test_damage_is_told(archive: Path, cache: Path, where: float) -> None:
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        start = file.getinfo("scans/brain.img").header_offset
    content[start + 30 + len("scans/brain.img") + 3] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.zip::scans/brain\.img: cannot be unzipped"):
        unzip(archive, "scans/brain.img", shown="a.zip", most_bytes=10**6)
    archive.write_bytes(content[: int(len(content) * where)])
    with pytest.raises(InputError, match="cannot be unzipped"):
        unzip(archive, "readme.txt", shown="a.zip", most_bytes=10**6)
    assert left(cache) == []


def test_locked_members_are_told(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        info = file.getinfo("readme.txt")
        directory = file.start_dir
    content[info.header_offset + 6] |= 1  # the flag of a password, in both headers
    content[directory + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(InputError, match="password"):
        unzip(archive, "readme.txt", shown="a.zip", most_bytes=10**6)


def test_no_room(archive: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3))
    with pytest.raises(OutputError, match="room for 3 bytes"):
        unzip(archive, "readme.txt", shown="a.zip", most_bytes=10**6)
    assert left(cache) == []


def test_what_a_killed_process_left_is_swept(archive: Path, cache: Path, each_way: str) -> None:
    code = (
        "import os, signal; from bigimg.places.cache import TemporaryFolder; from bigimg.system import os_calls\n"
        f"if {each_way!r} == 'portable': os_calls.found = os_calls.OsCalls()\n"
        "folder = TemporaryFolder();"
        "(folder.path / 'a').touch(); print(folder.path, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert Path(done.stdout.strip(), "a").exists()
    mine = TemporaryFolder()
    claims = [path for path in left(cache) if path.name.startswith(".bigimg-")]
    assert len(claims) == (each_way == "portable")
    assert sorted({*left(cache)} - {*claims}) == [mine.path, mine.path.with_suffix(".lock")]
    TemporaryFolder()
    assert mine.path.exists()  # in use, so nobody sweeps it


def test_nothing_is_left_by_a_process_that_fails(archive: Path, cache: Path) -> None:
    code = "from bigimg.places.cache import TemporaryFolder; folder = TemporaryFolder(); raise SystemExit(3)"
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 3
    assert left(cache) == []


def test_spooling_is_bounded_and_wants_bytes(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        file.seek(4)
        copy = spool(file, most_bytes=6)
        assert copy.path.read_bytes() == b"456789"
        assert copy.path.name == "a.bin"
        file.seek(0)
        with pytest.raises(InputError, match="more than the allowed 6 bytes"):
            spool(file, most_bytes=6)
    with path.open() as text, pytest.raises(InputError, match="mode 'rb'"):
        spool(text, most_bytes=99)  # type: ignore[arg-type]
    del copy
    assert left(cache) == []
