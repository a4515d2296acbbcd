from pathlib import Path

import numpy as np
import pytest

from geodiff_sar.core.errors import FileError, OptionError
from geodiff_sar.geometry.mesh_parts import describe_parts, drop_parts, listed, read_parts
from geodiff_sar.geometry.mesh_pieces import MOST_PIECES, find_discs, piece_of_face, split_pieces
from geodiff_sar.geometry.mesh_prepare import MeshOptions, load_mesh
from geodiff_sar.geometry.mesh_repair import WELD_M, weld
from geodiff_sar.geometry.triangles import TriangleMesh, merge
from support import SHARED

LIMIT = 100_000


def box(size: tuple[float, float, float], centre: tuple[float, float, float] = (0, 0, 0)) -> TriangleMesh:
    import trimesh

    shape = trimesh.creation.box(size)
    return TriangleMesh(np.asarray(shape.vertices) + centre, np.asarray(shape.faces, dtype=np.int64), name="box")


def sheet(outline: np.ndarray, x: float = 5.0, cone: float = 0.0) -> TriangleMesh:
    """A fan of triangles crosswise to x; ``cone`` moves its first point along x."""
    points = np.column_stack([np.full(len(outline), x), outline])
    points[0, 0] += cone
    middle = np.arange(1, len(outline) - 1)
    return TriangleMesh(points, np.stack([0 * middle, middle, middle + 1], axis=1), name="sheet")


def arc(start_deg: float, end_deg: float, count: int, radius: float = 1.3, hub: float = 0.0) -> np.ndarray:
    """Outline of a sector: centre, or an inner arc, and the rim."""
    turn = np.radians(np.linspace(start_deg, end_deg, count))
    rim = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return np.concatenate([hub * rim[::-1], radius * rim]) if hub else np.concatenate([[[0.0, 0.0]], radius * rim])


def fuselage() -> TriangleMesh:
    return merge([box((10, 1.5, 1.5)), box((1.5, 14, 0.3), (1, 0, 1.5)), box((1, 0.1, 2), (-4.4, 0, 2.0))], "plane")


def blade(turn: float) -> TriangleMesh:
    """A thin, twisted blade: 0.2 m wide, 1.2 m long."""
    along = np.linspace(0.15, 1.3, 12)
    twist = np.radians(np.linspace(50, 15, 12))
    half = 0.1 * np.stack([np.sin(twist), np.cos(twist), 0 * twist], axis=1)
    middle = np.stack([np.full(12, 5.0), 0 * along, along], axis=1)
    thick = 0.02 * np.stack([np.cos(twist), -np.sin(twist), 0 * twist], axis=1)
    ring = np.stack([middle + half, middle + thick, middle - half, middle - thick], axis=1)
    i, k = np.meshgrid(np.arange(11), np.arange(4), indexing="ij")
    a, b = (4 * i + k).ravel(), (4 * i + (k + 1) % 4).ravel()
    faces = np.concatenate([np.stack([a, b, a + 4], 1), np.stack([b, b + 4, a + 4], 1)])
    c, s = np.cos(turn), np.sin(turn)
    return TriangleMesh(ring.reshape(-1, 3) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]).T, faces, name="blade")


def write_ply(path: Path, mesh: TriangleMesh) -> Path:
    import trimesh

    trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(path)
    return path


def is_found(piece: TriangleMesh) -> bool:
    """Whether ``find_discs`` takes a piece beside a fuselage for a disc, and nothing of the fuselage."""
    whole = merge([fuselage(), piece], "plane")
    found = find_discs(whole)
    assert not found[: len(fuselage().faces)].any()
    assert len(set(found[len(fuselage().faces) :].tolist())) == 1
    return bool(found[-1])


def test_pieces_are_numbered_by_area_then_by_place_in_the_file():
    mesh = merge([box((1, 1, 1), (8, 0, 0)), box((3, 3, 3)), box((1, 1, 1), (-8, 0, 0))], "three")
    assert piece_of_face(mesh).tolist() == [1] * 12 + [0] * 12 + [2] * 12
    split = split_pieces(mesh)
    assert split.parts == ("piece 1", "piece 2", "piece 3")
    assert np.array_equal(split.part_of_face, piece_of_face(mesh))
    soup = TriangleMesh(mesh.corners.reshape(-1, 3), np.arange(108).reshape(-1, 3))
    assert np.array_equal(piece_of_face(soup), piece_of_face(mesh))
    assert split_pieces(box((3, 3, 3))).parts == ("body",)


def test_many_small_pieces_share_a_name():
    specks = [box((0.01, 0.01, 0.01), (0.1 * i, 2, 0)) for i in range(MOST_PIECES + 9)]
    split = split_pieces(merge([box((3, 3, 3)), *specks], "dust"))
    assert len(split.parts) == MOST_PIECES + 1
    assert split.parts[-1] == "rest"
    assert (split.part_of_face == MOST_PIECES).sum() == 12 * 10


