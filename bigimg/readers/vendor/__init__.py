"""Files of microscopes, a file a format."""
