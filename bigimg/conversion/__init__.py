"""Obey the plan: the pass from a reader to a store."""
