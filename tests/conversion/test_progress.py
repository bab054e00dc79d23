"""How far a pass is: a bar on a terminal and in a notebook, lines in a pipe when asked, silence when asked."""

from __future__ import annotations

import io
import sys

import pytest

from bigimg.conversion.progress import Meter, StatusLine, reporting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Cell(io.StringIO):
    """As the stream below a cell of a notebook: no terminal, but a line is drawn again."""

    __module__ = "ipykernel.iostream"


@pytest.mark.parametrize(
    ("stream", "progress", "drawn", "lines"),
    [
        (Terminal, None, True, False), (Cell, None, True, False), (io.StringIO, None, False, False),
        (Terminal, False, False, False), (Cell, False, False, False), (io.StringIO, True, False, True),
    ],
)  # fmt: skip
def test_where_it_is_seen(
    stream: type[io.StringIO],
    progress: bool | None,
    drawn: bool,
    lines: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = stream()
    monkeypatch.setattr(sys, "stderr", screen)
    with reporting(progress) as report:
        meter = Meter(100, report)
        meter.begin("level 0")
        assert ("0 %" in screen.getvalue()) == drawn  # from the beginning: the first block may take minutes
        meter.started -= 11
        meter.advance(100)
    said = screen.getvalue()
    assert ("100 %" in said) == (drawn or lines)
    assert ("━" in said) == ("\r" in said) == drawn
    assert not drawn or said.rsplit("\r", 2)[1].strip() == ""  # and it is gone afterwards


def test_lines_in_a_pipe_are_seconds_apart() -> None:
    pipe = io.StringIO()
    meter = Meter(1000, StatusLine(pipe))
    for _ in range(100):
        meter.advance(1)
    assert pipe.getvalue() == ""