@pytest.mark.parametrize("extent", [0.0, 1e300])
def test_extents_beyond_all_bounds_are_one_piece(extent: float):
    points = extent * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, -1, 1.0]])
    mesh = TriangleMesh(points, np.array([[0, 1, 2], [0, 2, 3]]), name="x")
    assert piece_of_face(mesh).tolist() == [0, 0]
    assert not find_discs(mesh).any()


def test_corners_that_differ_in_the_last_digits_become_one():
    rng = np.random.default_rng(3)
    solid = box((6, 3, 2))
    shaken = solid.corners.reshape(-1, 3) + rng.uniform(-0.2, 0.2, (36, 3)) * WELD_M
    assert [len(np.unique(rows)) for rows in weld(shaken, np.arange(36).reshape(-1, 3))[1:]] == [8]
    apart = np.array([[0, 0, 0], [2.5 * WELD_M, 0, 0], [0, 1, 0]])
    assert len(weld(apart, np.array([[0, 1, 2]]))[0]) == 3


@pytest.mark.parametrize(
    "piece",
    [
        sheet(arc(10, 80, 6)),
        sheet(arc(10, 80, 6), cone=0.04),
        sheet(arc(100, 130, 3)),
        sheet(arc(200, 250, 4, hub=0.2)),
        sheet(arc(0, 180, 20)),
        sheet(arc(0, 345, 24, radius=1.0)[1:]),
        sheet(arc(0, 357, 120, radius=0.6)[1:]),
        merge([sheet(arc(start, start + 50, 6)) for start in (0, 120, 240)], "joined"),
    ],
    ids=["sector", "cone", "narrow", "ring", "half", "disc", "fine disc", "three sectors"],
)
def test_discs_and_sectors_are_found(piece: TriangleMesh):
    assert is_found(piece)


@pytest.mark.parametrize(
    "piece",
    [
        blade(0.3),
        sheet(np.array([[-1, -1], [1, -1], [1, 1], [-1, 1.0]])),
        sheet(np.array([[0, 0], [-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -0.9]])),
        sheet(np.array([[0, 0], [1.3, -0.1], [1.3, 0.1], [-1.3, 0.1], [-1.3, -0.1]])),
        sheet(arc(0, 180, 12)[1:]),
        sheet(arc(0, 10, 5)),
        sheet(arc(0, 345, 24, radius=0.2)[1:]),
        sheet(arc(0, 345, 24, radius=6.0)[1:]),
        sheet(arc(10, 80, 6), cone=0.5),
        TriangleMesh(sheet(arc(0, 345, 24)[1:]).vertices[:, [1, 2, 0]], sheet(arc(0, 345, 24)[1:]).faces, name="rotor"),
        TriangleMesh(np.array([[5, 3, 3], [5, 4, 4], [5, 5, 5.0]]), np.array([[0, 1, 2]]), name="line"),
        TriangleMesh(np.array([[5, 3, 3], [5, 4, 3], [5, 3, 4.0]]), np.array([[0, 1, 2]]), name="triangle"),
    ],
    ids=["blade", "square", "fan", "bar", "half", "thin", "small", "large", "spinner", "rotor", "line", "triangle"],
)
def test_other_sheets_are_left_alone(piece: TriangleMesh):
    assert not is_found(piece)


def plane_with_propeller() -> TriangleMesh:
    blades = [blade(turn) for turn in np.radians([90, 210, 330])]
    sectors = [sheet(arc(start, start + 60, 6), 5.02 + 0.01 * start / 120, 0.03) for start in (0, 120, 240)]
    return merge([fuselage(), *blades, *sectors], "plane")


def test_drop_discs_of_a_file_without_part_names(tmp_path: Path):
    path = write_ply(tmp_path / "plane.ply", plane_with_propeller())
    mesh, report = load_mesh(path, MeshOptions(smooth_angle_deg=0), 0.02)
    text = "\n".join(report)
    assert "plane.ply names no parts: split into 9 connected pieces." in text
    assert "turning propeller, 15 triangles: piece 4 to piece 6" in text
    assert "--drop discs" in text
    assert "piece 2 (1.50 x 14.00 x 0.30 m, " in text
    left, report = load_mesh(path, MeshOptions(smooth_angle_deg=0, drop=("Discs",)), 0.02)
    assert "Removed parts (with triangles): piece 4 (5), piece 5 (5), piece 6 (5)." in report
    assert "--drop" not in "".join(report[2:])
    assert len(left.faces) == len(mesh.faces) - 15
    assert left.parts == ("piece 1", "piece 2", "piece 3", "piece 7", "piece 8", "piece 9")
    assert load_mesh(path, MeshOptions(drop=("piece [1-6]", "piece 9")), 0.02)[0].parts == ("piece 7", "piece 8")


