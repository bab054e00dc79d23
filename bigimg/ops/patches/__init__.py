"""Patches: where they lie, how they are cut out, and what becomes of a function of each."""
