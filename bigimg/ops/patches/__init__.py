"""Patches: their positions, cutting them out, and images made by a function of each."""
