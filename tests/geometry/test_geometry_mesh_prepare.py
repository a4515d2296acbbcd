from pathlib import Path

import numpy as np
import pytest

from geodiff_sar.core.config import parse_options
from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.geometry.mesh_file import read_mesh
from geodiff_sar.geometry.mesh_prepare import METRES, MeshOptions, choose_unit, load_mesh
from geodiff_sar.geometry.mesh_repair import repair
from geodiff_sar.geometry.triangles import TriangleMesh, merge
from support import SHARED

WAVELENGTH_M = 0.02


def box(size: tuple[float, float, float], centre: tuple[float, float, float] = (0, 0, 0)) -> TriangleMesh:
    import trimesh

    shape = trimesh.creation.box(size)
    return TriangleMesh(np.asarray(shape.vertices) + centre, np.asarray(shape.faces, dtype=np.int64), name="box")


def write_obj(path: Path, mesh: TriangleMesh) -> Path:
    rows = ["v {!r} {!r} {!r}".format(*map(float, vertex)) for vertex in mesh.vertices]
    for number, part in enumerate(mesh.parts):
        faces = mesh.faces[mesh.part_of_face == number] + 1
        rows += [f"o {part}", *("f {} {} {}".format(*face) for face in faces)]
    path.write_text("\n".join(rows) + "\n")
    return path


def named(mesh: TriangleMesh, name: str) -> TriangleMesh:
    return TriangleMesh(mesh.vertices, mesh.faces, mesh.part_of_face, (name,), name)


def volume(mesh: TriangleMesh) -> float:
    a, b, c = np.moveaxis(mesh.corners, 1, 0)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def load(path: Path, **options) -> tuple[TriangleMesh, str]:
    mesh, report = load_mesh(path, MeshOptions(**options), WAVELENGTH_M)
    return mesh, "\n".join(report)


def test_body_frame_from_every_pair_of_axes(tmp_path: Path):
    """A box 6 long, 3 wide, 2 high with a bump at nose, port and top, written with its axes swapped in all ways."""
    body = merge([box((6, 3, 2)), box((0.5, 0.25, 0.125), (2.5, 1.25, 1.0))], "body")
    expected, _ = load(write_obj(tmp_path / "plain.obj", body))
    axes = {f"{sign}{name}": (1 if sign == "+" else -1) * np.eye(3)[i] for i, name in enumerate("xyz") for sign in "+-"}
    pairs = [(nose, up) for nose in axes for up in axes if nose[1] != up[1]]
    assert len(pairs) == 24
    for nose, up in pairs:
        to_file = np.stack([axes[nose], np.cross(axes[up], axes[nose]), axes[up]], axis=1)
        mesh, report = load(write_obj(tmp_path / "turned.obj", body.transformed(to_file)), nose=nose, up=up)
        assert np.allclose(np.sort(mesh.vertices, axis=0), np.sort(expected.vertices, axis=0))
        assert volume(mesh) == pytest.approx(volume(expected))
        assert f"nose {nose}, up {up}" in report
    top = expected.vertices[expected.vertices[:, 2] > 2.01]
    assert (top > [2, 1, 2]).all()


def test_nose_and_up_on_one_axis(tmp_path: Path):
    with pytest.raises(OptionError, match="perpendicular"):
        load(write_obj(tmp_path / "a.obj", box((6, 3, 2))), nose="+z", up="-z")


@pytest.mark.parametrize(
    "wrong",
    [{"nose": "x"}, {"up": "+w"}, {"scale": [1, 0, 1]}, {"unit": "yard"}, {"max_faces": 0}, {"smooth_angle_deg": -1}],
)
def test_wrong_options(wrong: dict):
    with pytest.raises(OptionError):
        parse_options(MeshOptions, wrong, "test")


def test_units_given_and_guessed(tmp_path: Path):
    sized = box((7.5, 3.0, 2.0))
    for unit, metres in METRES.items():
        path = write_obj(tmp_path / f"{unit}.obj", sized.transformed(np.eye(3) / metres))
        mesh, report = load(path, unit=unit)
        assert np.allclose(mesh.bounds[1] - mesh.bounds[0], [7.5, 3.0, 2.0])
        assert "as given" in report
        if unit != "ft":  # 24.6 is plausible in metres, too
            mesh, report = load(path)
            assert np.allclose(mesh.bounds[1] - mesh.bounds[0], [7.5, 3.0, 2.0])
            assert f"guessed {unit}" in report


