"""What the pages say is so: their code runs, their output is as printed, their tables are the real ones.

A page is run as a reader would run it: from top to bottom in one folder with ``examples`` in it. Lines with ``bigimg``
in ``sh`` blocks, and all of the ``python`` blocks; a ``text`` block is the output of the block before it, in which
``...`` stands for anything.
"""

from __future__ import annotations

import doctest
import inspect
import json
import operator
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

import bigimg
from bigimg import errors
from bigimg.cli import cli
from bigimg.cli.options import OPENING
from bigimg.errors import BigimgError
from bigimg.types import Opening

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
]
RUN = [ROOT / "README.md", DOCS / "quickstart.md", *sorted((DOCS / "howto").glob("*.md")),
       *sorted((DOCS / "lessons").glob("*.md"))]  # fmt: skip
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONTEXT = click.Context(cli)
COMMANDS = {name: found for name in cli.list_commands(CONTEXT) if (found := cli.get_command(CONTEXT, name))}
VERBS = {name: copy(command) for name, command in COMMANDS.items()}
"""Without the options of a source, which have a section of their own."""
for command in VERBS.values():
    command.params = [parameter for parameter in command.params if parameter.name not in OPENING]
COMMAND = [sys.executable, "-W", "error", "-c", "from bigimg.cli import main; main()"]
CHILD = """\
import contextlib, io, json, subprocess, sys
pages, names = json.loads(sys.stdin.read()), {"__name__": "__main__"}
said = []
for kind, content in pages:
    out = io.StringIO()
    if kind == "python":
        with contextlib.redirect_stdout(out):
            exec(compile(content, "a python block", "exec"), names)
    for command in content if kind == "sh" else ():
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{command[-5:]}: exit {done.returncode}: {done.stderr}")
        out.write(done.stdout + done.stderr)
    said.append(out.getvalue())
print(json.dumps(said))
"""


# ---------------------------------------------------------------------------------------------- code on the pages


def commands_of(block: str) -> list[list[str]]:
    """Return the calls of bigimg in a ``sh`` block."""
    called = []
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        while "&&" in words:
            words = words[words.index("&&") + 1 :]
        if words[:2] == ["uv", "run"]:
            words = words[2:]
        if words[:1] == ["bigimg"]:
            called.append([*COMMAND, *words[1:]])
    return called


def place(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", RUN, ids=place)
def test_code_on_the_page_runs(page: Path, tmp_path: Path) -> None:
    source = page.read_text(encoding="utf-8")
    found = list(FENCE.finditer(source))
    blocks = [match.groups() for match in found]
    assert {kind for kind, _ in blocks} <= {"python", "sh", "text"}
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    content = [(kind, commands_of(text) if kind == "sh" else text) for kind, text in blocks]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHILD],
        cwd=tmp_path, input=json.dumps(content), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    alike = doctest.OutputChecker().check_output
    for before, match, output in zip(found, found[1:], said, strict=False):
        prints = (
            match[1] == "text" and before[1] != "text" and not source[before.end() : match.start()].strip()
        )
        if prints:
            assert alike(match[2], output, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE), output


# ----------------------------------------------------------------------------------------------------------- links


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub and mkdocs make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "examples" / "data" / "CREDITS.md"], ids=place)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{place(page)}: {link}"
        assert not anchor or anchor in anchors(target), f"{place(page)}: no heading for {link}"


def test_every_page_is_linked() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    }
    assert {page for page in DOCS.rglob("*.md") if page.name != "index.md"} <= linked


# ------------------------------------------------------------------------------------------------ the command line


def option_row(option: click.Option) -> str:
    """Return the row of the table of options in ``reference/cli.md``."""
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    if isinstance(option.type, click.Choice):
        names += " " + ", ".join(map(str, option.type.choices))
    elif not option.is_flag:
        names += f" {option.metavar or option.type.name.upper()}"
    shown = f" (default: {option.default})" if option.show_default else ""
    return f"| {names} | {option.help or ''}{shown} |".replace("  ", " ")


def sections(text: str) -> dict[str, str]:
    """Return what is under each heading of the second rank."""
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_cli_page_is_the_help(verb: str) -> None:
    command = VERBS[verb]
    page = sections((DOCS / "reference" / "cli.md").read_text(encoding="utf-8"))
    assert verb in page, f"docs/reference/cli.md has no section '## {verb}'"
    arguments = " ".join(
        str(p.human_readable_name if p.required else f"[{p.human_readable_name}]").upper()
        for p in command.params
        if isinstance(p, click.Argument)
    )
    assert f"`bigimg {verb} {arguments} [OPTIONS]`" in page[verb]
    assert inspect.cleandoc(command.help or "") in page[verb].replace("\n", " ")
    rows = [line for line in page[verb].splitlines() if line.startswith("| `-")]
    assert rows == [option_row(p) for p in command.params if isinstance(p, click.Option)]
    of_source = len(command.params) < len(COMMANDS[verb].params)
    assert ("(#options-of-a-source)" in page[verb]) == of_source


def test_cli_page_has_the_options_of_a_source_and_no_other_verbs() -> None:
    page = sections((DOCS / "reference" / "cli.md").read_text(encoding="utf-8"))
    assert set(page) == {*VERBS, "All verbs", "Options of a source"}
    rows = [line for line in page["Options of a source"].splitlines() if line.startswith("| `-")]
    options = [p for p in COMMANDS["convert"].params if isinstance(p, click.Option) and p.name in OPENING]
    assert rows == [option_row(p) for p in options]


