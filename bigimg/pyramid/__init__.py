"""Downsampling of blocks and statistics of blocks, on numpy arrays."""
