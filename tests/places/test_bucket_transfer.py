"""Objects of buckets in the cache: by ranges, continued after a broken run, of one version, and no secret is told."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import fsspec
import numpy as np
import pytest

from bigimg.errors import BigimgError, InputError, InputNotFoundError, MissingExtraError
from bigimg.places import bucket_transfer
from bigimg.places.download import Downloaded, download
from bigimg.places.http import Patience
from tests.places.buckets import SECRET, point, put
from tests.places.server import HOSTILE, Loopback, changed, said, short, status, wrong_range

pytest.importorskip("obstore")
QUICK = Patience(tries=3, first_wait=0.01, most_wait=1.0, stall=0.2)
CONTENT = np.random.default_rng(0).bytes(1_050_000)
OTHER = np.random.default_rng(1).bytes(1_050_000)
PART = 100_000


def fetch(address: str, *, most_bytes: int = 10**8) -> Downloaded:
    return download(address, most_bytes=most_bytes, patience=QUICK)


@pytest.fixture
def address(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(bucket_transfer, "PART_BYTES", PART)
    point(monkeypatch, server.url("").rstrip("/"))
    return put(server, "s3://bucket/x/a b+c.bin", CONTENT)


def asked(server: Loopback) -> list[str]:
    return [headers.get("Range", headers.get("range", "")) for _, headers in server.asked]


@pytest.fixture
def plain(address: str, server: Loopback) -> str:
    return put(server, "s3://bucket/plain.bin", CONTENT)


def test_the_bytes_come_once_in_parts(server: Loopback, plain: str) -> None:
    told: list[tuple[int, int | None]] = []
    found = download(plain, most_bytes=10**8, patience=QUICK, on_progress=lambda *args: told.append(args))
    assert found.path.read_bytes() == CONTENT
    assert found.path.name == "plain.bin"
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert sorted(asked(server)[1:], key=lambda text: int(text[6:].split("-")[0])) == [
        f"bytes={start}-{min(start + PART, len(CONTENT)) - 1}" for start in range(0, len(CONTENT), PART)
    ]
    before = len(server.asked)
    assert fetch(plain).path == found.path
    assert len(server.asked) - before == 1  # is it still the same?


def test_a_broken_run_goes_on(server: Loopback, plain: str) -> None:
    fetched = bucket_transfer.parts

    def breaking(*args: object) -> object:
        for number, data in enumerate(fetched(*args)):  # type: ignore[arg-type]
            if number == 4:
                raise KeyboardInterrupt
            yield data

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bucket_transfer, "parts", breaking)
        with pytest.raises(KeyboardInterrupt):
            fetch(plain)
    before = len(server.asked)
    assert fetch(plain).path.read_bytes() == CONTENT
    assert len(server.asked) - before == 1 + 7
    assert min(int(text[6:].split("-")[0]) for text in asked(server)[before + 1 :]) == 4 * PART


@pytest.mark.parametrize(
    "fault",
    [status(500), status(503), status(429), short(10), wrong_range, said(b""), HOSTILE["no HTTP"]],
    ids=["500", "503", "slow down", "cut", "another range", "nothing", "no HTTP"],
)
def test_faults_on_the_way(server: Loopback, plain: str, fault: Callable[..., None]) -> None:
    server.faults["/bucket/plain.bin"] = [fault, fault]
    assert fetch(plain).path.read_bytes() == CONTENT


def test_stalls_end(server: Loopback, plain: str) -> None:
    server.faults["/bucket/plain.bin"] = [lambda handler: handler.loopback.released.wait(20) and None]
    assert fetch(plain).path.read_bytes() == CONTENT


def test_changed_on_the_way(server: Loopback, plain: str) -> None:
    served = iter(range(100))

    def change(handler: object) -> None:
        next(served)
        changed("/bucket/plain.bin", OTHER, status(412))(handler)  # type: ignore[arg-type]

    server.faults["/bucket/plain.bin"] = [lambda handler: handler.do_GET(), change]
    assert fetch(plain).path.read_bytes() == OTHER
    server.files["/bucket/plain.bin"] = CONTENT
    assert fetch(plain).path.read_bytes() == CONTENT


def test_names_are_as_they_are(server: Loopback, address: str) -> None:
    with pytest.raises(InputNotFoundError):
        fetch(address)
    path = next(path for path, _ in server.asked if "prefix" not in path).partition("?")[0]
    server.files[path] = CONTENT
    found = fetch(address)
    assert found.path.read_bytes() == CONTENT
    assert found.path.name == "a_b+c.bin"


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (
            status(403),
            InputError,
            r"s3://bucket/plain\.bin: the bucket does not allow to read it \(403\); set AWS_",
        ),
        (status(401), InputError, r"does not allow to read it \(401\)"),
        (status(301), InputError, "another region; set AWS_REGION"),
        (status(400), InputError, "answers 400 Bad Request"),
        (status(503), InputError, r"503 Service Unavailable \(tried 3 times\); try again later"),
        (said(b""), InputError, r"cannot be reached, or the connection broke.*tried 3 times"),
    ],
)
def test_refusals_are_told_without_secrets(
    server: Loopback, plain: str, answer: Callable[..., None], kind: type[BigimgError], says: str
) -> None:
    server.faults["/bucket/plain.bin"] = [answer] * 9
    with pytest.raises(kind, match=says) as raised:
        fetch(plain)
    assert SECRET not in "".join(traceback.format_exception(raised.value))
    assert "\n" not in str(raised.value)


def test_limits(server: Loopback, plain: str) -> None:
    with pytest.raises(InputError, match="has 1050000 bytes or more, allowed 1000000"):
        fetch(plain, most_bytes=1_000_000)
    assert len(server.asked) == 1


def test_no_password_in_an_address(address: str) -> None:
    with pytest.raises(
        InputError, match=r"^s3://bucket/a\.bin: no password is read from an address"
    ) as raised:
        fetch(f"s3://me:{SECRET}@bucket/a.bin")
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_whole_bucket_is_no_file(address: str) -> None:
    with pytest.raises(InputError, match="is a whole bucket; name a file or a folder in it"):
        fetch("s3://bucket")


def test_empty(server: Loopback, address: str) -> None:
    server.files["/bucket/empty.bin"] = b""
    assert fetch("s3://bucket/empty.bin").path.read_bytes() == b""


def test_memory() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe(
        {
            "/bigimg-transfer/a.bin": CONTENT,
            "/bigimg-transfer/f/1/b.bin": b"b",
            "/bigimg-transfer/f/c.bin": b"c",
        }
    )
    try:
        found = fetch("memory://bigimg-transfer/a.bin")
        assert found.path.read_bytes() == CONTENT
        assert fetch("memory://bigimg-transfer/a.bin").path == found.path
        folder = fetch("memory://bigimg-transfer/f")
        assert {p.relative_to(folder.path).as_posix(): p.read_bytes() for p in folder.path.rglob("*.bin")} == {
            "1/b.bin": b"b", "c.bin": b"c",
        }  # fmt: skip
        assert fetch("memory://bigimg-transfer/f").path == folder.path
        memory.pipe({"/bigimg-transfer/f/c.bin": b"cc"})
        assert (fetch("memory://bigimg-transfer/f").path / "c.bin").read_bytes() == b"cc"
        with pytest.raises(InputNotFoundError, match="no such object"):
            fetch("memory://bigimg-transfer/none.bin")
    finally:
        memory.rm("/bigimg-transfer", recursive=True)


def test_a_name_that_leads_out() -> None:
    memory = fsspec.filesystem("memory")
    memory.store["/bigimg-out/f/../../../b.bin"] = memory.open("/bigimg-out/f/a.bin", "wb")
    try:
        with pytest.raises(BigimgError):
            fetch("memory://bigimg-out/f/")
    finally:
        memory.store.clear()
        memory.pseudo_dirs[:] = [""]


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(MissingExtraError, match=r"obstore, which is not installed: .*remote"):
        fetch("s3://bucket/a.bin")


def test_other_clouds_say_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(InputError, match=r"^az://box/a\.bin: no client.*set AZURE_STORAGE_ACCOUNT_NAME"):
        fetch("az://box/a.bin")
