"""Verbs that answer with numbers: ``stats``."""

from __future__ import annotations

from typing import Any

import click

from bigimg.cli.options import print_value, shared


@click.command()
@click.argument("source")
@shared("memory", "series", "json")
def stats(source: str, as_json: bool, **asked: Any) -> None:
    """Print count, min, max, mean and std of each channel; from the store where it holds them."""
    from bigimg.ops.tables import statistics_table

    print_value(statistics_table(source, **asked), as_json)