# ------------------------------------------------------------------------------------------------------------ JSON


def keys(value: Any, prefix: str = "") -> Iterator[str]:
    """Yield the path of every key: ``levels[].shape``."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield prefix + name
            yield from keys(item, f"{prefix}{name}.")
    elif isinstance(value, list):
        for item in value:
            yield from keys(item, prefix.removesuffix(".") + "[].")


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The keys that each verb prints with ``--json``, of a source and of its store together."""
    folder = tmp_path_factory.mktemp("json")
    source, store = folder / "a.npy", folder / "a.ome.zarr"
    np.save(source, np.arange(3 * 600 * 700, dtype=np.uint16).reshape(3, 600, 700))

    def of(*words: object) -> set[str]:
        done = subprocess.run(
            [*COMMAND, *map(str, words), "--json"], capture_output=True, text=True, check=True
        )
        return set(keys(json.loads(done.stdout)))

    left = folder / ".b.ome.zarr.bigimg"
    left.mkdir()
    (left / "owner.json").write_text('{"bigimg": 2, "identity": null, "target": "b.ome.zarr"}')
    return {
        "clean": of("clean", folder),
        "plan": of("plan", source, store),
        "convert": of("convert", source, store),
        "info": of("info", source) | of("info", store),
        "stats": of("stats", source) | of("stats", store),
        "histogram": of("histogram", store),
        "mask": of("mask", store, folder / "mask.ome.zarr", "--below", 9),
        "fraction": of("fraction", store, "--below", 9),
        "formats": of("formats"),
        "patches": of("patches", source, folder / "patches", "--size", "300,300"),
        "downsample": of("downsample", source, folder / "small.tif", "--factor", 2),
        "verify": verified(store, folder / "damaged.ome.zarr"),
        "edit": of("edit", store, "--window", "3,400"),
        "upgrade": of("upgrade", store, "--to", "0.6"),
        "pack": of("pack", store, folder / "a.ozx"),
        "unpack": of("unpack", folder / "a.ozx", folder / "back.ome.zarr"),
    }


def verified(store: Path, damaged: Path) -> set[str]:
    """Return the keys of a check that finds something; it prints them with exit code 5."""
    shutil.copytree(store, damaged)
    next(damaged.glob("0/c/*/*/*")).unlink()
    done = subprocess.run([*COMMAND, "verify", str(damaged), "--json"], capture_output=True, text=True)
    assert done.returncode == 5, done.stderr
    return set(keys(json.loads(done.stdout)))


@pytest.mark.parametrize(
    "verb",
    [
        "info",
        "plan",
        "convert",
        "clean",
        "stats",
        "histogram",
        "mask",
        "fraction",
        "formats",
        "verify",
        "edit",
        "upgrade",
        "pack",
        "unpack",
        "downsample",
        "patches",
    ],
)
def test_json_page_is_what_is_printed(verb: str, printed: dict[str, set[str]]) -> None:
    page = sections((DOCS / "reference" / "json.md").read_text(encoding="utf-8"))
    assert set(re.findall(r"^\| `([^`]+)` \|", page[verb], re.MULTILINE)) == printed[verb]


def test_every_verb_with_json_is_documented() -> None:
    page = (DOCS / "reference" / "json.md").read_text(encoding="utf-8")
    verbs = {name for name, command in VERBS.items() if any(p.name == "as_json" for p in command.params)}
    assert verbs == {name.partition(" ")[0] for name in sections(page)} | {"demo", "stack"}
    assert "`demo` and `stack`" in page


# ---------------------------------------------------------------------------------------------- Python and errors


def signature(name: str) -> str:
    """Return a public function as ``reference/python.md`` shows it."""
    parameters = inspect.signature(operator.attrgetter(name)(bigimg)).parameters.values()
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
    return f"{name}{inspect.Signature(bare)}"


def test_python_page_names_every_function() -> None:
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    functions = [
        n for n in bigimg.__all__ if callable(getattr(bigimg, n)) and not inspect.isclass(getattr(bigimg, n))
    ]
    functions += [f"viewing.figures.{name}" for name in ("histogram", "sweep")]
    assert set(re.findall(r"^### `bigimg\.(.*)`$", page, re.MULTILINE)) == {signature(n) for n in functions}


def test_python_page_names_every_option_of_a_source() -> None:
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(Opening.__annotations__)


def test_errors_page_names_every_error() -> None:
    page = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    kinds = [e for e in vars(errors).values() if inspect.isclass(e) and issubclass(e, BigimgError)]
    bases = {
        e: [b.__name__ for kind in e.__mro__ for b in kind.__bases__ if b.__module__ == "builtins"]
        for e in kinds
    }
    rows = set(re.findall(r"^\| `(\w+)` \| `(\w+)` \| (\d+) \|", page, re.MULTILINE))
    assert rows == {(e.__name__, bases[e][0], str(e.exit_code)) for e in kinds}


def test_constraints_are_names_and_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert len(pins) > 50
    assert [line for line in pins if not re.fullmatch(r"[\w.-]+==[\w.+!-]+", line)] == []
