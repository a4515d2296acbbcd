"""How many triangles a mesh file claims to hold, found out before it is loaded."""

import json
import re
import struct
from pathlib import Path
from typing import Any

from geodiff_sar.core.errors import FileError

BYTES_PER_TRIANGLE = 500
"""Estimated memory of one triangle, for mesh and tree together."""

_SMALL_FILE = 64 << 20
_HEADER = 1 << 16
_BLOCK = 1 << 24
_WIDTHS = {"char": 1, "uchar": 1, "int8": 1, "uint8": 1, "short": 2, "ushort": 2, "int16": 2, "uint16": 2}
_WIDTHS |= {"int": 4, "uint": 4, "int32": 4, "uint32": 4, "float": 4, "float32": 4, "double": 8, "float64": 8}
_AGAIN = "export the model again, or copy the file again"


def require_face_limit(path: Path, count: int, max_faces: int) -> None:
    """Refuse a mesh of more than ``max_faces`` triangles, with the memory that it would need.

    Raises:
        FileError: count above the limit.
    """
    if count > max_faces:
        raise FileError(
            path,
            f"holds {count:,} triangles or more, which would need about {_memory(count)} of memory "
            f"(an estimate: {BYTES_PER_TRIANGLE} bytes per triangle for mesh and tree)",
            f"at most {max_faces:,} triangles ({_memory(max_faces)})",
            "simplify the model, or raise max_faces",
        )


def require_loadable(path: Path, max_faces: int) -> int:
    """Make sure, from the header or by counting lines, that a file is whole and within the limit; nothing is loaded.

    Args:
        path: an existing file whose ending is one of .obj .ply .stl .glb .gltf .off.
        max_faces: most triangles allowed.

    Returns:
        How many faces the file claims to hold; polygons (OBJ, PLY, OFF) count as one.

    Raises:
        FileError: too many triangles, a file far too large for that many, or a header that promises more than the
            file holds.
    """
    size, largest = path.stat().st_size, max(_SMALL_FILE, BYTES_PER_TRIANGLE * max_faces)
    if size > largest:
        raise FileError(
            path,
            f"is {_memory(size // BYTES_PER_TRIANGLE)} large",
            f"at most {_memory(largest // BYTES_PER_TRIANGLE)} for {max_faces:,} triangles",
            "simplify the model, or raise max_faces",
        )
    counters = {".obj": _count_obj, ".ply": _count_ply, ".stl": _count_stl, ".off": _count_off}
    try:
        count = counters.get(path.suffix.lower(), _count_gltf)(path)
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror})", "a readable file", "check its rights") from error
    require_face_limit(path, count, max_faces)
    return count


def _memory(faces: int) -> str:
    size = faces * BYTES_PER_TRIANGLE
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _occurrences(path: Path, pattern: bytes) -> int:
    count, tail = 0, b"\n"
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            count += (tail + block).count(pattern)
            tail = block[1 - len(pattern) :]
    return count


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEADER)


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _HEADER))
        return file.read()


def _count_obj(path: Path) -> int:
    return _occurrences(path, b"\nf ")


def _count_stl(path: Path) -> int:
    size, head = path.stat().st_size, _head(path)
    claimed = struct.unpack("<I", head[80:84])[0] if len(head) >= 84 else 0
    if size == 84 + 50 * claimed:
        return claimed
    if head.lstrip().lower().startswith(b"solid") and b"\0" not in head:
        if b"endsolid" not in _tail(path).lower():
            raise FileError(path, "has no 'endsolid' at its end; truncated", "a whole file", _AGAIN)
        return _occurrences(path, b"endfacet")
    if len(head) < 84 or size < 84 + 50 * claimed:
        raise FileError(
            path,
            f"is {size:,} bytes long; its header promises {claimed:,} triangles",
            "84 bytes and 50 for every triangle (binary STL), or text that starts with 'solid'",
            _AGAIN,
        )
    return claimed


