"""Arrays that are there already."""
