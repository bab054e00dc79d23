"""A store in one file: what is in the file, that it is the store, that nothing but a store comes out of one."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import bigimg
from bigimg.conversion import commit, packing
from bigimg.conversion.leftovers import clean
from bigimg.errors import (
    BudgetError,
    InputError,
    InputNotFoundError,
    IntegrityError,
    OutputError,
    TargetExistsError,
    UsageError,
)
from bigimg.faces.convert import convert_to_store
from bigimg.omezarr.archive import Archive
from bigimg.system import files
from tests.conversion.sources import noise
from tests.conversion.test_run import tree

ASKED: dict[str, Any] = {"memory": "2GB", "progress": False}
PIXELS = noise((3, 70, 90), "u2")
COMMENT = {"ome": {"version": "0.5", "zipFile": {"centralDirectory": {"jsonFirst": True}}}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a label image."""
    store = tmp_path_factory.mktemp("packing") / "a.ome.zarr"
    img = bigimg.from_array(PIXELS, dims="zyx", spacing=(2, 0.5, 0.5), unit="um")
    bigimg.write(img, store, chunks=16, shards=32, **ASKED)
    bigimg.write(PIXELS > 300, store / "labels" / "m", chunks=16, shards=32, **ASKED)
    return store


@pytest.fixture(scope="module")
def packed(whole: Path) -> Path:
    target = whole.with_name("a.ozx")
    bigimg.pack(whole, target, **ASKED)
    return target


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "s.ome.zarr")
    return tmp_path / "s.ome.zarr"


def left_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# --------------------------------------------------------------------------------------------------------- the file


def test_the_file_is_as_rfc_9_has_it(packed: Path, whole: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        infos = archive.infolist()
        names = [info.filename for info in infos]
        assert json.loads(archive.comment) == COMMENT
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in names} == {
            path.relative_to(whole).as_posix(): path.read_bytes()
            for path in whole.rglob("*")
            if path.is_file()
        }
    assert {(info.compress_type, info.flag_bits) for info in infos} == {
        (zipfile.ZIP_STORED, 0)
    }  # no descriptors
    documents = [name.rpartition("/")[2] == "zarr.json" for name in names]
    assert documents == sorted(documents, reverse=True)
    depths = [name.count("/") for name, document in zip(names, documents, strict=True) if document]
    assert (names[0], depths) == ("zarr.json", sorted(depths))
    assert [info.header_offset for info in infos] == sorted(info.header_offset for info in infos)


def test_zarr_python_reads_it(packed: Path) -> None:
    group = zarr.open_group(zarr.storage.ZipStore(packed, mode="r"), mode="r")
    np.testing.assert_array_equal(group["0"][...], PIXELS)
    np.testing.assert_array_equal(group["labels/m/0"][...], PIXELS > 300)


def test_the_same_store_gives_the_same_bytes(packed: Path, store: Path, tmp_path: Path) -> None:
    for path in store.rglob("*"):
        os.utime(path, (0, 0))
    bigimg.pack(store, tmp_path / "b.ozx", **ASKED)
    assert (tmp_path / "b.ozx").read_bytes() == packed.read_bytes()


def test_out_of_it_comes_the_same_store(packed: Path, whole: Path, tmp_path: Path) -> None:
    done = bigimg.unpack(packed, tmp_path / "b.ome.zarr", **ASKED)
    assert tree(tmp_path / "b.ome.zarr") == tree(whole)
    sizes = [path.stat().st_size for path in whole.rglob("*") if path.is_file()]
    assert (done.objects, done.stored_bytes) == (len(sizes), sum(sizes))
    assert left_in(tmp_path) == ["b.ome.zarr"]
    assert (tmp_path / "b.ome.zarr/bigimg/provenance/zarr.json").exists()


def test_it_opens_as_the_folder_does(packed: Path, whole: Path) -> None:
    here, there = bigimg.info(packed).to_dict(), bigimg.info(whole).to_dict()
    assert {**here, "source": None} == {**there, "source": None}
    np.testing.assert_array_equal(bigimg.open(packed).to_numpy(), PIXELS)
    assert bigimg.verify(packed, whole).ok
    assert bigimg.verify(packed).objects == bigimg.verify(whole).objects


