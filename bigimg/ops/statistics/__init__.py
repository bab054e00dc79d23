"""Statistics of an image: counted in one pass, or taken from its store."""
