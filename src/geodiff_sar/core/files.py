"""Files: atomic writes, content hashes, output folders that belong to one run."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from geodiff_sar.core.errors import FileError


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn a refusal of the operating system (no right to write, a file in place of a folder, disk full) into a FileError."""
    try:
        yield
    except OSError as error:
        raise FileError(
            path,
            f"cannot be written ({error.strerror or error})",
            "a place where files can be written",
            "choose another folder, or see to its permissions and free space",
        ) from error


def make_folder(path: Path) -> Path:
    """Create a folder and those above it; a FileError where that is impossible."""
    with _writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def require_writable(folder: Path) -> None:
    """Make sure, without creating anything, that files could be written into ``folder`` once it is created."""
    above = folder.absolute()
    while not above.exists():
        above = above.parent
    with _writing(folder):
        if not above.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{above} is a file")
        if not os.access(above, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, f"no permission to write in {above}")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that is renamed to ``path`` when the block ends without an error.

    A killed run leaves at most a file whose name starts with ``.tmp-``, never a half-written ``path``.
    """
    make_folder(path.parent)
    with _writing(path):
        handle, name = tempfile.mkstemp(prefix=".tmp-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            mask = os.umask(0)
            os.umask(mask)
            temporary.chmod(0o666 & ~mask)
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path`` that takes the place of ``path`` when the block ends without an error."""
    make_folder(path.parent)
    with _writing(path):
        temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=path.parent))
        try:
            yield temporary
            mask = os.umask(0)
            os.umask(mask)
            temporary.chmod(0o777 & ~mask)
            if path.exists():
                old = Path(tempfile.mkdtemp(prefix=".tmp-", dir=path.parent))
                os.replace(path, old / "old")
                os.replace(temporary, path)
                shutil.rmtree(old)
            else:
                os.replace(temporary, path)
        finally:
            if temporary.exists():
                shutil.rmtree(temporary)


def atomic_write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` by atomic rename."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def atomic_write_text(path: Path, content: str) -> None:
    """Write UTF-8 ``content`` to ``path`` by atomic rename."""
    atomic_write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON by atomic rename."""
    atomic_write_text(path, json.dumps(value, indent=2, sort_keys=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON (a byte-order mark is accepted); a missing or malformed file is a FileError."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise FileError(path, "no such file", "a JSON file", "check the path") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise FileError(path, f"cannot be read as JSON ({error})", "a JSON file", "write the file again") from None


def read_text(path: Path, what: str, remedy: str = "check the path") -> str:
    """Text of a UTF-8 file (a byte-order mark is accepted); a FileError names ``what`` could not be read."""
    if not path.is_file():
        raise FileError(path, "no such file", what, remedy)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(path, f"is not UTF-8 text ({error})", f"{what}, as UTF-8 text", "save it as UTF-8") from error
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror or error})", what, "see to its permissions") from error


@contextmanager
def open_binary(path: Path) -> Iterator[BinaryIO]:
    """A file open for reading; what the operating system refuses is a FileError."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise FileError(
            path, f"cannot be read ({error.strerror or error})", "a readable file", "see to it and its permissions"
        ) from error


def sha256_bytes(*parts: bytes) -> str:
    """SHA-256 of the parts, each preceded by its length, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 hexadecimal digits (the same as ``sha256sum``)."""
    digest = hashlib.sha256()
    with open_binary(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form (sorted keys, no spaces)."""
    return sha256_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def require_file(path: Path, what: str, remedy: str) -> Path:
    """Return ``path`` if it is a non-empty file; a FileError names ``what`` is missing or empty otherwise."""
    if not path.exists():
        raise FileError(path, f"no such file ({what})", "an existing file", remedy)
    if path.is_dir():
        raise FileError(path, f"is a folder, not a file ({what})", "an existing file", remedy)
    if path.stat().st_size == 0:
        raise FileError(path, f"is empty ({what})", "a file with content", remedy)
    return path
