import hashlib

import pytest

from geodiff_sar.core.errors import FileError
from geodiff_sar.core.files import (
    atomic_directory,
    atomic_path,
    read_json,
    read_text,
    require_file,
    require_writable,
    sha256_bytes,
    sha256_file,
)


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_directory_is_replaced_as_a_whole(tmp_path):
    for content in ("one", "two"):
        with atomic_directory(tmp_path / "d") as folder:
            (folder / content).write_text(content)
    assert [p.name for p in (tmp_path / "d").iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_hashes(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 3_000_000)
    assert sha256_file(path) == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    assert sha256_bytes(b"ab", b"c") != sha256_bytes(b"a", b"bc")


def test_missing_and_empty_files_are_told_apart(tmp_path):
    with pytest.raises(FileError, match="no such file"):
        require_file(tmp_path / "none", "x", "y")
    (tmp_path / "empty").touch()
    with pytest.raises(FileError, match="is empty"):
        require_file(tmp_path / "empty", "x", "y")
    (tmp_path / "bom.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "bom.json") == {"a": 1}


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileError, match=r"file.*cannot be written"), atomic_path(tmp_path / "file" / "a.txt"):
        pass
    with pytest.raises(FileError, match=r"file.*cannot be written"), atomic_directory(tmp_path / "file" / "d"):
        pass
    with pytest.raises(FileError, match="is a file"):
        require_writable(tmp_path / "file" / "deep" / "er")
    require_writable(tmp_path / "new" / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_text_is_utf8(tmp_path):
    (tmp_path / "a.txt").write_bytes("é".encode("latin1"))
    with pytest.raises(FileError, match="not UTF-8"):
        read_text(tmp_path / "a.txt", "a text")
    with pytest.raises(FileError, match="no such file"):
        read_text(tmp_path, "a text")
