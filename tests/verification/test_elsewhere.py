"""A store in a zip file or behind a URL is checked as the same store in a folder: the same findings."""

from __future__ import annotations

import shutil
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import bigimg
from bigimg.omezarr.web import Web
from bigimg.verification.report import Finding, Report
from tests.conversion.faults import drop_chunk, files, flip, lose, shards, swap, truncate
from tests.conversion.sources import noise
from tests.places.server import serving

type Put = Callable[[Path], str]
"""Puts the store in a folder somewhere else and says where."""

HARMS = (flip, lose, swap, truncate, drop_chunk)


def zipped(root: Path, how: int) -> str:
    target = root.with_suffix(".ozx")
    with zipfile.ZipFile(target, "w", how) as archive:
        archive.mkdir("0")  # some archives list their folders, others do not
        for path in files(root):
            archive.write(path, path.relative_to(root).as_posix())
    return str(target)


def member(root: Path) -> str:
    target = root.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as archive:
        for path in files(root):
            archive.write(path, f"s/{path.relative_to(root.parent).as_posix()}")
    return f"{target}::s/{root.name}"


@pytest.fixture(params=["stored", "deflated", "member", "memory", "http"])
def put(request: pytest.FixtureRequest) -> Iterator[Put]:
    if request.param == "member":
        yield member
    elif request.param in ("stored", "deflated"):
        how = zipfile.ZIP_STORED if request.param == "stored" else zipfile.ZIP_DEFLATED
        yield lambda root: zipped(root, how)
    elif request.param == "memory":
        memory = pytest.importorskip("fsspec").filesystem("memory")

        def pipe(root: Path) -> str:
            if memory.exists("/bigimg-verify"):
                memory.rm("/bigimg-verify", recursive=True)
            memory.pipe({f"/bigimg-verify/{p.relative_to(root)}": p.read_bytes() for p in files(root)})
            return "memory://bigimg-verify"

        yield pipe
        memory.rm("/bigimg-verify", recursive=True)
    else:
        pytest.importorskip("aiohttp")
        with serving() as server:

            def serve(root: Path) -> str:
                server.files = {f"/a/{p.relative_to(root)}": p.read_bytes() for p in files(root)}
                return server.url("/a")

            yield serve


@pytest.fixture(scope="module", params=["0.5", "0.4"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("elsewhere") / "whole.ome.zarr"
    asked = {"shards": 32} if request.param == "0.5" else {}
    bigimg.convert(noise((70, 90), "u2"), root, chunks=16, ome_version=request.param, progress=False, **asked)
    return root


def places(report: Report) -> set[tuple[object, ...]]:
    return {(f.kind, f.file, f.level, f.shard, f.chunk) for f in report.findings}


def is_extra(finding: Finding) -> bool:
    return finding.kind == "extra"


def lists(address: str) -> bool:
    """Return whether the place says what lies there; our web server does not."""
    return not address.startswith("http")


def test_an_intact_store(whole: Path, put: Put) -> None:
    here, address = bigimg.verify(whole), put(whole)
    for report in (bigimg.verify(address), bigimg.verify(address, noise((70, 90), "u2"))):
        assert (report.ok, report.findings, report.doubts) == (True, (), ())
        assert report.decoded_bytes == here.decoded_bytes
        assert report.objects == here.objects or not lists(address)
        assert [note.split(":")[0] for note in report.notes] == ["objects were not looked for"] * (
            not lists(address)
        )
    assert bigimg.verify(address, noise((70, 90), "u2", seed=1)).findings


def test_a_folder_is_listed_once(whole: Path, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Counter[str] = Counter()
    real = Web.listed
    monkeypatch.setattr(Web, "listed", lambda self, prefix: asked.update([prefix]) or real(self, prefix))
    bigimg.verify(put(whole), quick=True)
    assert asked.pop("bigimg/manifest/", 0) <= 2  # for its levels, and for what does not belong there
    assert set(asked.values()) <= {1}


def test_the_same_is_found_as_in_a_folder(whole: Path, put: Put, tmp_path: Path) -> None:
    bare = not (whole / "zarr.json").exists()
    for seed in range(12):
        root = tmp_path / f"{seed}.ome.zarr"
        shutil.copytree(whole, root)
        harm = HARMS[seed % (4 if bare else 5)]
        if harm(root, np.random.default_rng(seed)) is None:
            continue
        address = put(root)
        for quick in (True, False):
            here, there = bigimg.verify(root, quick=quick), bigimg.verify(address, quick=quick)
            if lists(address):
                assert places(there) == places(here), (seed, quick)
            else:
                assert places(there) <= places(here), (seed, quick)
                assert there.ok == here.ok or quick, seed


def test_what_does_not_belong_there(whole: Path, put: Put, tmp_path: Path) -> None:
    root = tmp_path / "a.ome.zarr"
    shutil.copytree(whole, root)
    for key in ("notes.txt", "0/more/deep", "0/c/99", "bigimg/mine", "3/zarr.txt"):
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(b"x")
    address = put(root)
    if lists(address):
        here, there = bigimg.verify(root), bigimg.verify(address)
        assert places(there) == places(here)
        assert {"notes.txt", "0/more/deep", "0/c/99", "bigimg/mine"} <= {f.file for f in there.findings}
        assert sum(map(is_extra, there.findings)) >= 4
    else:
        assert bigimg.verify(address).ok


def test_levels_are_derived_again(whole: Path, put: Put, tmp_path: Path) -> None:
    """A shard of another image with right checksums of its own: only the manifest knows."""
    root, other = tmp_path / "a.ome.zarr", tmp_path / "b.ome.zarr"
    shutil.copytree(whole, root)
    asked = {"shards": 32} if (whole / "zarr.json").exists() else {"ome_version": "0.4"}
    bigimg.convert(noise((70, 90), "u2", seed=2), other, chunks=16, progress=False, **asked)
    for path in files(root / "1") if "shards" not in asked else shards(root):
        if path.name.isdecimal() and path.relative_to(root).parts[0] == "1":
            shutil.copyfile(other / path.relative_to(root), path)
    assert places(bigimg.verify(put(root))) == places(bigimg.verify(root)) != set()
