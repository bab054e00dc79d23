"""Numbers of an image: counted in one pass, or answered by what its store knows already."""
