"""The rasterised first hits against cast rays, on the target and on its mirror image under the ground."""

import numpy as np
import pytest
from engine_cases import DIELECTRIC, engine, request_for, scene_of

from geodiff_sar.geometry.engines import Scene
from geodiff_sar.geometry.look import Look
from geodiff_sar.geometry.raster import first_hits, ray_grid
from geodiff_sar.geometry.triangles import TriangleMesh


def edge_distance(scene: Scene, look: Look, faces: np.ndarray, sample: np.ndarray) -> float:
    """Distance in the aperture plane from a sample (a.p, v.p) to the nearest edge of some faces, m."""
    corners = scene.vertices[scene.faces[faces]] @ np.stack([look.across, look.above]).T
    start, edge = corners.reshape(-1, 2), (np.roll(corners, -1, axis=1) - corners).reshape(-1, 2)
    share = ((sample - start) * edge).sum(axis=1) / np.maximum((edge**2).sum(axis=1), 1e-30)
    nearest = start + np.clip(share, 0.0, 1.0)[:, None] * edge
    return float(np.linalg.norm(nearest - sample, axis=1).min())


def depths(scene: Scene, look: Look, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    """u.p where lines of sight through points meet the planes of these faces, m; without meaning for face -1."""
    plane = scene.planes[np.maximum(faces, 0)]
    slant = plane[:, :3] @ look.toward
    return (plane[:, 3] - (plane[:, :3] * points).sum(axis=1)) / np.where(np.abs(slant) < 1e-9, 1.0, slant)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("name", ["wall", "cylinder", "composite", "sunk"])
def test_rasterised_first_hits_are_those_of_cast_rays(name, mirrored):
    scene, request = scene_of(name), request_for(20.0, 35.0, DIELECTRIC, 0.0031)
    look = request.look
    grid = ray_grid(scene.vertices, look, request.options)
    raster = first_hits(scene.vertices, scene.faces, look, grid, ground=True)
    want = (raster.mirrored if mirrored else raster.direct).ravel()
    # the second buffer is checked with rays through a mirrored copy of the target
    up = -1.0 if mirrored else 1.0
    copy = Scene(TriangleMesh(scene.vertices * [1.0, 1.0, up], scene.faces))
    across = grid.across_start + (np.arange(grid.columns) + 0.5) * grid.spacing
    above = grid.above_start + (np.arange(grid.rows) + 0.5) * grid.spacing
    samples = np.stack(np.meshgrid(across, above), axis=-1).reshape(-1, 2)
    points = samples @ np.stack([look.across, look.above])
    starts = points + (1e-3 + float((copy.vertices @ look.toward).max())) * look.toward
    if mirrored:  # the mirrored space begins at the ground
        starts -= np.maximum(starts[:, 2], 0.0)[:, None] / look.toward[2] * look.toward
    cast = np.array(engine("embree", copy).caster.closest(starts, np.tile(-look.toward, (len(starts), 1))))
    # what lies below the ground is hidden, and so is the mirror image behind the target
    height = points[:, 2] + depths(copy, look, cast, points) * look.toward[2]
    cast[up * height < -1e-6] = -1
    if mirrored:
        cast[raster.direct.ravel() >= 0] = -1
    differ = np.flatnonzero(cast != want)
    print(f"{name}: {len(differ)} of {len(want)} rays differ, {np.count_nonzero(want >= 0)} hit")
    assert np.count_nonzero(want >= 0) > 1000
    assert len(differ) < 1e-3 * len(want)
    gap = np.abs(depths(copy, look, cast, points) - depths(copy, look, want, points))
    for ray in differ:
        faces = np.array([face for face in (cast[ray], want[ray]) if face >= 0])
        equal = len(faces) == 2 and gap[ray] < 1e-5
        assert equal or edge_distance(copy, look, faces, samples[ray]) < 1e-5
