"""Kernels on blocks and the partial statistics of a block: arrays in, arrays out."""
