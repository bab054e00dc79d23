"""Disk that is needed, and what is free."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bigimg.errors import OutputError
from bigimg.planning.disk import check_free


@pytest.mark.parametrize(
    ("exact", "estimated", "fits"), [(0, 1050, True), (1000, 0, True), (1001, 0, False), (960, 50, False)]
)
def test_only_what_is_estimated_may_be_less(
    exact: int, estimated: int, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9000, 8000, 1000))  # type: ignore[attr-defined]
    if fits:
        check_free("a", tmp_path, exact, about=estimated)
        return
    about = "about " if estimated else ""
    with pytest.raises(OutputError, match=rf"a: needs {about}1\.0[01] kB of disk, 1\.00 kB are free"):
        check_free("a", tmp_path, exact, about=estimated)
