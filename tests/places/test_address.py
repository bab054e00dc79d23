"""Names taken apart, and shown without what must not be shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigimg.places.address import file_name, is_store_url, is_url, redacted, split_member


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.zip::b.png", ("a.zip", "b.png")),
        ("dir/A.ZIP::x/y.nii", ("dir/A.ZIP", "x/y.nii")),
        ("a.zip::/x/", ("a.zip", "x")),
        ("https://h/a.zip::b.png", ("https://h/a.zip", "b.png")),
        ("https://h/get?id=1::b.png", ("https://h/get?id=1", "b.png")),
        ("a.zip", None),
        ("a.zip::", None),
        ("a::b", None),
        ("zip://b.zarr::a.zip", None),  # fsspec's own way of saying it
        ("zip://b.zarr::https://h/a.zip", None),
        ("https://h/a.png", None),
    ],
)
def test_members(name: str, expected: tuple[str, str] | None) -> None:
    assert split_member(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("https://me:pw@h/a.png", "https://h/a.png"),
        ("https://me:p@w@h:8080/a.png", "https://h:8080/a.png"),
        ("https://h/a.png?X-Amz-Signature=1&b=2#c", "https://h/a.png?…"),
        ("https://h/a.zip?t=1::b.png", "https://h/a.zip?…::b.png"),
        ("https://h/a@b.png", "https://h/a@b.png"),
        ("zip://x.zarr::https://me:pw@h/a.zip?t=1", "zip://x.zarr::https://h/a.zip?…"),
        ("is it?.png", "is it?.png"),
        ("me@home#1.tif", "me@home#1.tif"),
    ],
)
def test_redacted(name: str, expected: str) -> None:
    assert redacted(name) == expected


WORD = st.text("abcXYZ019", min_size=1, max_size=6)


@given(WORD, WORD, WORD, WORD, st.sampled_from(["http", "https", "HTTPS"]))
def test_secrets_are_never_shown(user: str, word: str, host: str, path: str, scheme: str) -> None:
    secret = f"_{word}_"
    for name in (
        f"{scheme}://{user}:{secret}@{host}/{path}.png",
        f"{scheme}://{secret}@{host}/{path}.png?x={secret}",
        f"{scheme}://{host}/{path}.zip?{secret}::{path}/a.png",
        f"{scheme}://{host}/{path}#{secret}",
    ):
        assert is_url(name)
        assert secret not in redacted(name)
        assert f"{host}/{path}" in redacted(name)
        assert secret not in file_name(name)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h/data/rat_brain.nii.gz", "rat_brain.nii.gz"),
        ("https://h/download", "download"),
        ("https://h", "download"),
        ("https://h/.hidden", "hidden"),
        ("https://h/..%2f..%2fetc%2fpasswd", "passwd"),
        ("https://h/a%00b%0a.png", "a_b_.png"),
    ],
)
def test_file_names_are_harmless(url: str, expected: str) -> None:
    assert file_name(url) == expected


def test_stores_by_their_address() -> None:
    assert is_store_url("https://h/a.ome.zarr")
    assert is_store_url("https://h/a.zarr/labels/cells?x=1")
    assert not is_store_url("https://h/zarr/a.png")