def test_verify_finds_a_flipped_bit_in_a_label_image(packed: Path, tmp_path: Path) -> None:
    data = bytearray(packed.read_bytes())
    with zipfile.ZipFile(packed) as archive:
        info = archive.getinfo("labels/m/0/c/0/1/1")
    data[info.header_offset + 30 + len(info.filename) + 40] ^= 1
    (tmp_path / "b.ozx").write_bytes(data)
    (finding,) = [each for each in bigimg.verify(tmp_path / "b.ozx").findings if each.kind == "corrupt"]
    assert finding.file == "labels/m/0/c/0/1/1"
    with pytest.raises(InputError, match=r"labels/m/0/c/0/1/1: cannot be unzipped \(Bad CRC-32"):
        bigimg.unpack(tmp_path / "b.ozx", tmp_path / "c", **ASKED)
    assert left_in(tmp_path) == ["b.ozx"]


def test_its_documents_are_known_without_its_directory(
    packed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened: list[object] = []
    init = zipfile.ZipFile.__init__
    monkeypatch.setattr(
        zipfile.ZipFile, "__init__", lambda self, *a, **n: (opened.append(a), init(self, *a, **n))[1]
    )
    img = bigimg.open(packed)
    assert (img.shape, opened) == (PIXELS.shape, [])
    np.testing.assert_array_equal(img.to_numpy(), PIXELS)
    assert len(opened) == 1
    data = packed.read_bytes()
    at = data.rindex(b"PK\5\6")
    (tmp_path / "mute.ozx").write_bytes(data[: at + 20] + b"\0\0")  # without the comment nothing is promised
    np.testing.assert_array_equal(bigimg.open(tmp_path / "mute.ozx").to_numpy(), PIXELS)
    (tmp_path / "flipped.ozx").write_bytes(data.replace(b'"uint16"', b'"uint32"', 1))
    with pytest.raises(InputError, match=r"flipped\.ozx: .*zarr\.json cannot be unzipped"):
        bigimg.open(tmp_path / "flipped.ozx")
    lying = data[: at + 16] + struct.pack("<I", 7) + data[at + 20 :]
    (tmp_path / "lying.ozx").write_bytes(lying)
    with pytest.raises(InputError, match=r"lying\.ozx"):
        bigimg.open(tmp_path / "lying.ozx").to_numpy()


def test_opening_it_reads_no_more_often_than_opening_the_folder(
    packed: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One read an object, its header in the same one; the directory of the file is read once."""
    reads: list[tuple[int, int]] = []
    directories: list[object] = []
    read_at, opened = files.read_at, zipfile.ZipFile.__init__

    def counted(file: int, length: int, offset: int) -> bytes:
        reads.append((offset, length))
        return read_at(file, length, offset)

    def once(self: Any, *args: Any, **named: Any) -> None:
        directories.append(args)
        opened(self, *args, **named)

    def thumbnail(path: Path) -> list[str]:
        documents: list[str] = []
        read_bytes = Path.read_bytes

        def noted(self: Path) -> bytes:
            documents.append(str(self))
            return read_bytes(self)

        with monkeypatch.context() as patch:
            patch.setattr(files, "read_at", counted)
            patch.setattr(zipfile.ZipFile, "__init__", once)
            patch.setattr(Path, "read_bytes", noted)
            np.asarray(bigimg.thumbnail(bigimg.open(path, level=1)[0], 40))
        return documents

    documents = thumbnail(whole)
    of_folder = len(documents) + len(reads)
    reads.clear()
    thumbnail(packed)
    assert len(directories) == 1
    assert len(reads) <= 1.1 * of_folder


# ----------------------------------------------------------------------------------------------- converted to one file


def test_a_conversion_to_one_file(whole: Path, tmp_path: Path) -> None:
    plan = bigimg.plan(whole, tmp_path / "b.ozx", ome_version="0.6", chunks=32, probe=False)
    assert "packed into one file at the end: until then it takes twice its size on the disk" in plan.notes
    convert_to_store(whole, tmp_path / "b.ozx", ome_version="0.6", chunks=32, **ASKED)
    assert left_in(tmp_path) == ["b.ozx"]
    with zipfile.ZipFile(tmp_path / "b.ozx") as archive:
        assert json.loads(archive.comment)["ome"]["version"] == "0.6"
        assert plan.files == len(archive.namelist())
    assert bigimg.info(tmp_path / "b.ozx").labels == ("m",)
    np.testing.assert_array_equal(bigimg.open(tmp_path / "b.ozx").to_numpy(), PIXELS)
    assert bigimg.verify(tmp_path / "b.ozx", whole).ok


def test_an_interrupted_one_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", PIXELS)
    asked = {"chunks": 16, "shards": 32, "workers": 1, **ASKED}
    for stop in ("block", "swept", "packed", "written"):

        def step(name: str, stop: str = stop) -> None:
            if name == stop:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(commit, "hook", step)
            with pytest.raises(KeyboardInterrupt):
                convert_to_store(tmp_path / "a.npy", tmp_path / "b.ozx", **asked)
        assert left_in(tmp_path) == [".b.ozx.bigimg", "a.npy"]
        result = convert_to_store(tmp_path / "a.npy", tmp_path / "b.ozx", **asked)
        assert result.blocks_resumed >= 1, stop
        assert bigimg.verify(tmp_path / "b.ozx", tmp_path / "a.npy").ok
        (tmp_path / "b.ozx").unlink()


def test_one_file_has_no_zarr_2(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"b\.ozx: a store in one file is one of zarr 3: write ome_version 0\.5"
    ):
        convert_to_store(PIXELS, tmp_path / "b.ozx", ome_version="0.4", **ASKED)
    bigimg.write(PIXELS, tmp_path / "old", ome_version="0.4", **ASKED)
    with pytest.raises(UsageError, match=r"of zarr 2, .* bigimg convert .*old NAME\.ozx makes one"):
        bigimg.pack(tmp_path / "old", tmp_path / "b.ozx", **ASKED)
    shutil.make_archive(str(tmp_path / "old.zarr"), "zip", tmp_path / "old")
    bigimg.unpack(tmp_path / "old.zarr.zip", tmp_path / "new", **ASKED)
    assert tree(tmp_path / "new") == tree(tmp_path / "old")


# ---------------------------------------------------------------------------------------------------------- overwriting


def test_what_is_replaced_is_a_store_of_ours_without_labels_that_would_be_lost(
    packed: Path, store: Path, tmp_path: Path
) -> None:
    target = tmp_path / "b.ozx"
    shutil.copy(packed, target)
    with pytest.raises(TargetExistsError, match=r"nothing was changed: remove it or choose another name$"):
        bigimg.convert(PIXELS, target, **ASKED)
    with pytest.raises(OutputError, match=r"holds label images, which overwrite never replaces \(labels/m\)"):
        bigimg.convert(PIXELS, target, overwrite=True, **ASKED)
    assert target.read_bytes() == packed.read_bytes()
    bigimg.edit(store, spacing="z=4um")
    bigimg.pack(store, target, overwrite=True, **ASKED)  # it holds the same label image
    assert bigimg.open(target).bigimg.spacing["z"] == 4
    bigimg.convert(store, target, overwrite=True, **ASKED)  # and it goes along
    assert [*bigimg.info(target).labels] == ["m"]
    shutil.rmtree(store / "labels")
    with pytest.raises(OutputError, match=r"holds label images.*: unpack it, or write to another name"):
        bigimg.pack(store, target, overwrite=True, **ASKED)
    target.unlink()
    bigimg.pack(store, target, **ASKED)
    bigimg.convert(PIXELS[0], target, overwrite=True, **ASKED)
    assert bigimg.open(target).dims == ("y", "x")


@pytest.mark.parametrize("content", [b"", b"mine", None])
def test_no_file_of_others_is_replaced(content: bytes | None, tmp_path: Path) -> None:
    target = tmp_path / "b.ozx"
    if content is None:
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr("zarr.json", "{}")
    else:
        target.write_bytes(content)
    before = target.read_bytes()
    with pytest.raises(OutputError, match="is no store in one file that bigimg wrote, and never overwritten"):
        bigimg.convert(PIXELS, target, overwrite=True, **ASKED)
    assert target.read_bytes() == before


# -------------------------------------------------------------------------------------------------- what is not packed


def test_a_damaged_store_is_not_packed(store: Path, tmp_path: Path) -> None:
    (store / "labels/m/0/c/0/1/1").unlink()
    with pytest.raises(IntegrityError, match=r"s\.ome\.zarr/labels/m/0/c/0/1/1: .*bigimg verify"):
        bigimg.pack(store, tmp_path / "b.ozx", **ASKED)
    assert left_in(tmp_path) == ["s.ome.zarr"]


def test_links_are_refused_and_hidden_files_left_out(store: Path, tmp_path: Path) -> None:
    (store / ".DS_Store").write_bytes(b"x")
    (store / "labels/.m2.bigimg/store").mkdir(parents=True)
    (store / "labels/.m2.bigimg/store/zarr.json").write_bytes(b"x")
    bigimg.pack(store, tmp_path / "b.ozx", **ASKED)
    with zipfile.ZipFile(tmp_path / "b.ozx") as archive:
        assert not [name for name in archive.namelist() if "/." in f"/{name}"]
    (tmp_path / "elsewhere").mkdir()
    (store / "tables").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"tables: is a link, a pipe or a device: put the file itself there"):
        bigimg.pack(store, tmp_path / "c.ozx", **ASKED)


def test_any_hierarchy_of_zarr_3_is_packed(tmp_path: Path) -> None:
    root = zarr.create_group(tmp_path / "a.zarr")
    root.create_array("x", shape=(5,), chunks=(2,), dtype="u1")[...] = 7
    bigimg.pack(tmp_path / "a.zarr", tmp_path / "a.ozx", **ASKED)
    with zipfile.ZipFile(tmp_path / "a.ozx") as archive:
        assert archive.comment == b""  # no OME-Zarr
    bigimg.unpack(tmp_path / "a.ozx", tmp_path / "b.zarr", **ASKED)
    assert tree(tmp_path / "b.zarr") == tree(tmp_path / "a.zarr")


@pytest.mark.parametrize("edited", ["", "labels/m"])
def test_an_edit_meanwhile_is_noticed(
    edited: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the store and of a label image in it: each document is compared with what was packed of it."""
    write = packing.write_packed

    def slow(*args: Any) -> None:
        left = len(list(store.rglob("zarr.json")))

        def tell(_: int) -> None:
            nonlocal left
            left -= 1
            if not left:
                bigimg.edit(store / edited, spacing="z=9um")

        write(*args[:-1], tell)

    monkeypatch.setattr(packing, "write_packed", slow)
    with pytest.raises(InputError, match="was edited while it was packed: pack it again"):
        bigimg.pack(store, tmp_path / "b.ozx", **ASKED)
    assert left_in(tmp_path) == ["s.ome.zarr"]


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (lambda s, p, t: bigimg.pack(s, t / "b.zip"), UsageError, r"has a name that ends in \.ozx"),
        (lambda s, p, t: bigimg.pack(p, t / "b.ozx"), UsageError, "only a folder is packed"),
        (lambda s, p, t: bigimg.pack(s, s / "b.ozx"), UsageError, "the target lies inside the source"),
        (lambda s, p, t: bigimg.pack(t, t.parent / "b.ozx"), InputError, r"no zarr\.json here"),
        (lambda s, p, t: bigimg.pack(t / "no", t / "b.ozx"), InputNotFoundError, "no such file or folder"),
        (lambda s, p, t: bigimg.pack(bigimg.open(s), t / "b.ozx"), UsageError, "DataArray is no path"),
        (lambda s, p, t: bigimg.pack(s, p), TargetExistsError, "exists already"),
        (lambda s, p, t: bigimg.unpack(s, t / "b"), UsageError, "is no file in which a store is packed"),
        (lambda s, p, t: bigimg.unpack(p, t / "b.ozx"), UsageError, r"\.ozx is the name of a file"),
        (lambda s, p, t: bigimg.unpack(p, s), TargetExistsError, "exists already"),
        (lambda s, p, t: bigimg.unpack(p, t / "b", memory="1MB"), BudgetError, "use memory="),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused(
    make: Callable[..., object], kind: type[Exception], said: str, whole: Path, packed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    with pytest.raises(kind, match=said):
        make(whole, packed, folder)
    assert (left_in(folder), left_in(tmp_path)) == ([], ["t"])


# ------------------------------------------------------------------------------------------------- what is not unpacked


def archive_of(path: Path, objects: dict[str, bytes], **named: Any) -> Path:
    with zipfile.ZipFile(path, "w", **named) as archive:
        for key, data in objects.items():
            archive.writestr(key, data)
    return path


GROUP = json.dumps({"zarr_format": 3, "node_type": "group"}).encode()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"../x": b""}, r"holds '\.\./x', which is no place in a store; nothing was unpacked"),
        ({"a/../../x": b""}, "no place in a store"),
        ({"/etc/x": b""}, "no place in a store"),
        ({"a\\..\\x": b""}, "no place in a store"),
        ({"C:x": b""}, "no place in a store"),
        ({"a//b": b""}, "no place in a store"),
        ({"./a": b""}, "no place in a store"),
        ({"a": b"", "a/b": b""}, "holds a as a file and as a folder"),
    ],
)
def test_nothing_leads_out_of_the_store(more: dict[str, bytes], said: str, tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.ozx", {"zarr.json": GROUP, **more})
    with pytest.raises(InputError, match=said):
        bigimg.unpack(path, tmp_path / "b", **ASKED)
    assert left_in(tmp_path) == ["a.ozx"]


@pytest.mark.filterwarnings("ignore:Duplicate")
def test_damaged_archives_leave_nothing(packed: Path, tmp_path: Path) -> None:
    target = tmp_path / "b"
    (tmp_path / "none.ozx").write_bytes(b"")
    (tmp_path / "cut.ozx").write_bytes(packed.read_bytes()[:-100])
    archive_of(tmp_path / "no-store.ozx", {"a.txt": b"x"})
    with zipfile.ZipFile(tmp_path / "twice.ozx", "w") as archive:
        archive.writestr("zarr.json", GROUP)
        archive.writestr("a", b"x")
        archive.writestr("a", b"y")
    archive_of(tmp_path / "bzip2.ozx", {"zarr.json": GROUP, "a": bytes(999)}, compression=zipfile.ZIP_BZIP2)
    for name, said in (
        ("none.ozx", "not a zip file"), ("cut.ozx", "not a zip file"), ("no-store.ozx", "it is no store"),
        ("twice.ozx", "holds a twice"), ("bzip2.ozx", "its compression is not that of a store"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            bigimg.unpack(tmp_path / name, target, **ASKED)
        assert not target.exists()
    assert len(left_in(tmp_path)) == 5


def test_a_deflated_one_is_unpacked_in_pieces_of_the_size_it_says(tmp_path: Path) -> None:
    path = archive_of(
        tmp_path / "a.zarr.zip", {"zarr.json": GROUP, "x": bytes(3_000_000)}, compression=zipfile.ZIP_DEFLATED
    )
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\1\2") + 24  # the directory says that x has fewer bytes
    data[at : at + 4] = struct.pack("<I", 64)
    bigimg.unpack(path, tmp_path / "b", **ASKED)
    assert (tmp_path / "b/x").read_bytes() == bytes(3_000_000)
    path.write_bytes(data)
    with pytest.raises(InputError, match="cannot be unzipped"):
        bigimg.unpack(path, tmp_path / "c", **ASKED)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("name", ["a.ozx", "a.zip"])
def test_the_budget_is_asked_before_the_directory_is_read(
    name: str, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive_of(tmp_path / name, {"zarr.json": GROUP})
    shutil.copy(packed, path) if name == "a.ozx" else None
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(BudgetError, match="use memory="):
        bigimg.unpack(path, tmp_path / "b", memory="1MB", progress=False)


@pytest.mark.parametrize("large", [False, True])
def test_the_end_tells_how_many_members_there_may_be(large: bool, tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.zip", {f"0/c/{n}/0": b"" for n in range(500)})
    data, end = path.read_bytes(), path.read_bytes().rindex(b"PK\5\6")
    if large:  # as of a file of more than 4 GB
        count, _, size, start = struct.unpack_from("<HHII", data, end + 8)
        record = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, size, start)
        where = b"PK\6\7" + struct.pack("<IQI", 0, end, 1)
        path.write_bytes(data[:end] + record + where + data[end : end + 8] + b"\xff" * 12 + b"\0\0")
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 500
    assert 500 <= Archive(path).most_members <= 700


def test_to_open_a_packed_store_its_members_are_not_counted(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigimg.omezarr.archive.most_members", None)
    np.testing.assert_array_equal(bigimg.open(packed), PIXELS)
    (tmp_path / "a.ozx").write_bytes(b"no zip file" * 9)
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"a\.ozx: not a zip file that can be read"):
        bigimg.open(tmp_path / "a.ozx")


def test_a_full_disk_is_noticed_before(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OutputError, match="are free: make room or choose another disk"):
        bigimg.unpack(packed, tmp_path / "b", **ASKED)
    assert left_in(tmp_path) == []


def test_stopped_at_any_step_nothing_has_the_name(
    whole: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, make in (
        ("b.ozx", lambda t: bigimg.pack(whole, t, **ASKED)),
        ("b", lambda t: bigimg.unpack(packed, t, **ASKED)),
    ):
        for stop in ("owned", "begun", "packed", "unpacked", "written", "synced"):

            def step(at: str, stop: str = stop) -> None:
                if at == stop:
                    raise KeyboardInterrupt

            with monkeypatch.context() as patch:
                patch.setattr(commit, "hook", step)
                try:
                    make(tmp_path / name)
                except KeyboardInterrupt:
                    assert not (tmp_path / name).exists()
            clean(tmp_path, remove=True)
            assert left_in(tmp_path) in ([], [name])
            shutil.rmtree(tmp_path / name, ignore_errors=True)
            (tmp_path / name).unlink(missing_ok=True) if name == "b.ozx" else None


def test_a_store_within_a_zip_file(whole: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "slides"), "zip", whole.parent, whole.name)
    bigimg.unpack(f"{tmp_path / 'slides.zip'}::{whole.name}", tmp_path / "b", **ASKED)
    assert tree(tmp_path / "b") == tree(whole)


def test_a_plate_is_looked_over_before_and_verified_in_its_file(tmp_path: Path) -> None:
    plate = tmp_path / "p.ome.zarr"
    images = {"A01": np.arange(4800, dtype="u2").reshape(60, 80), "B03": np.ones((60, 80), "u1")}
    bigimg.convert(images, plate, memory="2GB", progress=False)
    bigimg.write(images["A01"] > 9, plate / "A/01/0/labels/m", memory="2GB", progress=False)
    packed = tmp_path / "p.ozx"
    bigimg.pack(plate, packed, progress=False)
    assert bigimg.verify(packed, progress=False).ok
    assert bigimg.verify(packed, images, progress=False).ok
    shard = next(path for path in (plate / "B/03/0/0/c").rglob("*") if path.is_file())
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    assert zip_of(plate, tmp_path / "flipped.ozx") == {("corrupt", "B/03/0/0/c")}
    shard.unlink()
    assert zip_of(plate, tmp_path / "lost.ozx") == {("missing", "B/03/0/0/c")}
    with pytest.raises(IntegrityError, match="B/03/0/0/c/"):
        bigimg.pack(plate, tmp_path / "again.ozx", progress=False)
    shutil.rmtree(plate / "B/03/0")
    assert zip_of(plate, tmp_path / "without.ozx") == {("missing", "B/03/0")}


def zip_of(plate: Path, target: Path) -> set[tuple[str, str]]:
    """Zip a plate, whatever is in it, and return kind and array of what is wrong in the file."""
    os.replace(shutil.make_archive(str(target), "zip", plate), target)
    found = bigimg.verify(target, progress=False).findings
    return {(each.kind, "/".join(each.file.split("/")[:5])) for each in found}
