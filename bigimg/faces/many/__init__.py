"""Thousands of files, each converted by itself: which they are, what is done with them, and the report on them."""
