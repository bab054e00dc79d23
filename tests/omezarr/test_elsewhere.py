"""Stores of ours in zip files and behind URLs: what is lost or changed there raises as it does on disk."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigimg
import bigimg.opening.open
from bigimg.errors import CorruptChunk, InputError, IntegrityError, MissingChunk
from bigimg.geometry.region import full
from bigimg.omezarr import web as web_module
from bigimg.omezarr.manifest import write_manifest
from bigimg.omezarr.open import StoreReader, is_store, open_store
from bigimg.omezarr.records import Records
from bigimg.omezarr.shard import ShardFile
from bigimg.places.http import Patience
from bigimg.types import Array, CodecName
from tests.conversion import test_memory as pass_memory
from tests.omezarr.test_open import drop_from_index, others
from tests.places.server import serving, status

type Put = Callable[[Mapping[str, bytes]], str]
"""Puts the objects of a store somewhere and says where."""

CHUNKS = 12
"""In a shard of the store ``ours``."""


def zipped(path: Path, files: Mapping[str, bytes], how: int, under: str = "") -> str:
    with zipfile.ZipFile(path, "w", how) as archive:
        for key, content in files.items():
            archive.writestr(under + key, content)
    return str(path)


@pytest.fixture(params=["stored", "deflated", "member", "memory", "http", "http without ranges"])
def put(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Put]:
    fsspec = pytest.importorskip("fsspec")
    match request.param:
        case "stored":
            yield lambda files: zipped(tmp_path / "a.ozx", files, zipfile.ZIP_STORED)
        case "deflated":
            yield lambda files: zipped(tmp_path / "a.zarr.zip", files, zipfile.ZIP_DEFLATED)
        case "member":
            yield (
                lambda files: (
                    zipped(tmp_path / "a.zip", files, zipfile.ZIP_STORED, "s/a.zarr/") + "::s/a.zarr"
                )
            )
        case "memory":
            memory = fsspec.filesystem("memory")

            def pipe(files: Mapping[str, bytes]) -> str:
                if memory.exists("/bigimg-test"):
                    memory.rm("/bigimg-test", recursive=True)
                memory.pipe({f"/bigimg-test/a.zarr/{key}": content for key, content in files.items()})
                return "memory://bigimg-test/a.zarr"

            yield pipe
            memory.rm("/bigimg-test", recursive=True)
        case how:
            pytest.importorskip("aiohttp")
            with serving() as server:
                server.ranges = how == "http"

                def serve(files: Mapping[str, bytes]) -> str:
                    server.files = {f"/a.zarr/{key}": content for key, content in files.items()}
                    return server.url("/a.zarr")

                yield serve


def objects(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def reader_of(place: str, level: int = 0) -> StoreReader:
    found = bigimg.opening.open.open_source(place)
    assert isinstance(found, StoreReader)
    return StoreReader(found.store, level)


def test_all_that_a_store_holds(put: Put, ours: tuple[Path, Array]) -> None:
    root, pixels = ours
    reader = reader_of(put(objects(root)))
    np.testing.assert_array_equal(reader.read(full(reader.spec.shape)), pixels)
    assert "checked by the manifest" in reader.access.why
    there, here = reader.store.statistics(), open_store(root).statistics()
    assert there is not None
    assert here is not None
    assert there.statistics == here.statistics
    np.testing.assert_array_equal(there.histogram, here.histogram)
    regions = [(slice(0, 3), slice(i, i + 20), slice(0, 70)) for i in range(0, 70, 7)]
    again = pickle.loads(pickle.dumps(reader))
    with ThreadPoolExecutor(4) as pool:
        for region, found in zip(regions, pool.map(again.read, regions), strict=True):
            np.testing.assert_array_equal(found, pixels[region])
    reader.close()
    again.close()


def dropped(path: Path) -> None:
    drop_from_index(path, 5, CHUNKS)


@pytest.mark.parametrize(
    ("harm", "kind"),
    [
        (lambda p: p.unlink(), MissingChunk),
        (lambda p: p.write_bytes(b""), CorruptChunk),
        (lambda p: p.write_bytes(p.read_bytes()[:-7]), CorruptChunk),
        (lambda p: p.write_bytes(p.read_bytes() + b"\0"), CorruptChunk),
        (lambda p: p.write_bytes(p.read_bytes()[::-1]), CorruptChunk),
        (lambda p: p.write_bytes(b"\1" + p.read_bytes()[1:]), CorruptChunk),
        (dropped, MissingChunk),
        (lambda p: p.write_bytes(p.with_name("0").read_bytes()), CorruptChunk),
    ],
    ids=["lost", "empty", "cut", "longer", "index", "flipped", "dropped", "swapped"],
)
def test_harm_to_an_object_raises_and_names_it(
    harm: Callable[[Path], None], kind: type[Exception], put: Put, ours: tuple[Path, Array]
) -> None:
    root, pixels = ours
    harm(root / "0/c/0/1/1")
    place = put(objects(root))
    reader = reader_of(place)
    with pytest.raises(kind) as caught:
        reader.read(full(reader.spec.shape))
    assert str(caught.value).startswith(f"{place}/0/c/0/1/1: ")
    elsewhere = (slice(0, 3), slice(0, 32), slice(0, 70))
    np.testing.assert_array_equal(reader.read(elsewhere), pixels[elsewhere])
    reader.close()


@pytest.mark.parametrize(
    "key", ["bigimg/manifest/zarr.json", "bigimg/manifest/0/c/0/0/0/0", "0/zarr.json", "zarr.json"]
)
def test_metadata_that_is_gone_or_changed(key: str, put: Put, ours: tuple[Path, Array]) -> None:
    files = objects(ours[0])
    changed = files | {key: files[key].replace(b"1", b"7", 1) if key.endswith("json") else files[key][:-1]}
    if key == "zarr.json":  # others may have edited it
        assert any("edited since bigimg wrote it" in note for note in reader_of(put(changed)).store.notes)
    else:
        with pytest.raises((IntegrityError, InputError)):
            reader_of(put(changed)).read(full(ours[1].shape))
    del files[key]
    with pytest.raises((IntegrityError, InputError)):
        reader_of(put(files)).read(full(ours[1].shape))


def test_stores_of_others_in_a_folder_of_a_zip_file(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 99, (3, 20, 30), np.uint8)
    others(tmp_path / "s", pixels, chunk=(1, 10, 10))
    zipped(tmp_path / "a.zip", objects(tmp_path / "s"), zipfile.ZIP_STORED, "deep/s.zarr/")
    img = bigimg.open(f"{tmp_path}/a.zip::deep/s.zarr")
    np.testing.assert_array_equal(img.values, pixels)
    assert img.attrs["source"] == f"{tmp_path}/a.zip::deep/s.zarr"


@pytest.mark.parametrize("name", ["a.ozx", "a.ome.zarr.zip"])
def test_a_store_in_one_file_behind_a_url(
    name: str, ours: tuple[Path, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIGIMG_CACHE", str(tmp_path / "cache"))
    zipped(tmp_path / name, objects(ours[0]), zipfile.ZIP_STORED)
    with serving() as server:
        server.files[f"/{name}"] = (tmp_path / name).read_bytes()
        img = bigimg.open(server.url(f"/{name}"))
        np.testing.assert_array_equal(img.values, ours[1])
        assert img.attrs["source"] == server.url(f"/{name}")


@pass_memory.pytestmark
def test_peak_within_plan_within_budget(tmp_path: Path) -> None:
    """Of a store whose members are deflated: each shard that is opened is unpacked whole."""

    def make(path: Path) -> None:
        root = tmp_path / "s.ome.zarr"
        pixels = pass_memory.picture((256, 320, 320), "u2")
        bigimg.convert(pixels, root, progress=False, sync=False)
        zipped(path, objects(root), zipfile.ZIP_DEFLATED)

    pass_memory.check(("a.ozx", make, {"memory": "512MB"}), "a store in a zip file", tmp_path)


def test_a_damaged_zip_file(ours: tuple[Path, Array], tmp_path: Path) -> None:
    path = Path(zipped(tmp_path / "a.ozx", objects(ours[0]), zipfile.ZIP_STORED))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert is_store(path)
    with pytest.raises(InputError, match=r"a\.ozx: not a zip file that can be read"):
        bigimg.open(path)
    at = whole.rindex(b'"kind": "image"')  # before it comes the copy in the manifest
    path.write_bytes(whole[:at] + b"?" + whole[at + 1 :])
    with pytest.raises(InputError, match=r"a\.ozx: zarr\.json cannot be unzipped"):
        bigimg.open(path)


def test_what_is_asked_of_a_server(ours: tuple[Path, Array]) -> None:
    """Small objects in one question; each document once, whoever wants to see it."""
    pytest.importorskip("aiohttp")
    with serving() as server:
        server.files = {f"/a.zarr/{key}": content for key, content in objects(ours[0]).items()}
        reader = reader_of(server.url("/a.zarr"))
        reader.read((slice(0, 3), slice(0, 32), slice(0, 32)))
        asked = [path for path, _ in server.asked]
        assert [path for path in asked if "/a.zarr/0/c/" in path] == ["/a.zarr/0/c/0/0/0"]
        found = [
            path for path in asked if path.removeprefix("/") in {f"a.zarr/{k}" for k in objects(ours[0])}
        ]
        assert len(found) == len(set(found)) + 1  # the root twice: is it a store, and what is in it


@pytest.mark.parametrize(
    ("codec", "older", "trailers"), [("lz4", False, 0), ("lz4", True, 12), ("none", False, 12)]
)
def test_a_shard_far_away_is_known_by_its_index(
    codec: CodecName, older: bool, trailers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If its chunks differ in length; others could be exchanged unseen, as those of older stores."""
    pytest.importorskip("aiohttp")
    pixels = np.random.default_rng(0).integers(0, 200, (96, 128), np.uint8)
    pixels[:50, :50] = 0
    root = tmp_path / "a.zarr"
    bigimg.write(
        bigimg.from_array(pixels, dims="yx"),
        root,
        chunks=32,
        shards=128,
        levels=1,
        codec=codec,
        progress=False,
    )
    if older:
        rows = Records(root, "0").all()[..., :2]
        shutil.rmtree(root / "bigimg/manifest")
        write_manifest(root, {0: rows}, {"zarr.json": (root / "zarr.json").read_bytes()})
    read: list[int] = []
    checksum = ShardFile._checksum

    def noted(shard: ShardFile, offsets: Array) -> int:
        read.append(offsets[..., 0].size)
        return checksum(shard, offsets)

    monkeypatch.setattr(ShardFile, "_checksum", noted)
    assert bigimg.verify(root).ok
    read.clear()
    np.testing.assert_array_equal(bigimg.imread(root), pixels)
    assert sum(read) >= 12, "a file is compared as a whole"
    read.clear()
    with serving() as server:
        server.files = {f"/a.zarr/{key}": content for key, content in objects(root).items()}
        np.testing.assert_array_equal(bigimg.imread(server.url("/a.zarr")), pixels)
    assert sum(read) >= trailers
    assert bool(read) == bool(trailers)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_module, "PATIENCE", Patience(tries=3, first_wait=0.01))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("code", [403, 429, 500, 503])