def test_guess_names_what_else_is_possible():
    unit, why = choose_unit(Path("a.obj"), 301.26, "auto")
    assert unit == "in"
    assert "7.65 m" in why
    assert "cm (3.01 m)" in why
    assert choose_unit(Path("a.obj"), 1078.0, "auto")[0] == "cm"
    assert "ft (7.50 m)" in choose_unit(Path("a.obj"), 24.6, "auto")[1]


@pytest.mark.parametrize("extent", [1.0, 1e-9, 0.0, 1e6, 1e300])
def test_extent_that_fits_no_unit(extent: float):
    with pytest.raises(OptionError, match="--unit"):
        choose_unit(Path("a.obj"), extent, "auto")


@pytest.mark.parametrize("size", [0.3, 300.0])
def test_size_outside_the_limits(tmp_path: Path, size: float):
    path = write_obj(tmp_path / "a.obj", box((size, size / 2, size / 2)))
    with pytest.raises(DataError, match="--unit"):
        load(path, unit="m")


def test_place_far_from_the_origin(tmp_path: Path):
    path = write_obj(tmp_path / "a.obj", box((6, 3, 2), (5000, 0, 0)))
    assert np.allclose(load(path)[0].bounds, ([-3, -1.5, 0], [3, 1.5, 2]))
    with pytest.raises(DataError, match="5,003 m"):
        load(path, ground=False)


def test_ground_and_scale(tmp_path: Path):
    path = write_obj(tmp_path / "a.obj", box((6, 3, 2), (1, 2, 3)))
    mesh, report = load(path)
    assert np.allclose(mesh.bounds, ([-3, -1.5, 0], [3, 1.5, 2]))
    assert "moved by -1.000, -2.000, -2.000 m" in report
    assert np.allclose(load(path, ground=False)[0].bounds, ([-2, 0.5, 2], [4, 3.5, 4]))
    mesh, report = load(path, nose="+y", up="+z", scale=(2, 0.5, 1.5))
    assert np.allclose(mesh.bounds, ([-3, -1.5, 0], [3, 1.5, 3]))
    assert "2, 0.5 and 1.5" in report


def test_drop_parts(tmp_path: Path):
    parts = [
        named(box((6, 3, 2)), "Hull"),
        named(box((0.1, 3, 3), (3, 0, 0)), "Prop_Disc"),
        named(box((1, 1, 3)), "glass"),
    ]
    path = write_obj(tmp_path / "a.obj", merge(parts, "all"))
    mesh, report = load(path, drop=("*PROP*disc*", "gl?ss"))
    assert mesh.parts == ("Hull",)
    assert len(mesh.faces) == 12
    assert "Removed parts (with triangles): Prop_Disc (12), glass (12)." in report
    mesh, _ = load(path, drop=("hull",))
    assert mesh.parts == ("Prop_Disc", "glass")
    assert np.bincount(mesh.part_of_face).tolist() == [12, 12]
    with pytest.raises(OptionError, match="Hull, Prop_Disc, glass"):
        load(path, drop=("*wheel*",))
    with pytest.raises(OptionError, match="at least one part"):
        load(path, drop=("*",))


def test_inside_out_box_is_turned(tmp_path: Path):
    inside_out = box((6, 3, 2))
    inside_out = TriangleMesh(inside_out.vertices, inside_out.faces[:, ::-1], name="box")
    mesh, report = load(write_obj(tmp_path / "a.obj", inside_out))
    assert volume(mesh) == pytest.approx(36.0)
    assert "1 closed pieces (12 faces) were inside out" in report
    assert "watertight: 1 closed piece." in report


def test_faces_wound_at_random_are_wound_alike():
    rng = np.random.default_rng(1)
    solid = merge([box((6, 3, 2)), box((1, 1, 1), (9, 0, 0))], "two")
    turned = rng.random(len(solid.faces)) < 0.5
    mixed = TriangleMesh(solid.vertices, np.where(turned[:, None], solid.faces[:, ::-1], solid.faces), name="mixed")
    mended, report = repair(mixed)
    assert volume(mended) == pytest.approx(37.0)
    assert "watertight: 2 closed pieces" in report[-1]


def test_moebius_strip_is_left_in_peace():
    count = 12
    turn = np.arange(count) * 2 * np.pi / count
    ray = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    tilt = np.cos(turn / 2)[:, None] * ray + np.sin(turn / 2)[:, None] * [0, 0, 1]
    points = np.concatenate([3 * ray - tilt, 3 * ray + tilt])
    i = np.arange(count)
    j, k = (i + 1) % count, (i + 1) % count
    low = np.where(j == 0, count, j)  # the last strip joins the other side
    high = np.where(k == 0, 0, k + count)
    faces = np.concatenate([np.stack([i, low, high], 1), np.stack([i, high, i + count], 1)])
    mended, report = repair(TriangleMesh(points, faces, name="strip"))
    assert len(mended.faces) == 2 * count
    assert "0 of 1 connected pieces are closed" in report[-1]


