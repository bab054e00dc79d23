"""Computing now: on this machine's processors, or on the cluster or scheduler that a person chose."""

from __future__ import annotations

import sys
from typing import Any


def computed(lazy: Any) -> Any:
    """Return ``lazy``, a DataArray, Dataset or dask array, with its values.

    Asked without a scheduler, dask imports ``distributed`` to look for a client: 25 MB and half a second. A client can
    be active only where it was imported already.
    """
    import dask
    import dask.threaded

    chosen = "distributed" in sys.modules or dask.config.get("scheduler", None)
    return lazy.compute(scheduler=None if chosen else dask.threaded.get)