def test_a_server_that_fails_is_no_loss(code: int, ours: tuple[Path, Array]) -> None:
    """To say that pixels are lost while the server is busy would send people to their backups."""
    pytest.importorskip("aiohttp")
    with serving() as server:
        server.files = {f"/a.zarr/{key}": content for key, content in objects(ours[0]).items()}
        reader = reader_of(server.url("/a.zarr"))
        server.faults["/a.zarr/0/c/0/1/1"] = [status(code)] * (1 if code == 403 else 3)
        said = rf"0/c/0/1/1: cannot be fetched \(the server answered {code} [A-Z]"
        with pytest.raises(InputError, match=said) as caught:
            reader.read(full(reader.spec.shape))
        assert not isinstance(caught.value, IntegrityError)
        np.testing.assert_array_equal(reader.read(full(reader.spec.shape)), ours[1])


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("code", [401, 403, 429, 500, 503])
def test_what_a_server_says_of_the_root_is_no_lack_of_a_store(code: int, ours: tuple[Path, Array]) -> None:
    pytest.importorskip("aiohttp")
    with serving() as server:
        server.files = {f"/a.zarr/{key}": content for key, content in objects(ours[0]).items()}
        server.faults["/a.zarr/zarr.json"] = [status(code)] * 3
        with pytest.raises(
            InputError, match=rf"zarr\.json: cannot be fetched \(the server answered {code} "
        ) as caught:
            bigimg.open(server.url("/a.zarr"))
        assert "no zarr.json" not in str(caught.value)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("of_ours", [True, False])
