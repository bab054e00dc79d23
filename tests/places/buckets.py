"""Buckets on this machine: a server of ours that answers as S3 does, and moto."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.places.server import Loopback

SECRET = "hide7this8secret9"


def point(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Let s3:// addresses lead to ``endpoint``."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)


def put(server: Loopback, address: str, content: bytes) -> str:
    """Put an object into the bucket that ``server`` answers for, and return its address."""
    server.files[address.removeprefix("s3:/")] = content
    return address


def running_moto() -> Iterator[tuple[str, Any]]:
    """Run moto for some tests; give its address, and a client of boto3."""
    server_module = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_module.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        client = boto3.client(
            "s3", endpoint_url=f"http://{host}:{port}", aws_access_key_id="a", aws_secret_access_key="b",
            region_name="us-east-1",
        )  # fmt: skip
        yield f"http://{host}:{port}", client
        client.close()
    finally:
        server.stop()
