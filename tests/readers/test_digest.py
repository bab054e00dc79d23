"""The digest by which a source is found again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from bigimg.readers import digest


def test_of_one_file_it_is_what_sha256sum_prints(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"pixels")
    assert digest.files_digest([str(tmp_path / "a")]) == {
        "sha256": hashlib.sha256(b"pixels").hexdigest(), "files": 1, "bytes": 6, "of": "all bytes"
    }  # fmt: skip


def test_of_very_many_files_some_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "MOST_READ", 4)
    names = [str(tmp_path / f"{i}") for i in range(10)]
    for name in names:
        Path(name).write_bytes(b"pixels")

    def changed(name: str, data: bytes) -> bool:
        before = digest.files_digest(names)
        Path(name).write_bytes(data)
        return digest.files_digest(names) != before

    older = {
        "sha256": hashlib.sha256(hashlib.sha256(b"pixels").digest() * 10).hexdigest(),
        "files": 10, "bytes": 60, "of": "all bytes",
    }  # fmt: skip
    reader = SimpleNamespace(paths=names, source="a")
    assert digest.source_digest(reader, older) == older  # type: ignore[arg-type]
    newer = digest.source_digest(reader)  # type: ignore[arg-type]
    assert isinstance(newer, dict)
    assert digest.source_digest(reader, newer) == newer == digest.files_digest(names)  # type: ignore[arg-type]
    assert digest.files_digest(names)["of"] == "all sizes, and all bytes of each file whose number 3 divides"
    assert changed(names[3], b"PIXELS")
    assert not changed(names[4], b"PIXELS")
    assert changed(names[4], b"longer pixels")
