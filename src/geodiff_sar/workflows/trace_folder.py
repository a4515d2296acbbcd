"""The folder that a tracing workflow fills: it belongs to one set of settings, and is gone on with after an interruption."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from geodiff_sar.core.console import say
from geodiff_sar.core.errors import FileError, OptionError
from geodiff_sar.core.files import read_json, require_writable, write_json

MARK = "trace.json"
PRODUCT = re.compile(r".+_(HH|HV|VH|VV)_dep[0-9.e+-]+_az[0-9.]+(_seed[0-9]+)?\.(png|safetensors|pt|npy)")
PARTS = {
    "kind": "by the other command",
    "version": "by another version of the tracer",
    "seed": "with another seed",
    "settings": "with another mesh, label, radar or other settings of the tracer",
    "poses": "for other azimuths, depressions, polarisations or seeds",
}


def claim(folder: Path, fingerprint: dict[str, Any], overwrite: bool, files: Iterable[str] = ()) -> None:
    """Take ``folder`` for these settings.

    Files of a run with the same fingerprint are kept and gone on with. ``overwrite`` makes them anew; those of another
    fingerprint are removed first, so that a folder never mixes two.

    Args:
        folder: the folder.
        fingerprint: of the settings.
        overwrite: remove files that were made otherwise.
        files: names of the files that this run writes, where PRODUCT does not know them; the mark lists them.

    Raises:
        OptionError: the folder holds something else.
        FileError: nothing can be written there.
    """
    mark = folder / MARK
    if folder.exists() and not folder.is_dir():
        raise OptionError("--out", f"{folder} is a file", "a folder", "choose another folder")
    if mark.is_file():
        others = _differences(mark, fingerprint)
        products = _products(folder, mark) if others else []
        files = files if others else {*files, *_listed(mark)}
        if products and not overwrite:
            raise OptionError(
                "--out",
                f"{folder} holds {len(products)} files made {', '.join(others)}",
                "a folder belongs to one set of settings",
                "choose another folder, or add --overwrite, which removes those files",
            )
        if products:
            require_writable(folder)
            say(f"removing {len(products)} files that were made {', '.join(others)}")
        for path in products:
            path.unlink()
    elif folder.is_dir() and any(folder.iterdir()):
        raise OptionError(
            "--out", f"{folder} exists and is not empty", "a new folder, or one to go on with", "choose another folder"
        )
    require_writable(folder)
    write_json(mark, {**fingerprint, **({"files": sorted(files)} if files else {})})


def _differences(mark: Path, fingerprint: dict[str, Any]) -> list[str]:
    """In words, what differs between the run that the folder belongs to and this one."""
    try:
        found = read_json(mark)
    except FileError:
        found = None
    if not isinstance(found, dict):
        return [f"by a run whose mark {MARK} is damaged"]
    if found.get("kind") != fingerprint["kind"]:
        return [PARTS["kind"]]
    return [words for key, words in PARTS.items() if found.get(key) != fingerprint.get(key)]


def _listed(mark: Path) -> list[str]:
    """Names of the files that a mark lists; names that lead out of the folder are no such names."""
    try:
        found = read_json(mark)
    except FileError:
        return []
    names = found.get("files", []) if isinstance(found, dict) else []
    return [name for name in names if not Path(name).is_absolute() and ".." not in Path(name).parts]


def _products(folder: Path, mark: Path) -> list[Path]:
    """Chips and priors in the folder, told by their names or listed in its mark."""
    listed = [folder / name for name in _listed(mark) if (folder / name).is_file()]
    places = (folder, folder / "chips", folder / "3d_features")
    named = [path for place in places if place.is_dir() for path in sorted(place.iterdir()) if _is_product(path)]
    return [*named, *(path for path in listed if path not in named)]


def _is_product(path: Path) -> bool:
    return PRODUCT.fullmatch(path.name) is not None and path.is_file()