def _count_ply(path: Path) -> int:
    """Faces that the header names; the rows of all elements must fit into the file."""
    head = _head(path)
    end = re.search(rb"end_header[ \t]*\r?\n", head)
    if not re.match(rb"ply\s", head) or end is None:
        raise FileError(path, "has no PLY header", "'ply' on the first line, and 'end_header'", _AGAIN)
    words = [line.split() for line in head[: end.start()].decode("latin-1").splitlines()]
    is_text = ["format", "ascii", "1.0"] in words
    count, width, needed, counts = 0, 0, 0, {}
    for row in [*words, ["element", "", "0"]]:
        if row[:1] == ["element"]:
            needed += count * width
            if len(row) != 3 or not row[2].isdecimal():
                raise FileError(path, f"the header line {' '.join(row)!r}", "'element NAME COUNT'", _AGAIN)
            count, width = int(row[2]), 0
            counts[row[1]] = count
        elif row[:1] == ["property"]:
            width += 2 if is_text else _WIDTHS.get(row[2] if row[1:2] == ["list"] else row[1] if row[1:] else "", 1)
    if needed > path.stat().st_size - end.end() + 1:
        raise FileError(
            path,
            f"is {path.stat().st_size:,} bytes long; its header promises at least {needed:,} bytes of data",
            "the elements that the header names",
            _AGAIN,
        )
    return counts.get("face", 0)


def _count_off(path: Path) -> int:
    text = re.sub(r"#[^\n]*", "", _head(path).decode("latin-1"))
    found = re.match(r"\s*C?OFF\s+(\d+)\s+(\d+)", text)
    if found is None:
        raise FileError(path, "has no OFF header", "'OFF', then the numbers of vertices and of faces", _AGAIN)
    vertices, faces = int(found[1]), int(found[2])
    if 2 * (3 * vertices + 4 * faces) > path.stat().st_size:
        raise FileError(
            path,
            f"is {path.stat().st_size:,} bytes long; its header promises {vertices:,} vertices and {faces:,} faces",
            "the vertices and faces that the header names",
            _AGAIN,
        )
    return faces


def _count_gltf(path: Path) -> int:
    """Triangles of all nodes, or a third of the longest accessor where that is more."""
    try:
        table = json.loads(_gltf_text(path))
        triangles = [_triangles_of(table, mesh) for mesh in table.get("meshes", [])]
        lengths = [accessor["count"] for accessor in table.get("accessors", [])]
        children = [child for node in table.get("nodes", []) for child in node.get("children", [])]
        if len(children) != len(set(children)):
            raise FileError(path, "a node has two parents", "nodes form trees (glTF 2.0)", _AGAIN)
        placed = [triangles[node["mesh"]] for node in table.get("nodes", []) if "mesh" in node]
        return int(max([sum(placed), *(length // 3 for length in lengths)]))
    except FileError:
        raise
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise FileError(path, f"is not a glTF file, or damaged ({type(error).__name__})", "glTF 2.0", _AGAIN) from error


def _gltf_text(path: Path) -> bytes:
    if path.suffix.lower() == ".gltf":
        return path.read_bytes()
    with path.open("rb") as file:
        magic, version, length, text_length, kind = struct.unpack("<4s4I", file.read(20))
        if magic != b"glTF" or version != 2 or kind != 0x4E4F534A:
            raise ValueError("no glTF 2.0 header")
        if length > path.stat().st_size or text_length > length:
            raise FileError(
                path,
                f"is {path.stat().st_size:,} bytes long; its header promises {length:,}",
                "a whole file",
                _AGAIN,
            )
        return file.read(text_length)


def _triangles_of(table: dict[str, Any], mesh: dict[str, Any]) -> int:
    total = 0
    for primitive in mesh["primitives"]:
        corners = table["accessors"][primitive.get("indices", primitive["attributes"]["POSITION"])]["count"]
        mode = primitive.get("mode", 4)
        total += corners // 3 if mode == 4 else corners - 2 if mode in (5, 6) else 0
    return total
