import json
import logging
import pickle
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.geometry.mesh_file import SUFFIXES, read_mesh
from geodiff_sar.geometry.mesh_obj import clip_ears

LIMIT = 100_000
OBJ = """mtllib missing.mtl
o hull
v 0 0 0
v 4 0 0
v 4 2 0
v 0 2 0
usemtl steel
f 1/1/1 2/2/1 3/3/1 4/4/1
o Prop_Disc
usemtl Glass
v 0 0 1
v 1 0 1
v 0 1 1
f -3 -2 -1
"""


def tetra(path: Path) -> Path:
    import trimesh

    trimesh.Trimesh([[0, 0, 0], [3, 0, 0], [0, 2, 0], [0, 0, 1]], [[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]).export(
        path
    )
    return path


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_the_same_tetrahedron(tmp_path: Path, suffix: str):
    if suffix == ".gltf":
        write_gltf(tmp_path / "tetra.gltf")
        path = tmp_path / "tetra.gltf"
    else:
        path = tetra(tmp_path / f"tetra{suffix}")
    mesh, report = read_mesh(path, LIMIT)
    assert len(mesh.faces) == 4
    assert np.allclose(mesh.bounds[1], [3, 2, 1])
    assert mesh.face_areas.sum() == pytest.approx(3 + 1.5 + 1 + 0.5 * np.linalg.norm([2, 3, 6]))
    assert "4 triangles" in report[0]


def test_endings_in_capitals(tmp_path: Path):
    assert len(read_mesh(tetra(tmp_path / "a.stl").rename(tmp_path / "A.STL"), LIMIT)[0].faces) == 4


def test_obj_keeps_names_without_its_material_file(tmp_path: Path, caplog, capfd):
    with caplog.at_level(logging.WARNING):
        mesh, report = read_mesh(write(tmp_path / "a.obj", OBJ), LIMIT)
    assert mesh.parts == ("hull/steel", "Prop_Disc/Glass")
    assert mesh.part_of_face.tolist() == [0, 0, 1]
    assert "hull/steel (2), Prop_Disc/Glass (1)" in report[1]
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_obj_with_one_object_is_named_by_material_or_group(tmp_path: Path):
    triangle = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
    text = f"o all\n{triangle}usemtl a\nf 1 2 3\nusemtl b\nf 1 2 3\n"
    assert read_mesh(write(tmp_path / "a.obj", text), LIMIT)[0].parts == ("a", "b")
    text = f"o all\r\n{triangle}g wing\r\nf 1 2 \\\r\n3\r\ng tail\r\n  f 1 2 3 # note\r\n"
    assert read_mesh(write(tmp_path / "b.obj", text), LIMIT)[0].parts == ("wing", "tail")
    assert read_mesh(write(tmp_path / "c.obj", f"o all\n{triangle}f 1 2 3\n"), LIMIT)[0].parts == ("all",)
    assert read_mesh(write(tmp_path / "d.obj", f"{triangle}f 1 2 3\n"), LIMIT)[0].parts == ("body",)


def test_part_names_cannot_write_on_the_terminal(tmp_path: Path):
    text = "v 0 0 0\nv 1 0 0\nv 0 1 0\no a\x1b[2J\nf 1 2 3\no b\nf 1 2 3\n"
    mesh, report = read_mesh(write(tmp_path / "a.obj", text), LIMIT)
    assert mesh.parts == ("a?[2J", "b")
    assert "\x1b" not in "".join(report)


def test_gltf_with_nodes_in_a_circle(tmp_path: Path):
    nodes = [{"mesh": 0, "children": [1]}, {"mesh": 0, "children": [0]}]
    with pytest.raises(FileError):
        read_mesh(write_gltf(tmp_path / "a.gltf", nodes, scenes=[{"nodes": [0]}]), LIMIT)


@pytest.mark.parametrize("first", range(6))
@pytest.mark.parametrize("backwards", [False, True])
def test_polygon_that_is_not_convex_keeps_its_area(tmp_path: Path, first: int, backwards: bool):
    outline = [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]  # an L, area 3
    lines = "".join(f"v {x} {y} {2 * x}\n" for x, y in outline)  # on a slope
    order = [1 + (first + k) % 6 for k in range(6)][:: -1 if backwards else 1]
    mesh, _ = read_mesh(write(tmp_path / "a.obj", lines + f"f {' '.join(map(str, order))}\n"), LIMIT)
    assert len(mesh.faces) == 4
    assert mesh.face_areas.sum() == pytest.approx(3 * np.sqrt(5))
    normal = np.array([-2, 0, 1]) / np.sqrt(5) * (-1 if backwards else 1)
    assert np.allclose(mesh.face_normals[mesh.face_areas > 0], normal)


def test_ears_of_a_polygon_that_crosses_itself_end():
    assert clip_ears(np.array([[0, 0], [1, 1], [1, 0], [0, 1], [0.5, 2.0]])).shape == (3, 3)


def write_gltf(path: Path, nodes: list[dict] | None = None, **changes) -> Path:
    import base64

    points = np.array([[0, 0, 0], [3, 0, 0], [0, 2, 0], [0, 0, 1]], dtype="<f4").tobytes()
    indices = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], dtype="<u2").tobytes()
    nodes = nodes or [{"mesh": 0, "name": "hull"}]
    table = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": list(range(len(nodes)))}],
        "nodes": nodes,
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3", "min": [0, 0, 0], "max": [3, 2, 1]},
            {"bufferView": 1, "componentType": 5123, "count": 12, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": len(points)},
            {"buffer": 0, "byteOffset": len(points), "byteLength": len(indices)},
        ],
        "buffers": [
            {
                "byteLength": len(points + indices),
                "uri": "data:application/octet-stream;base64," + base64.b64encode(points + indices).decode(),
            }
        ],
    } | changes
    return write(path, json.dumps(table))


