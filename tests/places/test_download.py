"""Every fault of a server is named, broken downloads go on where they broke, and no wrong byte is kept."""

from __future__ import annotations

import email.utils
import os
import shutil
import ssl
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigimg.errors import BigimgError, InputError, InputNotFoundError, OutputError
from bigimg.places import cache as cache_module
from bigimg.places.cache import MOST_DOWNLOADED, bound_downloads, entry_folder
from bigimg.places.download import Downloaded, download
from bigimg.places.http import Patience
from tests.places.server import (
    Fault,
    Handler,
    Loopback,
    changed,
    chunked,
    endless,
    no_length,
    redirect,
    serving,
    short,
    stall,
    status,
    whole,
    wrong_range,
)

QUICK = Patience(tries=3, first_wait=0.01, most_wait=1.0, stall=0.3)
CONTENT = np.random.default_rng(0).bytes(3_000_000)
OTHER = np.random.default_rng(1).bytes(3_000_000)


def fetch(url: str, *, most_bytes: int = 10**8, insecure: bool = False) -> Downloaded:
    return download(url, most_bytes=most_bytes, insecure=insecure, patience=QUICK)


@pytest.fixture
def url(server: Loopback) -> str:
    server.files["/a.bin"] = CONTENT
    return server.url("/a.bin")


def test_the_bytes_come_once(server: Loopback, url: str) -> None:
    told: list[tuple[int, int | None]] = []
    found = download(url, most_bytes=10**8, patience=QUICK, on_progress=lambda *args: told.append(args))
    assert found.path.read_bytes() == CONTENT
    assert found.path.name == "a.bin"
    assert told[-1] == (len(CONTENT), len(CONTENT))
    again = fetch(url)
    assert again.path == found.path
    assert server.sent == len(CONTENT)  # the second answer was: not changed
    assert [headers.get("If-None-Match") is not None for _, headers in server.asked] == [False, True]


def test_a_broken_download_goes_on(server: Loopback, url: str) -> None:
    server.faults["/a.bin"] = [short(1_000_000), short(500_000)]
    assert fetch(url).path.read_bytes() == CONTENT
    assert server.sent == len(CONTENT)
    assert [headers.get("Range") for _, headers in server.asked] == [None, "bytes=1000000-", "bytes=1500000-"]
    assert all(headers["If-Range"].startswith('"') for _, headers in server.asked[1:])


def test_the_next_run_goes_on(server: Loopback, url: str) -> None:
    server.faults["/a.bin"] = [short(900_000), status(503), status(503)]
    with pytest.raises(InputError, match=r"503.*tried 3 times.*900000 bytes are kept"):
        fetch(url)
    assert fetch(url).path.read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


def test_changed_between_the_halves(server: Loopback, url: str) -> None:
    server.faults["/a.bin"] = [short(1_000_000)]
    with pytest.raises(InputError):
        download(url, most_bytes=10**8, patience=Patience(tries=1, stall=0.3))
    server.files["/a.bin"] = OTHER
    assert fetch(url).path.read_bytes() == OTHER
    assert server.sent == 1_000_000 + len(OTHER)


def test_changed_after_the_whole(server: Loopback, url: str) -> None:
    first = fetch(url)
    server.files["/a.bin"] = OTHER
    second = fetch(url)
    assert (first.path.read_bytes(), second.path.read_bytes()) == (CONTENT, OTHER)
    first.lock.release()
    server.files["/a.bin"] = CONTENT
    fetch(url)
    assert not first.path.exists()  # nobody read it any more; the second is still in use
    assert second.path.exists()


def test_without_a_version_nothing_is_put_together(server: Loopback, url: str) -> None:
    server.named = False
    server.faults["/a.bin"] = [short(1_000_000)]
    assert fetch(url).path.read_bytes() == CONTENT
    assert [headers.get("Range") for _, headers in server.asked] == [None, None]
    assert server.sent == 1_000_000 + len(CONTENT)


@pytest.mark.parametrize(
    "faults", [[whole()], [wrong_range], [status(416)]], ids=["ignored", "another", "416"]
)
def test_ranges_that_are_not_honoured(server: Loopback, url: str, faults: list[Fault]) -> None:
    server.faults["/a.bin"] = [short(1_000_000), *faults]
    assert fetch(url).path.read_bytes() == CONTENT


@pytest.mark.parametrize("codes", [(429,), (500, 503), (502, 504)])
def test_busy_servers_are_asked_again(server: Loopback, url: str, codes: tuple[int, ...]) -> None:
    server.faults["/a.bin"] = [status(code, Retry_After="0") for code in codes]
    assert fetch(url).path.read_bytes() == CONTENT


@pytest.mark.parametrize("dated", [False, True])
def test_a_long_wait_is_told_and_not_waited_for(server: Loopback, url: str, dated: bool) -> None:
    after = email.utils.formatdate(time.time() + 3600, usegmt=True) if dated else "3600"
    server.faults["/a.bin"] = [status(429, Retry_After=after)]
    with pytest.raises(InputError, match=r"429 Too Many Requests and asks to wait 3[56]\d\d s"):
        fetch(url)
    assert len(server.asked) == 1


