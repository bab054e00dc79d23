"""TIFF, from its tables of pages to any region of a series."""
