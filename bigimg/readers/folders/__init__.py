"""Many files as one image."""
