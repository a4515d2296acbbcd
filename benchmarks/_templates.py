"""Predicted mean power of a vehicle at every azimuth, in separate parts; used by ``mstar_azimuth.py``.

The parts, m^2 per pixel of the system response, so that they can be weighted and left out without tracing again:

coherent: the engine's image, all reflections; single: one reflection only; free: traced without ground.
body: Lambert's law with rho = 1 on what the radar sees first.
details: the engine's random scatterers, mean of SEEDS sets.
edges: scatterers of 1 m^2 per metre along every crease and rim that the radar sees, their powers added. They
stand where the mesh has them, for what physical optics lacks: edge waves, hinges, weld seams, lamps.
lit, illumination: what the radar sees of ground and target, geometry alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.fft
from _similarity import CROP
from scipy.ndimage import gaussian_filter1d

from geodiff_sar.core.types import Pose
from geodiff_sar.geometry.bvh import cast_rays
from geodiff_sar.geometry.clutter import cell_area_m2
from geodiff_sar.geometry.details import DetailOptions, Details
from geodiff_sar.geometry.engines import TraceRequest
from geodiff_sar.geometry.imaging import focuser
from geodiff_sar.geometry.look import Look, look_from
from geodiff_sar.geometry.mesh_prepare import MeshOptions, load_mesh
from geodiff_sar.geometry.options import GroundOptions, SurfaceOptions, TraceOptions
from geodiff_sar.geometry.prior import PriorOptions, PriorTracer
from geodiff_sar.geometry.radar import load_radar
from geodiff_sar.geometry.raster import ray_grid
from geodiff_sar.geometry.targets.shapes import box
from geodiff_sar.geometry.triangles import TriangleMesh, merge
from geodiff_sar.geometry.visibility import visibility

RADAR = load_radar("mstar-x")
DEPRESSION_DEG = 17.0
SEEDS = 3
CREASE_DEG, EDGE_STEP_M = 30.0, 0.04
TURRET_DEG = -15.0
"""The real T72s' turrets point about this far to starboard; seen in the chips, chosen on the dev half."""
TURRET_AXIS_M = -0.8
"""Where along the hull the turret turns."""
# every first hit is recorded, however weak its coherent part: the body's power is made from them
RECORD_ALL = 1e-9
TRACE = TraceOptions(
    rays=150_000,
    max_bounces=4,
    ground=GroundOptions(permittivity=5.0, loss=0.5, roughness_m=0.01),
    surface=SurfaceOptions(roughness_m=0.005, diffuse=RECORD_ALL),
)
FREE = TRACE.model_copy(update={"ground": GroundOptions(enabled=False)})

Bank = dict[str, np.ndarray]


@dataclass(frozen=True)
class Weights:
    """How the parts add up.

    Attributes:
        coherent: factor on the coherent part's power.
        body: Lambert coefficient rho.
        edges: m^2 per metre.
        sigma0_db: backscatter of the ground, which is the unit of the sum.
        spread_deg: standard deviation of the average over azimuth.
    """

    coherent: float = 0.1
    body: float = 0.16
    edges: float = 0.01
    sigma0_db: float = -16.0
    spread_deg: float = 3.0


def mean_power(bank: Bank, parts: dict[str, float], weights: Weights) -> np.ndarray:
    """(azimuth, row, column) power over the mean clutter power: weighted ``parts`` plus the ground where it is lit."""
    shadow = bank["lit"] if parts.get("lit", 1.0) else np.ones_like(bank["lit"])
    target = sum(
        (weight * bank[name] for name, weight in parts.items() if name != "lit" and weight), np.zeros_like(shadow)
    )
    spread = weights.spread_deg * len(bank["azimuth"]) / 360
    clutter = 10 ** (weights.sigma0_db / 10) * cell_area_m2(RADAR, np.cos(np.radians(DEPRESSION_DEG)))
    return gaussian_filter1d(target, spread, axis=0, mode="wrap") / clutter + shadow