def test_gltf_node_transforms_and_names(tmp_path: Path):
    nodes = [
        {"mesh": 0, "name": "hull", "translation": [10, 0, 0]},
        {"mesh": 0, "name": "mirrored", "scale": [1, -1, 1]},
    ]
    mesh, _ = read_mesh(write_gltf(tmp_path / "a.gltf", nodes), LIMIT)
    assert sorted(mesh.parts) == ["hull", "mirrored"]
    hull = mesh.with_faces(mesh.part_of_face == mesh.parts.index("hull"))
    mirrored = mesh.with_faces(mesh.part_of_face == mesh.parts.index("mirrored"))
    assert np.allclose(hull.bounds, ([10, 0, 0], [13, 2, 1]))
    assert np.allclose(mirrored.bounds, ([0, -2, 0], [3, 0, 1]))
    for part in (hull, mirrored):  # both wound outward
        a, b, c = np.moveaxis(part.corners, 1, 0)
        assert np.einsum("ij,ij->", a, np.cross(b, c)) / 6 == pytest.approx(1.0)


def ply_header(vertices: int, faces: int, form: str = "binary_little_endian") -> str:
    return (
        f"ply\nformat {form} 1.0\nelement vertex {vertices}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {faces}\nproperty list uchar int vertex_indices\nend_header\n"
    )


