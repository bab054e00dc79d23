"""How far a download is, as a person sees it: a line on a terminal, some lines in a pipe, silence when asked."""

from __future__ import annotations

import io

import pytest

from bigimg.places import progress as telling
from bigimg.places.progress import DownloadLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second passes each time that somebody looks."""
    now = iter(range(1000))
    monkeypatch.setattr(telling.time, "monotonic", lambda: next(now))


def test_a_terminal_has_one_line_that_is_wiped() -> None:
    screen = Terminal()
    teller = DownloadLine("https://h/a.png", lines=False, stream=screen)
    teller(1_000_000, 4_000_000)
    assert screen.getvalue() == "\rfetching https://h/a.png: 1 of 4 MB, 25 %"
    teller(2_000_000, None)
    teller.wipe()
    last = screen.getvalue().split("\r")[2:]
    assert last[0].rstrip() == "fetching https://h/a.png: 2 MB"
    assert (last[1].strip(), last[2]) == ("", "")


def test_a_pipe_has_lines_when_asked() -> None:
    for lines in (True, False):
        pipe = io.StringIO()
        teller = DownloadLine("a", lines=lines, stream=pipe)
        for done in range(25):
            teller(done * 10**6, 10**8)
        teller.wipe()
        told = pipe.getvalue().splitlines()
        assert len(told) == (2 if lines else 0)
        assert all(line.startswith("fetching a: ") and line.endswith(" %") for line in told)