def make_bank(build: Callable[[float], TriangleMesh], azimuths: np.ndarray, threads: int, more: bool = False) -> Bank:
    """Trace a vehicle at every MSTAR target azimuth.

    Args:
        build: the mesh, for a smoothing angle in degrees (0: facets as in the file, for its edges).
        azimuths: MSTAR's TargetAz, degrees; the body azimuth is its negative.
        threads: for one trace.
        more: also the parts that only the comparison needs (free, details).
    """
    mesh = build(30.0)
    points, lengths = edge_points(build(0.0))
    tracer = PriorTracer(mesh, RADAR, PriorOptions(trace=TRACE))
    free = PriorTracer(mesh, RADAR, PriorOptions(trace=FREE)) if more else None
    options = [DetailOptions(per_m2=8.0, seed=seed) for seed in range(SEEDS)] if more else []
    details = [Details(tracer.scene, option) for option in options]
    system = focuser(RADAR)
    rows: dict[str, list[np.ndarray]] = {}
    for azimuth in azimuths:
        look = look_from(Pose(float(-azimuth % 360), DEPRESSION_DEG))
        hits = tracer.hits(look, threads)
        first = hits.selected(hits.order == 1)
        tube = ray_grid(tracer.scene.vertices, look, TRACE).spacing ** 2
        seen = visibility(tracer.scene.vertices, tracer.scene.faces, look, RADAR)
        parts = {
            "coherent": np.abs(system.image(hits, [0])[0]) ** 2,
            "single": np.abs(system.image(first, [0])[0]) ** 2,
            "body": _summed(first.position, 4 * tube * first.cos_incidence),
            "edges": _edges_seen(tracer, look, points, lengths),
            "lit": seen.lit,
            "illumination": seen.illumination,
        }
        if free is not None:
            parts["free"] = np.abs(system.image(free.hits(look, threads), [0])[0]) ** 2
            request = TraceRequest(look, RADAR.wavelength_m, TRACE)
            images = [system.image(scatterers.hits(request), [0])[0] for scatterers in details]
            parts["details"] = np.mean(np.abs(images) ** 2, axis=0)
        for name, image in parts.items():
            rows.setdefault(name, []).append(to_chip(image).astype(np.float32))
    return {"azimuth": azimuths, **{name: np.stack(images) for name, images in rows.items()}}


def to_chip(image: np.ndarray) -> np.ndarray:
    """From rows of cross-range and columns of range to an MSTAR chip: near range at the bottom; cropped."""
    return image.T[::-1][CROP, CROP]


def edge_points(mesh: TriangleMesh) -> tuple[np.ndarray, np.ndarray]:
    """Points every few centimetres along creases of more than CREASE_DEG and rims, and the length each stands for."""
    places, number = np.unique(np.round(mesh.vertices, 4), axis=0, return_inverse=True)
    faces = number.reshape(-1)[mesh.faces]
    pairs = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    normals = np.tile(mesh.face_normals, (3, 1))[order]
    ends, start, count = np.unique(pairs[order], axis=0, return_index=True, return_counts=True)
    following = np.minimum(start + 1, len(normals) - 1)
    turn = np.abs(np.einsum("ei,ei->e", normals[start], normals[following]))
    kept = (count != 2) | (turn < np.cos(np.radians(CREASE_DEG)))
    points, lengths = [], []
    for begin, end in places[ends[kept]]:
        length = float(np.linalg.norm(end - begin))
        steps = max(1, int(np.ceil(length / EDGE_STEP_M)))
        points.append(begin + (end - begin) * ((np.arange(steps) + 0.5) / steps)[:, None])
        lengths.append(np.full(steps, length / steps))
    return np.concatenate(points), np.concatenate(lengths)


