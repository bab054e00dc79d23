"""Make one environment each for bigimg and its peers, from the package index, byte-compiled, nothing shared.

    python benchmarks/environments.py [NAME ...]

bigimg is installed as a user has it: from a built wheel, core dependencies only. Run this again after a change of
bigimg, or the benchmarks measure the one before.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE / ".envs"
PACKAGES: dict[str, tuple[str, ...]] = {
    "bigimg": (str(HERE.parent),),
    "microscopes": (f"{HERE.parent}[bio,hdf5,dicom]", "mrcfile"),
    "vips": ("pyvips[binary]",),
    "ome-zarr": ("ome-zarr", "tifffile", "imagecodecs"),  # imagecodecs: deflate in TIFF, at its fastest
    "ngff-zarr": ("ngff-zarr", "tifffile"),
    "tensorstore": ("tensorstore", "tifffile"),
    "nibabel": ("ngff-zarr", "nibabel"),
    "simpleitk": ("SimpleITK", "numpy"),
    "dask-image": ("dask-image", "ome-zarr", "tifffile", "imagecodecs"),
    # bioio-czi is under the GPL: it is run here as a program of its own, and is part of nothing of ours.
    "bioio": ("bioio", "bioio-czi", "bioio-lif", "bioio-nd2", "ome-zarr", "h5py", "mrcfile", "wsidicom"),
    "openreadout": ("openreadout>=0.4,<0.5", "numpy"),
}
OF_OURS = ("bigimg", "microscopes")
SHOWN = (
    "bigimg-zarr", "pyvips", "pyvips-binary", "ome-zarr", "ngff-zarr", "tensorstore", "numpy", "zarr", "dask",
    "numcodecs", "tifffile", "imagecodecs", "zarrista", "click", "nibabel", "simpleitk", "dask-image", "pydicom",
    "bioio", "bioio-czi", "bioio-lif", "bioio-nd2", "czifile", "h5py", "liffile", "mrcfile", "nd2", "openreadout",
    "wsidicom",
)  # fmt: skip
"""Packages whose versions explain the figures."""


def make(name: str, *, folder: Path = FOLDER, copied: bool = False) -> Path:
    """Make the environment ``name`` anew and return its folder.

    Parameters
    ----------
    copied : bool
        Copy the packages instead of linking them to the installer's cache: a first installation.
    """
    path = folder / name
    subprocess.run(["uv", "venv", "--quiet", "--clear", "--no-project", str(path)], check=True)
    install = [
        "uv",
        "pip",
        "install",
        "--quiet",
        "--compile-bytecode",
        "--python",
        str(path / "bin" / "python"),
    ]
    # Installed from a folder, a package of the same version would come from the cache: an old bigimg.
    install += (
        ["--refresh-package", "bigimg-zarr", "--reinstall-package", "bigimg-zarr"] if name in OF_OURS else []
    )
    subprocess.run([*install, *(["--link-mode", "copy"] if copied else []), *PACKAGES[name]], check=True)
    return path


def python(name: str) -> str:
    """Return the interpreter of an environment: called directly, for a wrapper would be measured too."""
    return str(FOLDER / name / "bin" / "python")


def versions(name: str) -> dict[str, str]:
    """Return the versions of what an environment holds, of the packages that matter."""
    code = "import json, importlib.metadata as m; print(json.dumps([[d.name, d.version] for d in m.distributions()]))"
    listed = subprocess.run([python(name), "-c", code], check=True, capture_output=True, text=True).stdout
    return {found: version for found, version in sorted(json.loads(listed)) if found.lower() in SHOWN}


if __name__ == "__main__":
    for wanted in sys.argv[1:] or PACKAGES:
        print("making", wanted, flush=True)
        make(wanted)
