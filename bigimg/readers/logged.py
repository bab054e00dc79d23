"""What libraries log while they open a file: notes of the image, and nothing that is printed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bigimg.errors import one_line

MOST_WARNINGS = 100
"""Of a library about one file."""


@contextmanager
def logged_warnings(library: str) -> Iterator[list[str]]:
    """Collect the warnings that ``library`` logs in this thread, once each; they are not printed."""
    found: list[str] = []
    thread, logger = threading.get_ident(), logging.getLogger(library)

    def collect(record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or threading.get_ident() != thread:
            return True
        text = one_line(record.getMessage())
        if len(found) < MOST_WARNINGS and text not in found:
            found.append(text)
        return False

    logger.addFilter(collect)
    try:
        yield found
    finally:
        logger.removeFilter(collect)
