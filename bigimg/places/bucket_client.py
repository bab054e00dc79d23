"""The client of a bucket (obstore), with the credentials that the environment or the cloud's own chain gives.

No credential is read from an address, kept, or shown: errors of a client are told by their kind and status alone.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from http.client import responses
from importlib.util import find_spec
from typing import Any

from bigimg.errors import InputError, InputNotFoundError, MissingExtraError, warn
from bigimg.places.address import redacted
from bigimg.places.http import LATER, STALL, TryAgain
from bigimg.version import install_line

RENEWED = timedelta(minutes=5)
"""After that the chain is asked for credentials again; it renews them by itself."""
OWN_CHAIN = ("AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
"""Variables of which obstore knows what to do."""
SIGN_IN = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS",
}
"""What to do where a bucket does not let us read."""


def split_bucket(address: str) -> tuple[str, str, str]:
    """Return scheme, bucket and key of an address.

    >>> split_bucket("s3://bucket/a/b.tif"), split_bucket("memory://a.tif")
    (('s3', 'bucket', 'a/b.tif'), ('memory', '', 'a.tif'))

    Raises
    ------
    InputError
        It has a user or a password, or no bucket.
    """
    scheme, _, rest = address.partition("://")
    scheme = scheme.lower()
    if scheme == "memory":
        return scheme, "", rest.strip("/")
    bucket, _, key = rest.partition("/")
    if "@" in bucket:
        raise InputError(f"{redacted(address)}: no password is read from an address: {SIGN_IN[scheme]}")
    if not bucket:
        raise InputError(f"{address}: names no bucket; write {scheme}://bucket/name")
    return scheme, bucket, key


def bucket_client(address: str, *, insecure: bool = False, stall: float = STALL) -> Any:
    """Return the obstore client of the bucket in ``address``; nothing is sent yet.

    Parameters
    ----------
    address : str
        ``s3://bucket/…``, ``az://container/…`` or ``gs://bucket/…``.
    insecure : bool
        Accept any certificate, with a warning.
    stall : float
        Seconds to connect; a request as a whole may take four times as long.

    Raises
    ------
    MissingExtraError
        obstore is not installed.
    InputError
        The address or the environment names no bucket that there could be.
    """
    scheme, bucket, _ = split_bucket(address)
    shown = redacted(address)
    try:
        from obstore import store
    except ImportError:
        what = "an address in a bucket is read by obstore, which is not installed"
        raise MissingExtraError(f"{shown}: {what}: {install_line('remote')}") from None
    options: dict[str, Any] = {
        "connect_timeout": timedelta(seconds=stall), "timeout": timedelta(seconds=4 * stall),
    }  # fmt: skip
    if insecure:
        warn(f"{shown}: certificates are not checked (insecure)")
        options["allow_invalid_certificates"] = True
    # Repeats are ours: what was received is kept, and the number of tries is told.
    common: dict[str, Any] = {"client_options": options, "retry_config": {"max_retries": 0}}
    try:
        if scheme == "s3":
            if os.environ.get("AWS_ENDPOINT_URL", "").lower().startswith("http://"):
                options["allow_http"] = True
            return store.S3Store(bucket, **common, **_aws(shown))
        if scheme == "az":
            return store.AzureStore(container_name=bucket, **common)
        return store.GCSStore(bucket, **common)
    except Exception as error:  # what it says may hold a key
        kind = type(error).__name__
        raise InputError(
            f"{shown}: no client of this bucket can be made ({kind}); {SIGN_IN[scheme]}"
        ) from None


def _aws(shown: str) -> dict[str, Any]:
    """Return what Amazon's own chain says (profiles, roles), as far as obstore does not know it by itself."""
    if any(name in os.environ for name in OWN_CHAIN) or find_spec("botocore") is None:
        return {}
    from botocore.session import get_session

    try:
        session = get_session()
        found = session.get_credentials()
        region = session.get_config_variable("region")
    except Exception as error:  # such as a profile that is not there
        kind = type(error).__name__
        raise InputError(f"{shown}: Amazon's credentials cannot be found ({kind}); {SIGN_IN['s3']}") from None
    chosen = {} if region is None else {"region": region}
    if found is None:  # a bucket that anyone may read
        return {"skip_signature": True, **chosen}

    def credentials() -> dict[str, Any]:
        keys = found.get_frozen_credentials()
        return {
            "access_key_id": keys.access_key, "secret_access_key": keys.secret_key, "token": keys.token,
            "expires_at": datetime.now(UTC) + RENEWED,
        }  # fmt: skip

    return {"credential_provider": credentials, **chosen}


def failure(error: Exception, address: str) -> Exception:
    """Return the error of ours that an error of a client becomes; TryAgain where a repeat may help."""
    scheme, bucket, _ = split_bucket(address)
    shown, text = redacted(address), str(error)
    found = re.search(r"status: (\d{3})", text)
    status = int(found[1]) if found else 0
    kind = type(error).__name__
    if kind == "PreconditionError":
        return TryAgain("the file was changed while it was fetched")
    if "NoSuchBucket" in text or "ContainerNotFound" in text:
        return InputNotFoundError(f"{shown}: there is no bucket {bucket}; check the address")
    if isinstance(error, FileNotFoundError):
        return InputNotFoundError(f"{shown}: there is no such object in the bucket; check the address")
    if kind in ("PermissionDeniedError", "UnauthenticatedError"):
        return InputError(f"{shown}: the bucket does not allow to read it ({status}); {SIGN_IN[scheme]}")
    if "BareRedirect" in text:
        return InputError(f"{shown}: the bucket is in another region; set AWS_REGION")
    if status in LATER or status == 0:
        why = f"the server answers {status} {responses.get(status, '')}".rstrip()
        return TryAgain(
            why if status else f"the server cannot be reached, or the connection broke ({_word(text)})"
        )
    return InputError(f"{shown}: the server answers {status} {responses.get(status, '')}; check the address")


def _word(text: str) -> str:
    """Return what went wrong on the way to a server, in a few words without any address."""
    for sign, word in {
        "TimedOut": "timeout", "kind: Timeout": "timeout", "dns": "no server has this name", "Connect": "no connection",
        "NotPartial": "no parts of files",
    }.items():  # fmt: skip
        if sign in text:
            return word
    return "broken"