def _edges_seen(tracer: PriorTracer, look: Look, points: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    start = points + 0.02 * look.toward
    seen = cast_rays(tracer.scene.bvh, start, np.broadcast_to(look.toward, start.shape), any_hit=True) < 0
    points = points[seen]
    return _summed(np.column_stack([-points @ look.toward, points @ look.across]), lengths[seen])


def _summed(position: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Powers at (slant range, cross-range), added on the pixels and seen through the system's power response."""
    row = np.rint(position[:, 1] / RADAR.pixel_cross_range_m + RADAR.rows // 2).astype(np.int64)
    column = np.rint(position[:, 0] / RADAR.pixel_range_m + RADAR.columns // 2).astype(np.int64)
    inside = (row >= 0) & (row < RADAR.rows) & (column >= 0) & (column < RADAR.columns)
    plane = np.zeros((RADAR.rows, RADAR.columns))
    np.add.at(plane, (row[inside], column[inside]), power[inside])
    point = np.zeros(plane.shape, dtype=np.complex64)
    point[0, 0] = 1.0
    response = np.abs(focuser(RADAR).filtered(point)) ** 2
    return np.maximum(scipy.fft.irfft2(scipy.fft.rfft2(plane) * scipy.fft.rfft2(response), s=plane.shape), 0.0)


def t72(folder: Path, smooth_angle_deg: float) -> TriangleMesh:
    """The T72 mesh, in proportions nearer to the real ones: see ``docs/method.md``."""
    return _t72_proportions(_load(folder / "T72_Version2.obj", smooth_angle_deg, "m", "+z", (0.797, 0.735, 0.875)))


def t72_three_factors(folder: Path, smooth_angle_deg: float) -> TriangleMesh:
    """The T72 mesh scaled by one factor along each axis, and no more."""
    return _load(folder / "T72_Version2.obj", smooth_angle_deg, "m", "+z", (0.83, 0.735, 0.875))


def btr70(folder: Path, smooth_angle_deg: float) -> TriangleMesh:
    """The BTR70 mesh as it is."""
    return _load(folder / "BTR70.obj", smooth_angle_deg, "in", "-x", (1.0, 1.0, 1.0))


def two_boxes(name: str) -> TriangleMesh:
    """Hull and turret of a vehicle as two boxes, each of the right size and in the right place."""
    if name == "T72":
        solids = [box((-4.3, -1.75, 0.0), (2.3, 1.75, 1.44)), box((-2.1, -1.05, 1.44), (0.4, 1.05, 2.15))]
    else:
        solids = [box((-3.8, -1.3, 0.4), (3.8, 1.3, 2.1)), box((0.7, -0.6, 2.1), (1.8, 0.6, 2.5))]
    return merge(solids, f"two boxes, {name}")


def _load(path: Path, smooth: float, unit: str, nose: str, scale: tuple[float, float, float]) -> TriangleMesh:
    options = MeshOptions(unit=unit, nose=nose, up="+y", scale=scale, smooth_angle_deg=smooth)
    return load_mesh(path, options, RADAR.wavelength_m)[0]


def _t72_proportions(mesh: TriangleMesh) -> TriangleMesh:
    """Deck down to 1.44 m, turret roof at 2.15 m and turned, a barrel that reaches 2.6 m beyond the hull."""
    vertices = mesh.vertices.copy()
    x, y, z = mesh.vertices.T
    barrel = (x > 0.48) & (z > 1.7) & (np.abs(y) < 0.16)
    turret = barrel | ((z > 1.6) & (x > -2.26) & (x < 0.72) & (np.abs(y) < 1.1))
    vertices[:, 2] = np.where(turret, 1.40 + 1.25 * (z - 1.6), 0.9 * z)
    vertices[barrel, 0] = 0.6 + 1.26 * (x[barrel] - 0.6)
    c, s = np.cos(np.radians(TURRET_DEG)), np.sin(np.radians(TURRET_DEG))
    ahead, aside = vertices[turret, 0] - TURRET_AXIS_M, vertices[turret, 1]
    vertices[turret, 0], vertices[turret, 1] = c * ahead - s * aside + TURRET_AXIS_M, s * ahead + c * aside
    return replace(mesh, vertices=vertices)
