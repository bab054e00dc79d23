"""The check of a store: its objects, metadata and pixels, and its source."""