def test_drop_discs_inside_named_parts():
    mesh = plane_with_propeller()
    half = TriangleMesh(mesh.vertices, mesh.faces, np.arange(len(mesh.faces)) % 2, ("a", "b"), "named")
    kept, report = drop_parts(half, ["discs"])
    assert len(kept.faces) == len(mesh.faces) - 15
    assert kept.parts == ("a", "b")
    assert "a (" in report[0]
    named = TriangleMesh(mesh.vertices, mesh.faces, np.arange(len(mesh.faces)) % 2, ("discs", "b"), "named")
    assert drop_parts(named, ["discs"])[0].parts == ("b",)


def test_patterns_that_match_nothing():
    mesh = split_pieces(fuselage())
    with pytest.raises(OptionError, match="no disc or sector"):
        drop_parts(mesh, ["discs"])
    with pytest.raises(OptionError, match="piece 1 to piece 3"):
        drop_parts(mesh, ["piece 4"])
    with pytest.raises(OptionError):
        drop_parts(mesh, ["piece *"])


def test_long_lists_of_names_are_shortened():
    assert listed(["hull", "piece 1", "piece 2", "piece 3", "rest"]) == "hull, piece 1 to piece 3, rest"
    assert listed(["piece 8", "piece 10", "w/piece 11", "w/piece 12"]) == "piece 8, piece 10, w/piece 11, w/piece 12"
    assert listed([f"part_{'x' * (i % 7)}_{i}" for i in range(60)]).endswith(" and 20 more")


def test_flat_pieces_are_named_with_their_place():
    door = TriangleMesh(box((1, 0.004, 0.5), (2, 3, -0.4)).vertices, box((1, 1, 1)).faces, name="door")
    mesh = split_pieces(merge([fuselage(), door], "plane"))
    report = describe_parts(mesh, mesh)[-1]
    assert "piece 4 (1.00 x 0.00 x 0.50 m, 2.0 m ahead, 3.0 m to port, 0.3 m up)" in report
    assert "--drop 'piece 4'" in report
    assert describe_parts(box((6, 3, 2)), mesh) == []


def test_several_files_make_one_target(tmp_path: Path):
    body = write_ply(tmp_path / "body.ply", fuselage())
    wheels = write_ply(
        tmp_path / "wheels.ply", merge([box((1, 0.3, 1), (0, 1, -1.5)), box((1, 0.3, 1), (0, -1, -1.5))], "w")
    )
    mesh, report = load_mesh(body, MeshOptions(add=(wheels,)), 0.02)
    assert len(mesh.faces) == 60
    assert mesh.name == "body"
    assert mesh.parts == ("piece 1", "piece 2", "piece 3", "wheels/piece 1", "wheels/piece 2")
    assert np.allclose(mesh.bounds[1][2], 3.0 + 2.0)
    assert "wheels.ply names no parts: split into 2 connected pieces." in report
    mesh, _ = load_mesh(body, MeshOptions(add=(wheels,), drop=("wheels/*",)), 0.02)
    assert len(mesh.faces) == 36
    with pytest.raises(FileError, match=r"wheels\.ply"):
        read_parts([body, wheels], 50)
    with pytest.raises(FileError, match=r"none\.ply"):
        read_parts([body, tmp_path / "none.ply"], LIMIT)


MESHES = SHARED / "data" / "meshes"
REAL = {  # triangles of the pieces that must go, and how many parts there are
    "caravan.ply": ([10] * 3 + [4] * 3, 31),
    "pc12.ply": ([5] * 8 + [4] * 4, 48),
    "beech200.ply": ([6] * 12, 52),
    "caravan_wheels.ply": ([], 16),
    "T72_Version2.obj": ([], 21),
    "BTR70.obj": ([], 19),
}


@pytest.mark.skipif(not MESHES.is_dir(), reason=f"no folder {MESHES} with real meshes (set GEODIFF_SHARED)")
@pytest.mark.parametrize("name", REAL)
def test_real_models_lose_their_discs_and_nothing_else(name: str):
    """Blades (196, 200 or 44 triangles), fins, doors and wings stay; no direction but the nose gives discs."""
    mesh, _ = read_parts([MESHES / name], LIMIT)
    triangles, pieces = REAL[name]
    assert len(mesh.parts) == pieces
    for turn in range(3):  # the nose is -x; with y or z as the nose nothing is found
        turned = TriangleMesh(np.roll(mesh.vertices, turn, axis=1), mesh.faces, mesh.part_of_face, mesh.parts, name)
        numbers, counts = np.unique(mesh.part_of_face[find_discs(turned)], return_counts=True)
        assert counts.tolist() == (triangles if turn == 0 else [])
        assert (counts == np.bincount(mesh.part_of_face)[numbers]).all()
