"""Scanned volumes, one file a format."""