MILLIARD = 1_000_000_000
BAD = {
    "empty.obj": b"",
    "points.obj": b"v 0 0 0\nv 1 0 0\n",
    "lines.obj": b"v 0 0 0\nv 1 0 0\nl 1 2\n",
    "cut.obj": OBJ.encode()[:-3] + b"-9\n",
    "word.obj": b"v a b c\nf 1 1 1\n",
    "zero.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n",
    "short.obj": b"v 0 0 0\nv 1\nv 0 1 0\nf 1 2 3\n",
    "garbage.obj": bytes(range(256)) * 40,
    "garbage.ply": bytes(range(256)) * 40,
    "garbage.stl": bytes(range(256)) * 40,
    "garbage.glb": bytes(range(256)) * 40,
    "garbage.gltf": bytes(range(256)) * 40,
    "garbage.off": bytes(range(256)) * 40,
    "lying.stl": b"\0" * 80 + struct.pack("<I", MILLIARD) + b"\0" * 500,
    "short.stl": b"abc",
    "text.stl": b"solid nothing\nendsolid\n",
    "half.stl": b"solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\n",
    "one_of_two.stl": b"solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\n"
    b"endfacet\nfacet normal 0 0 1\n",
    "lying.ply": ply_header(MILLIARD, MILLIARD).encode() + b"\0" * 500,
    "lying_ascii.ply": ply_header(3, MILLIARD, "ascii").encode() + b"0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
    "cloud.ply": (ply_header(2, 0, "ascii") + "0 0 0\n1 0 0\n").encode(),
    "index.ply": (ply_header(3, 1, "ascii") + "0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n").encode(),
    "negative.ply": (ply_header(3, 1, "ascii") + "0 0 0\n1 0 0\n0 1 0\n3 0 1 -2\n").encode(),
    "header.ply": b"ply\nformat ascii 1.0\nelement vertex many\nend_header\n",
    "lying.off": b"OFF\n1000000000 1000000000 0\n0 0 0\n",
    "cut.off": b"OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n3 0 1\n              ",
    "cut.glb": b"glTF" + struct.pack("<4I", 2, 5000, 4000, 0x4E4F534A) + b"{}",
    "empty_table.gltf": b"{}",
    "list.gltf": b"[]",
    "pickle.obj": pickle.dumps({"vertices": [1]}),
    "pickle.ply": pickle.dumps({"vertices": [1]}),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_quickly(tmp_path: Path, name: str):
    path = write(tmp_path / name, BAD[name])
    started = time.perf_counter()
    with pytest.raises(FileError) as caught:
        read_mesh(path, LIMIT)
    assert time.perf_counter() - started < 2.0
    assert caught.value.subject == str(path)
    assert caught.value.found
    assert caught.value.rule
    assert caught.value.remedy


@pytest.mark.parametrize("suffix", [".ply", ".stl", ".glb", ".off", ".obj"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str, share: float):
    whole = tetra(tmp_path / f"tetra{suffix}").read_bytes()
    path = write(tmp_path / f"cut{suffix}", whole[: int(share * len(whole))])
    try:
        mesh, _ = read_mesh(path, LIMIT)
    except FileError:
        return
    assert suffix == ".obj"  # text without a count: what is there is a mesh of its own
    assert 0 < len(mesh.faces) < 4


@pytest.mark.parametrize("name", ["a.pkl", "a.dict", "a.json", "a.zip", "a.dae", "a.3mf", "a", "a.xaml", "a.npz"])
def test_other_endings_are_refused_unread(tmp_path: Path, name: str):
    with pytest.raises(FileError, match=r"one of \.obj"):
        read_mesh(write(tmp_path / name, pickle.dumps(1)), LIMIT)


def test_missing_file_and_folder(tmp_path: Path):
    (tmp_path / "folder.obj").mkdir()
    for name in ("missing.obj", "folder.obj"):
        with pytest.raises(FileError):
            read_mesh(tmp_path / name, LIMIT)


def huge(path: Path) -> Path:
    count = 5_000
    if path.suffix == ".stl":
        return write(path, b"\0" * 80 + struct.pack("<I", count) + b"\0" * 50 * count)
    if path.suffix == ".ply":
        return write(path, ply_header(3, count).encode() + b"\0" * (36 + 13 * count))
    if path.suffix == ".off":
        return write(path, f"OFF\n3 {count} 0\n" + "0 0 0\n" * 3 + "3 0 1 2\n" * count)
    if path.suffix == ".gltf":
        accessor = {"componentType": 5123, "count": 3 * count, "type": "SCALAR"}
        return write_gltf(path, accessors=[{**accessor, "type": "VEC3"}, accessor])
    return write(path, "v 0 0 0\nv 1 0 0\nv 0 1 0\n" + "f 1 2 3\n" * count)


@pytest.mark.parametrize("suffix", [".stl", ".ply", ".obj", ".off", ".gltf"])
def test_too_many_triangles_are_refused_before_loading(tmp_path: Path, suffix: str, monkeypatch):
    monkeypatch.setattr("geodiff_sar.geometry.mesh_file.read_obj", None)
    monkeypatch.setattr("geodiff_sar.geometry.mesh_file._read_with_trimesh", None)
    with pytest.raises(FileError, match=r"5,000 triangles") as caught:
        read_mesh(huge(tmp_path / f"huge{suffix}"), 1_000)
    assert "2.5 MB" in caught.value.found
    assert "estimate" in caught.value.found
    assert "1,000" in caught.value.rule


def test_file_of_impossible_size_is_refused(tmp_path: Path):
    path = tmp_path / "a.obj"
    with path.open("wb") as file:
        file.truncate(100 << 20)  # sparse
    with pytest.raises(FileError, match="large"):
        read_mesh(path, 1_000)


def test_polygons_are_counted_as_triangles(tmp_path: Path):
    circle = "".join(f"v {np.cos(t)} {np.sin(t)} 0\n" for t in np.linspace(0, 6, 50))
    path = write(tmp_path / "a.obj", circle + "f " + " ".join(map(str, range(1, 51))) + "\n")
    assert len(read_mesh(path, 48)[0].faces) == 48
    with pytest.raises(FileError, match="48 triangles"):
        read_mesh(path, 47)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_coordinates_that_are_not_finite(tmp_path: Path, value: str):
    text = f"v 0 0 0\nv 1 0 0\nv 0 {value} 0\nf 1 2 3\n"
    with pytest.raises(DataError, match="1 of 3 vertices"):
        read_mesh(write(tmp_path / "a.obj", text), LIMIT)
    loose = f"v 0 0 0\nv 1 0 0\nv 0 1 0\nv {value} 0 0\nf 1 2 3\n"  # no face uses it
    assert len(read_mesh(write(tmp_path / "b.obj", loose), LIMIT)[0].vertices) == 3
