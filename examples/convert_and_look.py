"""Convert an image to a pyramid, then look at it: statistics, a thumbnail, the plan that was made before.

    uv run python examples/convert_and_look.py

A huge image does not fit into memory, so nobody can open all of it. A *pyramid* holds the image several times:
level 0 is full resolution, each further level has half the pixels along each side. Every level is cut into
*chunks*, small boxes that are compressed one by one. Whoever wants an overview reads a small level; whoever
wants a detail reads the few chunks it lies in. Nobody has to read the whole.
"""

import tempfile
from pathlib import Path

from PIL import Image

import bigimg

SOURCE = Path(__file__).parent / "data" / "rat_brain_low_res.jpg"


def main() -> None:
    """Plan, convert, and look at what came out."""
    folder = Path(tempfile.mkdtemp(prefix="bigimg-"))
    target = folder / "rat.ome.zarr"

    # Before anything is read: what would be done, and how much memory it would take. `memory` is a promise.
    # It counts the whole process, Python and its libraries included. A plan that does not fit is refused.
    print(bigimg.plan(SOURCE, target, memory="1GB"))

    # One pass: each pixel of the source is decoded once, and from it come all levels, the statistics and the
    # checksums. What is returned is the pyramid, opened; no pixel of it is in memory.
    tree = bigimg.convert(SOURCE, target, memory="1GB")
    print("\nlevels:", {name: dict(node["image"].sizes) for name, node in tree.children.items()})

    # Statistics were counted on the way and lie in the store: nothing is read again for them.
    print("\n", bigimg.stats(target).compute().to_pandas(), sep="")

    # An overview comes from the smallest level that is large enough. It is a plain numpy array.
    small = bigimg.thumbnail(target, 256)
    Image.fromarray(small).save(folder / "look.png")
    print(f"\nthumbnail of shape {small.shape}: {folder / 'look.png'}")


if __name__ == "__main__":
    main()
