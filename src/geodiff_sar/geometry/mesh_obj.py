"""Wavefront OBJ: vertices, polygons cut into triangles, and the names of objects, groups and materials.

Read here rather than by trimesh because parts must keep the names of objects, groups and materials when no material
file lies beside the model, and because a polygon that is not convex must not be cut as a fan, which covers area
outside it.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from geodiff_sar.core.errors import FileError

_AGAIN = "export the model again"
_CONVEX = 1.0001  # area of the fan's triangles over area of the polygon
_LARGEST_CLIPPED = 500

Polygons = tuple[Int[np.ndarray, " corner"], Int[np.ndarray, " polygon"]]


def read_obj(path: Path) -> tuple[Float[np.ndarray, "vertex 3"], Int[np.ndarray, "face 3"], list[str]]:
    """Vertices (file's unit and axes), triangles and the part name of every triangle; see ``part_names``.

    Raises:
        FileError: a line that cannot be understood, a face that names a vertex that is not there.
    """
    text = path.read_bytes().replace(b"\\\r\n", b" ").replace(b"\\\n", b" ")
    rows: list[bytes] = []
    polygons: list[list[int]] = []
    labels: list[tuple[str, str, str]] = []
    label = {b"o": "", b"g": "", b"usemtl": ""}
    current = ("", "", "")
    for number, line in enumerate(text.splitlines(), start=1):
        key, _, rest = line.strip().replace(b"\t", b" ").partition(b" ")
        try:
            if key == b"v":
                rows.append(rest)
            elif key == b"f":
                indices = [int(word.split(b"/", 1)[0]) for word in rest.split(b"#", 1)[0].split()]
                polygon = [index - 1 if index > 0 else len(rows) + index for index in indices]
                if 0 in indices or len(polygon) < 3:
                    raise ValueError
                polygons.append(polygon)
                labels.append(current)
            elif key in label:
                label[key] = rest.strip().decode("utf-8", errors="replace")
                current = (label[b"o"], label[b"g"], label[b"usemtl"])
        except ValueError:
            raise FileError(
                path, f"line {number} is {line[:60]!r}", "a face of at least 3 vertex numbers", _AGAIN
            ) from None
    try:
        vertices = np.array([row.split()[:3] for row in rows], dtype=bytes).astype(np.float64).reshape(-1, 3)
    except ValueError:
        raise FileError(path, "has vertices that are not three numbers", "'v X Y Z'", _AGAIN) from None
    if not polygons:
        return vertices, np.zeros((0, 3), dtype=np.int64), []
    sizes = np.array([len(polygon) for polygon in polygons])
    corners = np.concatenate([np.asarray(polygon, dtype=np.int64) for polygon in polygons])
    if corners.min() < 0 or corners.max() >= len(vertices):
        raise FileError(
            path,
            f"a face names vertex {int(corners.max()) + 1:,}; there are {len(vertices):,}",
            "faces name existing vertices (a file that was cut off breaks this)",
            _AGAIN,
        )
    faces, polygon_of_face = triangulate(vertices, (corners, sizes))
    names = part_names(labels)
    return vertices, faces, [names[index] for index in polygon_of_face]


def part_names(labels: list[tuple[str, str, str]]) -> list[str]:
    """One name for each (object, group, material); what is the same in the whole file is left out of the names."""
    varying = [len({label[column] for label in labels}) > 1 for column in range(3)]
    if not any(varying):
        varying = [True, True, False]
    names: dict[tuple[str, str, str], str] = {}
    for label in dict.fromkeys(labels):
        words = dict.fromkeys(word for word, use in zip(label, varying, strict=True) if use and word)
        names[label] = "/".join(words) or "body"
    return [names[label] for label in labels]


def triangulate(
    vertices: Float[np.ndarray, "vertex 3"], polygons: Polygons
) -> tuple[Int[np.ndarray, "face 3"], Int[np.ndarray, " face"]]:
    """Cut polygons into triangles: a fan where the polygon is convex, ears clipped off where it is not.

    Args:
        vertices: (V, 3).
        polygons: all corners in a row (vertex numbers), and how many of them each polygon has.

    Returns:
        Triangles, and the polygon that each is part of.
    """
    corners, sizes = polygons
    first = np.cumsum(sizes) - sizes
    polygon = np.repeat(np.arange(len(sizes)), sizes - 2)
    step = np.arange(len(polygon)) - np.repeat(first - 2 * np.arange(len(sizes)), sizes - 2)
    start = first[polygon]
    faces = np.stack([corners[start], corners[start + step + 1], corners[start + step + 2]], axis=1)
    with np.errstate(all="ignore"):  # coordinates that overflow are refused later
        a, b, c = np.moveaxis(vertices[faces], 1, 0)
        normal = np.cross(b - a, c - a)
        whole = np.stack([np.bincount(polygon, normal[:, axis], len(sizes)) for axis in range(3)], axis=1)
        fan_area = np.bincount(polygon, np.linalg.norm(normal, axis=1), len(sizes))
        concave = np.flatnonzero(fan_area > _CONVEX * np.linalg.norm(whole, axis=1))
    for index in concave[(sizes[concave] > 3) & (sizes[concave] <= _LARGEST_CLIPPED)]:
        outline = corners[first[index] : first[index] + sizes[index]]
        axis = int(np.argmax(np.abs(whole[index])))
        flat = np.delete(vertices[outline], axis, axis=1) * (1.0, (1.0, -1.0, 1.0)[axis] * np.sign(whole[index, axis]))
        position = first[index] - 2 * index
        faces[position : position + sizes[index] - 2] = outline[clip_ears(flat)]
    return faces, polygon


def clip_ears(outline: Float[np.ndarray, "corner 2"]) -> Int[np.ndarray, "face 3"]:
    """Triangles of a simple polygon given anticlockwise; a fan of the rest where no ear is left."""
    left = list(range(len(outline)))
    triangles = []
    while len(left) > 3:
        for here in range(len(left)):
            ear = (left[here - 1], left[here], left[(here + 1) % len(left)])
            if _is_ear(outline[list(ear)], outline[left]):
                triangles.append(ear)
                del left[here]
                break
        else:
            triangles.extend((left[0], b, c) for b, c in pairwise(left[1:-1]))
            left = [left[0], left[-2], left[-1]]
    return np.array([*triangles, tuple(left)], dtype=np.int64)


def _is_ear(triangle: Float[np.ndarray, "3 2"], outline: Float[np.ndarray, "corner 2"]) -> bool:
    """Whether a triangle turns left and holds no other corner of the outline."""
    side = np.roll(triangle, -1, axis=0) - triangle
    if not side[0, 0] * side[1, 1] > side[0, 1] * side[1, 0]:
        return False
    offset = outline[:, None] - triangle
    inside = (side[:, 0] * offset[..., 1] >= side[:, 1] * offset[..., 0]).all(axis=1)
    is_corner = (offset == 0).all(axis=2).any(axis=1)
    return not (inside & ~is_corner).any()
