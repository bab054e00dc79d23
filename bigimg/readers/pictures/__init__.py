"""PNG, JPEG and what else pictures come in."""
