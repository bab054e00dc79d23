"""What a conversion is expected to take and to make."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """Size and time of the whole conversion, estimated from samples; see :func:`bigimg.conversion.estimate.probe`."""

    compression: float
    """Decoded bytes per stored byte, in the samples."""
    output_bytes: int
    """Of the store, all levels."""
    seconds: float
    ids: int | None = None
    """Number of values in the samples where these are so few, and lie so, that they may be ids; None otherwise."""