@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_a_busy_server_is_asked_again(
    code: int, of_ours: bool, ours: tuple[Path, Array], tmp_path: Path
) -> None:
    pytest.importorskip("aiohttp")
    root, pixels = ours
    if not of_ours:
        pixels = np.arange(3 * 20 * 30, dtype=np.uint16).reshape(3, 20, 30)
        others(root := tmp_path / "s", pixels, chunk=(1, 20, 30))
    with serving() as server:
        server.files = {f"/a.zarr/{key}": content for key, content in objects(root).items()}
        for path in server.files:
            server.faults[path] = [status(code)]
        img = bigimg.open(server.url("/a.zarr"))
        np.testing.assert_array_equal(img.values, pixels)


def test_a_bucket_that_says_forbidden_of_what_is_not_there(tmp_path: Path) -> None:
    """Without the right to list, S3 answers 403 and not 404."""
    pytest.importorskip("aiohttp")
    pixels = np.arange(3 * 20 * 30, dtype=np.uint16).reshape(3, 20, 30)
    bigimg.write(pixels, tmp_path / "s", progress=False)
    with serving() as server:
        server.files = {f"/a.zarr/{key}": content for key, content in objects(tmp_path / "s").items()}
        server.faults["/a.zarr/labels/zarr.json"] = [status(403)] * 9
        server.faults["/a.zarr/labels/.zattrs"] = [status(403)] * 9
        np.testing.assert_array_equal(bigimg.open(server.url("/a.zarr")).values, pixels)


