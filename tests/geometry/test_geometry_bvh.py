"""The tree finds what a test of every triangle finds; turns are sines and cosines."""

import numpy as np
import pytest

from geodiff_sar.geometry.bvh import build_bvh, cast_rays
from geodiff_sar.geometry.turn import turn


def _brute_force(corners: np.ndarray, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest face per ray, or -1, and its distance; float64."""
    a, one, two = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    faces, distances = [], []
    for origin, direction in zip(origins, directions, strict=True):
        p = np.cross(direction, two)
        determinant = (one * p).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            offset = origin - a
            u = (offset * p).sum(axis=1) / determinant
            q = np.cross(offset, one)
            v = (direction * q).sum(axis=1) / determinant
            t = (two * q).sum(axis=1) / determinant
            hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
        t = np.where(hit, t, np.inf)
        best = int(t.argmin())
        faces.append(best if np.isfinite(t[best]) else -1)
        distances.append(t[best])
    return np.array(faces), np.array(distances)


def _rays(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    origins = rng.normal(0, 1, (count, 3))
    origins *= 6 / np.linalg.norm(origins, axis=1, keepdims=True)
    directions = rng.normal(0, 1.2, (count, 3)) - origins
    return origins, directions / np.linalg.norm(directions, axis=1, keepdims=True)


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 17, 300, 5000])
@pytest.mark.parametrize("kind", ["small", "thin"])
def test_nearest_face_is_that_of_brute_force(count, kind):
    """Thin triangles lie askew, so that they enter the tree in pieces."""
    rng = np.random.default_rng(count)
    centre = rng.uniform(-2, 2, (count, 1, 3))
    corners = centre + rng.normal(0, 0.3, (count, 3, 3))
    if kind == "thin":
        along = rng.normal(0, 1.5, (count, 1, 3))
        corners = centre + along * np.array([0.0, 0.5, 1.0])[None, :, None] + rng.normal(0, 0.02, (count, 3, 3))
    corners = corners.astype(np.float32).astype(np.float64)
    origins, directions = _rays(rng, 300)
    found = cast_rays(build_bvh(corners), origins, directions)
    wanted, distance = _brute_force(corners, origins, directions)
    differ = np.flatnonzero(found != wanted)  # edges that float32 sees otherwise
    assert len(differ) <= 1
    blocked = cast_rays(build_bvh(corners), origins, directions, any_hit=True)
    assert ((blocked >= 0) == (found >= 0)).all()
    short = cast_rays(build_bvh(corners), origins, directions, limit_m=np.where(wanted >= 0, distance * 0.999, 1e9))
    assert (short[wanted >= 0] < 0).all()


def test_every_face_is_in_the_tree_and_in_no_empty_place():
    rng = np.random.default_rng(3)
    corners = rng.uniform(-5, 5, (2000, 1, 3)) + rng.normal(0, 0.1, (2000, 3, 3))
    tree = build_bvh(corners)
    assert set(tree.order[tree.order >= 0].tolist()) == set(range(2000))
    assert (tree.triangles.reshape(-1, 9, 8).transpose(0, 2, 1).reshape(-1, 9)[tree.order < 0] == 0).all()


def test_faces_that_coincide_are_all_kept():
    corners = np.repeat(np.array([[[0.0, -1, -1], [0, 1, -1], [0, 0, 1]]]), 100, axis=0)
    tree = build_bvh(corners)
    assert sorted(set(tree.order[tree.order >= 0].tolist())) == list(range(100))
    assert cast_rays(tree, np.array([[1.0, 0, 0]]), np.array([[-1.0, 0, 0]]))[0] >= 0
    assert cast_rays(tree, np.array([[1.0, 0, 0]]), np.array([[1.0, 0, 0]]))[0] == -1


def test_turns_are_sines_and_cosines():
    turns = np.concatenate([np.random.default_rng(0).uniform(-2000, 2000, 3000), np.arange(-16, 17) / 8])
    angle = 2 * np.pi * (turns - np.floor(turns))
    for value, expected in zip(turns, np.cos(angle) + 1j * np.sin(angle), strict=True):
        assert abs(turn(float(value)) - expected) < 1e-11
