"""What is installed here: the name and version of the distribution, and the line that adds an extra to it."""

from __future__ import annotations

__version__ = "0.1.0"  # the build reads it here, and a store is told it without 24 ms of package metadata
DISTRIBUTION = "bigimg-zarr"
"""Its name for installers. The import and the command are ``bigimg``; on the package index that name is another's."""


def install_line(extra: str, *beside: str) -> str:
    """Return the shell command that adds an extra to this installation, in the way that it was installed.

    Parameters
    ----------
    extra : str
        As ``pyproject.toml`` names it.
    *beside : str
        Requirements to install with it.
    """
    import json
    import shlex
    import sys
    from importlib.metadata import PackageNotFoundError, distribution
    from pathlib import Path
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        found = distribution(DISTRIBUTION)
        by_uv = (found.read_text("INSTALLER") or "").strip() == "uv"
        origin = json.loads(found.read_text("direct_url.json") or "{}")
    except PackageNotFoundError:  # a folder on Python's path, which no installer knows
        by_uv, origin = False, {}
    prefix, wanted = Path(sys.prefix), [f"{DISTRIBUTION}[{extra}]"]
    if "dir_info" in origin:
        folder = url2pathname(urlsplit(origin["url"]).path)
        wanted = [*(["-e"] if origin["dir_info"].get("editable") else []), f"{folder}[{extra}]"]
        if by_uv and "-e" in wanted and prefix.parent == Path(folder):  # the environment that `uv run` makes
            line = shlex.join(["uv", "sync", "--project", folder, "--inexact", "--extra", extra])
            return line + (f" && {shlex.join(['uv', 'pip', 'install', *beside])}" if beside else "")
    if (prefix / "uv-receipt.toml").exists():
        return shlex.join(["uv", "tool", "install", *wanted, *(f"--with={each}" for each in beside)])
    tool = ["pipx", "runpip", DISTRIBUTION] if (prefix / "pipx_metadata.json").exists() else ["pip"]
    return shlex.join([*(["uv"] if by_uv and tool == ["pip"] else []), *tool, "install", *wanted, *beside])
