"""The scripts in ``examples`` run as they stand, warn of nothing, and print what they promise."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
PRINTS = {
    "convert_and_look": ("planned peak", "929000", "thumbnail of shape (238, 256, 3)"),
    "read_a_region": ("'y': 'micrometer'", "by place: {'c': 3, 'y': 101, 'x': 151}", "(100, 150, 3)"),
    "write_your_own_array": ("scale3", "bright: ", "kind     mask"),
    "own_reader": ("keeps the contract", "600 x 800, 300 x 400, 150 x 200"),
}
SHA256 = {
    "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "rat_brain_low_res.jpg": "b10f9a2a0ff0de4fcef58d3b4e309d0754aaed723f6814edb05d993b214f19cf",
}


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PRINTS)


@pytest.mark.parametrize("name", PRINTS)
def test_example_runs(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / f"{name}.py"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for words in PRINTS[name]:
        assert words in done.stdout


def test_example_images_are_small_credited_and_as_their_authors_made_them() -> None:
    images = [path for path in (EXAMPLES / "data").iterdir() if path.suffix != ".md"]
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in images} == SHA256
    assert sum(path.stat().st_size for path in images) < 2_000_000
    credits = (EXAMPLES / "data" / "CREDITS.md").read_text(encoding="utf-8")
    assert all(f"`{path.name}`" in credits for path in images)
