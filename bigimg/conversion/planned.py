"""The whole plan of a conversion: what a pass needs, what the store says of its source, and what goes along."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bigimg.conversion.carrying import Carried, with_carried
from bigimg.conversion.identity import chosen, request
from bigimg.conversion.sidecar import beside
from bigimg.planning.channels import described_windows
from bigimg.planning.options import Options
from bigimg.planning.plan import ConversionPlan, make_plan
from bigimg.reader import Reader, open_source_of


def planned(
    source: object,
    reader: Reader,
    target: str | os.PathLike[str],
    options: Options,
    opening: Mapping[str, Any],
    *,
    resident: int | None = None,
) -> tuple[ConversionPlan, tuple[Carried, ...]]:
    """Return the plan of one image, and the label images that go along; nothing is written.

    Parameters
    ----------
    source : path, array or other source
        As the user gave it; None for a field of a plate, which is known by its reader alone.
    reader : Reader
        Of it, of the kind that the options say.
    target : path
        Of the store.
    options : Options
    opening : mapping
        Options of :class:`bigimg.types.Opening` with which it was opened.
    resident : int, optional
        As of :func:`bigimg.planning.plan.make_plan`.

    Raises
    ------
    BudgetError
        It does not fit.
    UsageError
        The options contradict the image.
    """
    open_source_of(reader)  # what a store says that its source costs may be untrue
    plan = make_plan(reader.source, os.fspath(target), reader.spec, reader.access, options, resident=resident)
    plan = replace(beside(plan, source, reader, opening, options.kind), opening=chosen(opening))
    if isinstance(source, str | os.PathLike):
        plan = replace(plan, request=request(reader, options, opening))
    plan, labels = with_carried(plan, reader, options)
    return _with_windows(plan, options), labels


def _with_windows(plan: ConversionPlan, options: Options) -> ConversionPlan:
    """Return the plan with the windows that are asked for; those of other channels stay, or are made of the pixels."""
    if not options.window:
        return plan
    window, windows = described_windows(plan.spec, plan.shown.windows, options.window)
    shown = replace(plan.shown, windows=windows)
    return replace(plan, spec=replace(plan.spec, window=window), shown=shown)
