"""The command speaks of its own options, the library of Python's arguments: one message, two ways to say it."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

import bigimg
from bigimg.cli import VERBS, cli
from bigimg.cli.messages import error_in_words_of, in_words_of
from bigimg.errors import BudgetError, InputError, OutputError

ROOT = Path(__file__).parents[2]


def verb(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("convert", "memory='12MB' or chunks=(64, 64) shards=(8, 8)", "--memory 12MB or --chunks 64,64 --shards 8,8"),
        ("convert", "exists: choose another name, or overwrite=True", "exists: choose another name, or --overwrite"),
        ("convert", "take one by axis={'H': 0, 'B': 2}", "take one by --axis H=0,B=2"),
        ("convert", "stored whole: leave levels_only out", "stored whole: leave --levels-only out"),
        ("convert", "/a/levels_only/b.tif, levels_only.tif: x", "/a/levels_only/b.tif, levels_only.tif: x"),
        ("convert", "resume=False to start over", "--no-resume to start over"),
        ("convert", "choose one with series=NUMBER", "choose one with --series NUMBER"),
        ("patches", "give n= too, or no seed", "give --n too, or no seed"),
        ("patches", "edge='pad' for a grid (size=3.5)", "--edge pad for a grid (--size 3.5)"),
        ("patches", "min_fraction=0.5: no", "--min-fraction 0.5: no"),
        ("mask", "mask: give below=, above= or otsu=True.", "mask: give --below, --above or --otsu."),
        ("histogram", "range=(0, 9): give two", "--range 0,9: give two"),
        ("slice", "index=3.5: or position= for a coordinate", "--at 3.5: or --mm for a coordinate"),
        ("export", "version=2 keeps 64 bits", "--nifti 2 keeps 64 bits"),
        ("export", "index=3.5: for another give position=", "--at 3.5: for another give --mm"),
        ("patches", "choose with series=NUMBER", "choose with --series NUMBER"),
        ("stats", "https://a.org/b.zarr?level=2&series=3: level=7", "https://a.org/b.zarr?level=2&series=3: --level 7"),
        ("info", "memory='12MB'", "memory='12MB'"),  # no such option
        ("stats", "/data/level=2/a.tif: x.level=3, level=5", "/data/level=2/a.tif: x.level=3, --level 5"),
    ],
)  # fmt: skip
def test_what_is_said(name: str, text: str, said: str) -> None:
    assert in_words_of(verb(name), text) == said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "convert",
            "too large: use --memory 1MB, --chunks 4,4 --shards 4,4, or give it --spacing 2mm",
        ),
        ("downsample", "too large: use --memory 1MB or give it bigimg convert --spacing 2mm"),
        ("mask", "too large: use --memory 1MB or give it bigimg convert --spacing 2mm"),
        ("view", "too large: give it bigimg convert --spacing 2mm"),
    ],
)
def test_what_to_do_names_no_option_that_the_verb_lacks(name: str, said: str) -> None:
    ways = ["use memory='1MB'", "chunks=(4, 4) shards=(4, 4)", "give it spacing='2mm'"]
    error = BudgetError("too large:", needed=2, allowed=1, ways=ways)
    assert error_in_words_of(verb(name), error) == said
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.ways, again.needed) == (str(error), tuple(ways), 2)
    alone = OutputError("there is no room:", ways=["codec='zstd'"])
    assert error_in_words_of(verb("mask"), alone) == "there is no room"
    axis = InputError("choose one: axis={'H': 0}")
    assert error_in_words_of(verb("stack"), axis) == "choose one: bigimg convert --axis H=0"
    assert error_in_words_of(verb("slice"), axis) == "choose one: --axis H=0"
    assert str(alone) == "there is no room: codec='zstd'"


def test_no_option_is_left_in_python(tmp_path: Path) -> None:
    """What a verb refuses names the option that the person typed."""
    np.save(tmp_path / "a.npy", np.arange(12000, dtype=np.uint8).reshape(100, 120))
    np.save(tmp_path / "c.npy", np.full((9, 9), 1j))
    image, out, complex_values = str(tmp_path / "a.npy"), str(tmp_path / "b"), str(tmp_path / "c.npy")
    for args, says in (
        (["patches", image, out, "--size", "500"], "--edge pad"),
        (["patches", image, out, "--size", "9", "--seed", "3"], "give --n too"),
        (["mask", image, out], "give --below, --above"),
        (["slice", image, out + ".png", "--plane", "y", "--at", "0.5"], "or --mm for a coordinate"),
        (["downsample", image, out + ".npy"], "give --factor, --to-spacing or --shape"),
        (["convert", image, out, "--memory", "20MB"], "use --memory "),
        (["convert", image, out, "--memory", "1"], "--memory 1 is 1 byte, in which nothing runs; did you mean 1GB?"),
        (["stats", image, "--memory", "512B"], "did you mean 512MB?"),
        (["stats", complex_values], "one part: --part real, --part imaginary, "),
        (["convert", complex_values, out], "one part: --part real, --part imaginary, "),
    ):  # fmt: skip
        found = CliRunner().invoke(cli, args)
        message = found.output + str(found.exception)
        assert found.exit_code, args
        assert says in message, (args, message)
        assert not re.search(r"\b(memory|edge|n|below|otsu|factor|shape|physical|part)=", message), message


def test_pictures_say_where_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(12000, dtype=np.uint8).reshape(2, 60, 100))
    for name in ("slice", "thumbnail", "montage"):
        target = str(tmp_path / f"{name}.png")
        found = CliRunner().invoke(cli, [name, str(tmp_path / "a.npy"), target])
        assert (found.exit_code, found.stdout, found.stderr) == (0, "", f"{target}\n"), found.output
        again = CliRunner().invoke(cli, [name, str(tmp_path / "a.npy"), target, "--overwrite", "-q"])
        assert (again.exit_code, again.output) == (0, "")


def test_names_of_files_are_no_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("level=1.npy", np.arange(12000, dtype=np.uint8).reshape(2, 60, 100))
    for name in ("slice", "thumbnail", "montage"):
        found = CliRunner().invoke(cli, [name, "level=1.npy", "memory=small.png", "--overwrite"])
        assert (found.exit_code, found.stdout, found.stderr) == (0, "", "memory=small.png\n"), found.output
    for args, says in (
        (["export", "level=1.npy", "memory=a b.tif"], "memory=a b.tif"),
        (["stats", "level=1.npy", "--memory", "1"], "--memory 1 is 1 byte"),
        (["thumbnail", "memory=none.npy", "a.png"], "memory=none.npy: "),
    ):
        found = CliRunner().invoke(cli, args)
        assert says in found.output + str(found.exception), args


def test_an_option_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    for call in (bigimg.convert, bigimg.write):
        with pytest.raises(bigimg.UsageError, match="no option 'colour'; there are memory, workers, chunks"):
            call(np.zeros((4, 5)), tmp_path / "a.ome.zarr", colour=3)
    assert not list(tmp_path.iterdir())


def test_the_library_does_not_speak_as_the_command_does() -> None:
    """``--overwrite`` in a message of the library would puzzle who wrote ``overwrite=``."""
    options = {
        o for name in VERBS for p in verb(name).params for o in p.opts if o.startswith("--") and len(o) > 3
    }
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "bigimg").rglob("*.py"))
        if path.parent.name != "cli"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"^\s*f?[\"'].*--[a-z]|\(f?[\"'].*--[a-z]|= f?[\"'].*--[a-z]", line)
        and any(re.search(rf"{re.escape(o)}\b", line) for o in options)
        and not re.search('bigimg slice|clean --remove|"""', line)  # lines to type
    ]
    assert not wrong, "\n".join(wrong)
