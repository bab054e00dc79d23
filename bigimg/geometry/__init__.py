"""Numbers only: axes, regions, chunk grids, levels, affines. No input or output, no dask."""
