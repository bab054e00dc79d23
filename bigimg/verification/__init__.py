"""The check of a store against its manifest, against itself, and against the source that it was made from.

What each depth checks of a store of ours, and the module that checks it. Each depth includes those above it.

============================  ===================================================================  =================
depth                         what is checked                                                      module
============================  ===================================================================  =================
quick                         each object of the manifest is there and has its length; there is    ``objects``
                              no other object; small objects have their checksum
quick                         the levels follow from level 0 by shape, spacing and origin; the     ``metadata``
                              statistics follow from the histogram
full (the default)            each chunk has its checksum and decodes; no object is in the place   ``pixels``
                              of another; each level is derived again from the stored level below
full (the default)            statistics and histogram are counted again from level 0              ``metadata``
full, with a source           each pixel of level 0 is equal to that of the source                 ``pixels``
============================  ===================================================================  =================

What others edited in the metadata, and groups that they added, are no damage: edits are listed apart, and taken over
when asked for (:mod:`~bigimg.omezarr.edited`, :mod:`~bigimg.conversion.edit`).

A store that bigimg did not write has no manifest, and the method of its levels is not known. There the quick check
compares shapes with scales and names absent objects as doubts; the full check decodes each chunk, and compares the
ids of label images with those of level 0 (``others``). ``labels`` checks each label image in a store at the same
depth. ``store`` runs the checks in this order, and ``report`` collects what they find.

The levels of our own stores are derived again although each chunk has a checksum: the checksum says that these bytes
were written, and only the derivation finds a wrong writer or a store that was changed together with its manifest.
"""