REFUSED: dict[str, tuple[list[Fault], type[BigimgError], str]] = {
    "absent": ([status(404)], InputNotFoundError, "no such file .404 Not Found"),
    "gone": ([status(410)], InputNotFoundError, "410 Gone"),
    "forbidden": ([status(403)], InputError, "does not allow to read it .403"),
    "no login": ([status(401)], InputError, "401 Unauthorized"),
    "teapot": ([status(418)], InputError, "418"),
    "broken": ([status(500)] * 3, InputError, "500 Internal Server Error .tried 3 times"),
    "short": ([short(10)] * 3, InputError, "body ends after 10 of 3000000 bytes|body ends after 30"),
    "too long a promise": ([whole(length=4_000_000)] * 3, InputError, "ends after 3000000 of 4000000"),
    "stalls": ([stall(10)] * 3, InputError, "the server stalls: .* 0.3 s"),
    "chunks cut": ([chunked(True)] * 3, InputError, "connection broke .IncompleteRead"),
    "no length": ([no_length], InputError, "does not name the length"),
    "encoded": ([whole(Content_Encoding="br")], InputError, "encoded .br"),
    "gzip in between": ([whole(Content_Encoding="gzip")], InputError, "encoded .gzip"),
    "to nowhere": ([status(302)], InputError, "redirects to nowhere"),
    "to a file": ([redirect("file:///etc/passwd")], InputError, "redirects to file"),
    "to itself": ([redirect("/a.bin")] * 3, InputError, "redirects in a loop"),
    "endless": ([endless], InputError, "allowed 100000000.*max_download="),
}


@pytest.mark.parametrize("name", REFUSED)
def test_every_fault_is_named(name: str, server: Loopback, url: str, cache: Path) -> None:
    faults, kind, message = REFUSED[name]
    server.faults["/a.bin"] = list(faults)
    with pytest.raises(kind, match=message) as caught:
        fetch(url)
    assert str(caught.value).startswith(url)
    assert "\n" not in str(caught.value)
    assert not list(cache.glob("downloads/*/*/*"))  # nothing passes for finished


def test_chunks_without_a_length(server: Loopback, url: str) -> None:
    server.faults["/a.bin"] = [chunked(False)]
    assert fetch(url).path.read_bytes() == CONTENT


def test_a_gzip_file_that_is_called_encoded(server: Loopback) -> None:
    """What servers do with .nii.gz: the file as it is, under a header that says it was packed for the way."""
    server.files["/a.nii.gz"] = CONTENT
    server.faults["/a.nii.gz"] = [whole(Content_Encoding="x-gzip")]
    assert fetch(server.url("/a.nii.gz")).path.read_bytes() == CONTENT


def test_drips_are_a_stall(server: Loopback, url: str) -> None:
    def drip(handler: Handler) -> None:
        handler.head(200, len(CONTENT))
        for _ in range(30):
            handler.body(b"x")
            server.released.wait(0.05)

    server.faults["/a.bin"] = [drip] * 3
    with pytest.raises(InputError, match=r"stalls: less than 1000 bytes a second for 0.3 s"):
        fetch(url)


def test_redirects_are_followed_with_ranges(server: Loopback, url: str) -> None:
    server.faults["/start"] = [redirect("/middle", 301), redirect("/middle", 308)]
    server.faults["/middle"] = [redirect(url, 307), redirect(url, 303)]
    server.faults["/a.bin"] = [short(1_000_000)]
    assert fetch(server.url("/start")).path.read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


def test_a_chain_without_end(server: Loopback) -> None:
    for i in range(20):
        server.faults[f"/{i}"] = [redirect(f"/{i + 1}")]
    with pytest.raises(InputError, match="redirects in a loop"):
        fetch(server.url("/0"))
    assert len(server.asked) < 15


def test_the_limit_is_kept_before_a_byte_is_fetched(server: Loopback, url: str) -> None:
    with pytest.raises(InputError, match=r"3000000 bytes or more, allowed 1000000; use max_download='3MB'"):
        fetch(url, most_bytes=1_000_000)
    assert not list(entry_folder(url).glob("part"))


