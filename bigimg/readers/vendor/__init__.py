"""Files of microscopes, as their makers write them."""
