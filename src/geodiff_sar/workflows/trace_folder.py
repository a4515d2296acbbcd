"""The folder that a tracing workflow fills: it belongs to one set of settings, and is gone on with after an interruption."""

from pathlib import Path
from typing import Any

from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.files import read_json, require_writable, write_json

MARK = "trace.json"


def claim(folder: Path, fingerprint: dict[str, Any], overwrite: bool) -> None:
    """Take ``folder`` for these settings.

    Files of a run with the same fingerprint are kept and gone on with; ``overwrite`` makes them anew.

    Raises:
        OptionError: the folder holds something else.
        FileError: nothing can be written there.
    """
    mark = folder / MARK
    if folder.exists() and not folder.is_dir():
        raise OptionError("--out", f"{folder} is a file", "a folder", "choose another folder")
    if mark.is_file():
        if read_json(mark) != fingerprint and not overwrite:
            raise OptionError(
                "--out",
                f"{folder} holds priors or chips made with other settings, another mesh or another version",
                "a folder belongs to one set of settings",
                "choose another folder, or add --overwrite",
            )
        if overwrite:
            mark.unlink()
    elif folder.is_dir() and any(folder.iterdir()):
        raise OptionError(
            "--out", f"{folder} exists and is not empty", "a new folder, or one to go on with", "choose another folder"
        )
    require_writable(folder)
    write_json(mark, fingerprint)