def test_no_room(server: Loopback, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(OutputError, match=r"room for 1000 bytes.*BIGIMG_CACHE"):
        fetch(url)


def test_a_cache_that_cannot_be_written(
    server: Loopback, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BIGIMG_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="set BIGIMG_CACHE"):
        fetch(url)


def test_nobody_there(server: Loopback) -> None:
    with serving() as other:
        dead = other.url("/a.png")
    with pytest.raises(InputError, match=r"cannot be reached .Connection refused. .tried 3 times"):
        fetch(dead)


def test_no_such_name() -> None:
    with pytest.raises(InputError, match=r"no server has this name|cannot be reached"):
        fetch("http://nowhere.invalid/a.png")


@pytest.mark.parametrize("url", ["http://127.0.0.1:port/a.png", "http://" + "a" * 70 + ".org/a.png"])
def test_no_address(url: str) -> None:
    with pytest.raises(InputError, match=r"is not an address|no server has this name"):
        fetch(url)


def test_passwords_and_tokens_stay_secret(server: Loopback, url: str) -> None:
    """Sent to the host they were given for, shown and kept nowhere."""
    server.faults["/secret.png"] = [redirect(server.url("/next?sig=hidden2", host="localhost")), status(403)]
    address = server.url("/secret.png?token=hidden1").replace("://", "://me:hidden%200@")
    server.faults["/next"] = [status(404)]
    for kind in (InputNotFoundError, InputError):
        with pytest.raises(kind) as caught:
            fetch(address)
        assert "hidden" not in str(caught.value)
        assert "me:" not in str(caught.value)
        assert caught.value.__cause__ is None
    sent = [headers.get("Authorization") for _, headers in server.asked]
    assert sent[0] == "Basic bWU6aGlkZGVuIDA="
    assert sent[1] is None  # another host
    assert server.asked[0][0] == "/secret.png?token=hidden1"
    server.files["/secret.png"] = CONTENT
    found = fetch(address)
    for path in found.path.parents[1].rglob("*"):
        assert "hidden" not in str(path)
        assert not path.is_file() or path.name == "secret.png" or b"hidden" not in path.read_bytes()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate of the test")
def test_certificates_are_checked(server: Loopback, url: str, tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with serving(context) as secure:
        secure.files["/a.bin"] = CONTENT
        address = secure.url("/a.bin").replace("http:", "https:")
        with pytest.raises(
            InputError, match=r"certificate of the server is not valid \(self.signed.*insecure=True"
        ):
            fetch(address)
        with pytest.warns(UserWarning, match="certificates are not checked") as told:
            assert fetch(address, insecure=True).path.read_bytes() == CONTENT
        assert {warning.filename for warning in told} == {__file__}
        secure.faults["/a.bin"] = [redirect(url)]
        with (
            pytest.warns(UserWarning, match="certificates"),
            pytest.raises(InputError, match="https to http"),
        ):
            fetch(address, insecure=True)


@pytest.mark.usefixtures("each_way")
def test_downloads_are_bounded_and_those_in_use_stay(server: Loopback, url: str, cache: Path) -> None:
    found = []
    for i in range(4):
        server.files[f"/{i}.bin"] = CONTENT
        found.append(fetch(server.url(f"/{i}.bin")))
        os.utime(found[-1].path.parents[1], (i, i))
    for i in (0, 2, 3):
        found[i].lock.release()
    bound_downloads(keep=entry_folder(server.url("/3.bin")), most_bytes=2 * len(CONTENT) + 10_000)
    assert [each.path.exists() for each in found] == [False, True, False, True]
    assert MOST_DOWNLOADED == 20_000_000_000
    assert fetch(server.url("/0.bin")).path.read_bytes() == CONTENT


def test_the_cache_is_for_its_owner(server: Loopback, url: str, cache: Path) -> None:
    fetch(url)
    assert cache.stat().st_mode & 0o077 == 0
    assert cache_module.cache_folder() == cache


def test_a_half_written_record_is_worth_nothing(server: Loopback, url: str) -> None:
    server.faults["/a.bin"] = [short(1_000_000), *[status(500)] * 2]
    with pytest.raises(InputError):
        fetch(url)
    (entry_folder(url) / "version.json").write_text('{"etag": "x')
    assert fetch(url).path.read_bytes() == CONTENT
    assert "Range" not in server.asked[-1][1]


FAULTS = st.one_of(
    st.integers(0, 5000).map(short),
    st.sampled_from([429, 500, 503]).map(lambda code: status(code, Retry_After="0")),
    st.sampled_from([whole(), wrong_range, chunked(True), chunked(False), status(416), whole(length=9000)]),
    st.integers(0, 5000).map(lambda n: changed("/a", OTHER[:5000], short(n))),
    st.integers(0, 5000).map(lambda n: changed("/a", CONTENT[:5000], short(n))),
    st.just(changed("/a", OTHER[:4000], whole())),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(faults=st.lists(FAULTS, max_size=6))
def test_right_or_refused_whatever_happens(faults: list[Fault], server: Loopback, cache: Path) -> None:
    """Whatever a server does, and however often it changes its mind: one of its files, whole, or an error."""
    shutil.rmtree(cache, ignore_errors=True)
    server.files["/a"] = CONTENT[:5000]
    server.faults["/a"] = list(faults)
    quick = Patience(tries=3, first_wait=0.001, stall=0.5)
    for _ in range(len(faults) + 1):
        try:
            found = download(server.url("/a"), most_bytes=10**6, patience=quick)
        except InputError:
            continue
        assert found.path.read_bytes() in (CONTENT[:5000], OTHER[:5000], OTHER[:4000])
        if not server.faults["/a"]:
            break
    server.faults["/a"] = []
    assert (
        download(server.url("/a"), most_bytes=10**6, patience=quick).path.read_bytes() == server.files["/a"]
    )


def test_a_length_that_only_the_second_answer_tells_is_held_to(server: Loopback, url: str) -> None:
    server.faults["/a.bin"] = [
        chunked(True),
        short(0),
    ]  # half of it in chunks, then a promise of the rest and none
    assert fetch(url).path.read_bytes() == CONTENT