def test_a_quick_check_asks_the_store_and_no_remembered_listing(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")

    class Remembering(fsspec.get_filesystem_class("memory")):  # type: ignore[misc]
        """Keeps listings, as the file systems of S3 and Google do."""

        protocol = "remembering"
        known: dict[str, list[Any]] = {}  # noqa: RUF012

        def ls(self, path: str, detail: bool = True, **more: Any) -> Any:
            path = self._strip_protocol(path)
            if path not in self.known:
                self.known[path] = super().ls(path, detail=True, **more)
            return self.known[path] if detail else [each["name"] for each in self.known[path]]

        def invalidate_cache(self, path: str | None = None) -> None:
            self.known.pop(self._strip_protocol(path or ""), None)

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return super()._strip_protocol(path.replace("remembering://", "memory://"))

    fsspec.register_implementation("remembering", Remembering, clobber=True)
    bigimg.write(np.arange(90 * 80, dtype=np.uint16).reshape(90, 80), tmp_path / "a.ome.zarr", progress=False)
    memory = fsspec.filesystem("remembering")
    memory.pipe({f"/bigimg-quick/a.ome.zarr/{k}": v for k, v in objects(tmp_path / "a.ome.zarr").items()})
    try:
        place = "remembering://bigimg-quick/a.ome.zarr"
        assert bigimg.verify(place, quick=True).ok
        memory.rm("/bigimg-quick/a.ome.zarr/0/c/0/0")
        found = bigimg.verify(place, quick=True)
        assert not found.ok
        assert "0/c/0/0" in str(found.findings)
    finally:
        memory.rm("/bigimg-quick", recursive=True)


def test_chunks_that_follow_one_another_come_together(ours: tuple[Path, Array]) -> None:
    pytest.importorskip("aiohttp")
    root, pixels = ours
    with serving() as server:
        server.files = {f"/a.zarr/{key}": content for key, content in objects(root).items()}
        reader = StoreReader(open_store(server.url("/a.zarr")))
        np.testing.assert_array_equal(reader.read(full(pixels.shape)), pixels)
        first = [path for path, _ in server.asked if path == "/a.zarr/0/c/0/0/0"]
        assert 1 <= len(first) <= 3 < CHUNKS  # its index, its checksums, its chunks
