"""The source side: one file a format, each a :class:`bigimg.reader.Reader`."""
