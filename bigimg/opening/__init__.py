"""From a path, a URL, an array or a store to a reader, a labelled array or a pyramid."""
