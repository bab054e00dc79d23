"""Metadata of others lead nowhere but into their store, and what is no file, too long or too deep is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import bigimg
from bigimg.errors import BigimgError, InputError
from bigimg.omezarr import documents
from bigimg.omezarr.documents import document_of
from bigimg.omezarr.manifest import read_object
from bigimg.omezarr.open import StoreReader, open_store
from bigimg.omezarr.tree import tree_of

SECRET = np.full((4, 4), 42, np.uint8)
OUTSIDE = [
    "../secret.zarr",
    "a/../../secret.zarr",
    "%2e%2e/secret.zarr",
    "..\\secret.zarr",
    "./../secret.zarr",
]
AXES = [{"name": "y"}, {"name": "x"}]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder for a store, beside an array that nobody named."""
    zarr.create_array(tmp_path / "secret.zarr", data=SECRET)
    multiscales = [{"axes": AXES, "datasets": [{"path": "0"}]}]
    zarr.create_group(
        tmp_path / "secret.image", attributes={"ome": {"version": "0.5", "multiscales": multiscales}}
    )
    zarr.create_array(tmp_path / "secret.image/0", data=SECRET)
    return tmp_path / "a.zarr"


def outside(root: Path) -> list[str]:
    return [*OUTSIDE, str(root.parent / "secret.zarr"), f"/{root.parent}/secret.zarr"]


def refused(root: Path, said: str = "secret", series: str | None = None) -> None:
    with pytest.raises(BigimgError, match=said) as caught:
        StoreReader(open_store(root, series=series)).read((slice(0, 4), slice(0, 4)))
    assert "\n" not in str(caught.value)


def test_paths_of_levels(root: Path) -> None:
    for i, path in enumerate(outside(root)):
        place = root.with_name(f"{i}.zarr")
        multiscales = [{"axes": AXES, "datasets": [{"path": path}]}]
        zarr.create_group(place, attributes={"ome": {"version": "0.5", "multiscales": multiscales}})
        refused(place)


@pytest.mark.parametrize("kind", ["series", "well", "labels"])
def test_names_of_images(kind: str, root: Path) -> None:
    for i, path in enumerate(text.replace(".zarr", ".image") for text in outside(root)):
        place = root.with_name(f"{i}.zarr")
        ome: dict[str, Any] = {"series": {"bioformats2raw.layout": 3}, "labels": {"labels": [path]}}.get(
            kind, {"well": {"images": [{"path": path}]}}
        )
        group = zarr.create_group(place, attributes={"ome": ome})
        if kind == "series":
            group.create_group("OME", attributes={"ome": {"series": [path]}})
        refused(place, said="secret|no images")


def test_verify_looks_at_no_label_outside(root: Path) -> None:
    multiscales = [{"axes": AXES, "datasets": [{"path": "0"}]}]
    group = zarr.create_group(root, attributes={"ome": {"version": "0.5", "multiscales": multiscales}})
    zarr.create_array(root / "0", data=SECRET)
    group.create_group("labels", attributes={"ome": {"labels": ["../../secret.image", 7, ""]}})
    assert open_store(root).labels == ()
    assert "secret" not in str(bigimg.verify(root).to_dict())


def test_links_are_followed(root: Path) -> None:
    """Who makes links has the right to write to the disk: people link chunks and levels to save space."""
    root.mkdir()
    (root / "zarr.json").symlink_to(root.parent / "secret.zarr/zarr.json")
    (root / "c").symlink_to(root.parent / "secret.zarr/c")
    np.testing.assert_array_equal(StoreReader(open_store(root)).read((slice(0, 4), slice(0, 4))), SECRET)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("name", ["zarr.json", "c/0/0"])
def test_pipes_are_no_objects(name: str, root: Path) -> None:
    zarr.create_array(root, data=SECRET)
    (root / name).unlink()
    os.mkfifo(root / name)
    refused(root, said=name)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a device without end")
@pytest.mark.parametrize("name", ["zarr.json", "c/0/0"])
def test_devices_are_no_objects(name: str, root: Path) -> None:
    zarr.create_array(root, data=SECRET)
    (root / name).unlink()
    (root / name).symlink_to("/dev/zero")
    refused(root, said=name)


def test_documents_without_end(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zarr.create_array(root, data=SECRET)
    with open(root / "zarr.json", "r+b") as file:
        file.truncate(10**11)  # of holes
    refused(root, said="zarr.json: has 100000000000 bytes")


@pytest.mark.parametrize(
    "key", ["bigimg/manifest/zarr.json", "bigimg/zarr.json", "bigimg/manifest/0/c/0/0/0"]
)
@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_objects_of_the_manifest_too(kind: str, key: str, root: Path) -> None:
    bigimg.write(SECRET, root, progress=False)
    (root / key).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(root / key)
    else:
        with open(root / key, "wb") as file:
            file.truncate(10**11)  # of holes
    with pytest.raises(InputError, match=r"is no file but a pipe|has 100000000000 bytes"):
        read_object(root / key)
    report = bigimg.verify(root)
    assert not report.ok


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[" * 100_000 + b"]" * 100_000, "nested"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "nested"),
        (b"[1]", "no object"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
        (b"\xff\xff", "decode"),
        (b"", "Expecting"),
        (b'"', "Unterminated"),
    ],
)
def test_documents_that_are_refused(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        document_of(data)


def test_a_document_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.dumps({"a": [0] * 100}).encode()
    assert document_of(data) == {"a": [0] * 100}
    monkeypatch.setattr(documents, "MOST_BYTES", len(data) - 1)
    with pytest.raises(ValueError, match="bytes"):
        document_of(data)


@pytest.mark.parametrize(
    "key", ["../a", "/etc", "a\\b", "a/../../b", "C:/a", "%2E%2e/a", "a\x1b[31mb", "x" * 2000]
)
def test_no_key_leads_out_of_a_tree(key: str, root: Path) -> None:
    zarr.create_array(root, data=SECRET)
    for use in (tree_of(root).location, tree_of(root).node, tree_of(root).children):
        with pytest.raises(InputError, match="no place in it"):
            use(key)
