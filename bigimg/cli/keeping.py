"""Verbs that look after stores: ``verify`` and ``clean``."""

from __future__ import annotations

from typing import Any

import click

from bigimg.cli.options import print_value, say, shared


@click.command()
@click.argument("store")
@click.argument("source", required=False)
@click.option("--quick", is_flag=True, help="Presence, lengths and metadata alone; no chunk is read.")
@shared("memory", "series", "json", "quiet")
def verify(store: str, source: str | None, as_json: bool, quiet: bool, **asked: Any) -> None:
    """Find whatever is lost, cut, changed or contradicting in STORE; with SOURCE, compare its pixels."""
    from bigimg.faces.verify import verify as check

    report = check(store, source, progress=not quiet, **asked)
    if as_json:
        print_value(report, as_json)
    else:
        for finding in report.findings:
            click.echo(f"{store.rstrip('/')}/{finding}")
    if not (quiet or as_json):
        for doubt in report.doubts[:20]:  # the notes say how many there are, and --json has them
            say(f"doubt: {doubt}")
        for note in report.notes:
            say(f"note: {note}")
    if not quiet or not report.ok:
        click.echo(report.verdict, err=True)
    if not report.ok:
        click.get_current_context().exit(5)


@click.command()
@click.argument("folder", default=".")
@click.option("--remove", is_flag=True, help="Remove what is listed.")
@shared("json")
def clean(folder: str, remove: bool, as_json: bool) -> None:
    """List what interrupted runs left in FOLDER, with sizes; remove it when told to."""
    from bigimg.conversion.leftovers import clean as find

    print_value(find(folder, remove=remove), as_json)
