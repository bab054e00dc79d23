"""Axes, regions, chunk grids, levels and affines: arithmetic without files and without dask."""
