"""Volumes that are folders of chunks, and are no zarr: N5 and Neuroglancer precomputed, through tensorstore."""