def test_separate_corners_are_welded_and_bad_faces_removed():
    solid = box((6, 3, 2))
    soup = TriangleMesh(solid.corners.reshape(-1, 3), np.arange(36).reshape(-1, 3), name="soup")
    mended, report = repair(soup)
    assert len(mended.vertices) == 8
    assert report[0] == "28 vertices at the place of another one were welded to it."
    faces = np.concatenate([solid.faces, [[0, 0, 1], [2, 2, 2]], solid.faces[3:5, [1, 2, 0]], solid.faces[6:7, ::-1]])
    mended, report = repair(TriangleMesh(solid.vertices, faces, name="extra"))
    assert np.array_equal(mended.faces, solid.faces)
    assert report[0].startswith("2 degenerate faces")
    assert report[1].startswith("3 faces that lay on another face")


def test_mesh_without_area():
    line = TriangleMesh(np.array([[0, 0, 0], [1, 1, 1], [2, 2, 2.0]]), np.array([[0, 1, 2]]), name="line")
    with pytest.raises(DataError, match="degenerate"):
        repair(line)


def test_open_mesh_says_that_winding_does_not_matter():
    solid = box((6, 3, 2))
    _, report = repair(solid.with_faces(np.arange(10)))
    assert "two-sided" in report[-1]


def test_report_of_facet_density(tmp_path: Path):
    import trimesh

    ball = trimesh.creation.icosphere(subdivisions=2, radius=1.5)
    path = tmp_path / "ball.stl"
    ball.export(path)
    mesh, report = load(path, smooth_angle_deg=0)
    assert len(mesh.faces) == 320
    assert "480 of 480 edges break the rule" in report
    assert "left as they are" in report
    mesh, report = load(path)
    assert len(mesh.faces) > 5_000
    assert "still break" not in report
    mesh, report = load(path, max_faces=1_000)
    assert len(mesh.faces) <= 1_000
    assert "the limit of 1,000 faces was reached" in report
    assert "fine enough" in load(write_obj(tmp_path / "a.obj", box((6, 3, 2))))[1]


def test_tall_model_asks_for_the_axes(tmp_path: Path):
    path = write_obj(tmp_path / "a.obj", box((2, 3, 6)))
    assert "check --up" in load(path)[1]
    assert "check --up" not in load(path, nose="+z", up="+x")[1]


REAL = {
    "caravan.ply": ({"nose": "-x", "up": "+y"}, (12.6, 15.9, 4.1)),
    "pc12.ply": ({"nose": "-x", "up": "+y"}, (14.4, 16.2, 4.2)),
    "beech200.ply": ({"nose": "-x", "up": "+y"}, (13.3, 16.7, 4.6)),
    "T72_Version2.obj": ({"nose": "+z", "up": "+y", "scale": (0.83, 0.735, 0.875)}, (8.9, 3.5, 2.7)),
    "BTR70.obj": ({"nose": "-x", "up": "+y"}, (7.65, 2.66, 2.61)),
}
MESHES = SHARED / "data" / "meshes"


@pytest.mark.skipif(not MESHES.is_dir(), reason=f"no folder {MESHES} with real meshes (set GEODIFF_SHARED)")
@pytest.mark.parametrize("name", REAL)
def test_real_meshes(name: str):
    options, size = REAL[name]
    mesh, report = load_mesh(MESHES / name, MeshOptions(**options), 0.03)
    low, high = mesh.bounds
    assert np.allclose(high - low, size, atol=0.1)
    assert np.allclose([low[2], *(low + high)[:2]], 0, atol=1e-9)
    assert len(report) >= 8
    assert "check --up" not in " ".join(report)


@pytest.mark.skipif(not MESHES.is_dir(), reason=f"no folder {MESHES} with real meshes (set GEODIFF_SHARED)")
def test_real_part_names():
    mesh, _ = read_mesh(MESHES / "T72_Version2.obj", 100_000)
    assert len(mesh.faces) == 29_979
    assert "Translucent_Glass_Gray.001" in mesh.parts
    mesh, report = load(MESHES / "T72_Version2.obj", nose="+z", up="+y", drop=("*glass*",), smooth_angle_deg=0)
    assert not [part for part in mesh.parts if "glass" in part.lower()]
    assert "Translucent_Glass_Block_Dark.001 (2)" in report
