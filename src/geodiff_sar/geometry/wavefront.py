"""The physics of the ray tracer once more, as plain numpy: arrays of rays that advance by one reflection at a time.

Written apart from the default engine, as its check and for reading; only the ray casts come from elsewhere. Vectors are
in the body frame, lengths in m; docs/method.md has the equations.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Complex, Float, Int

from geodiff_sar.geometry.engines.base import Scene, TraceRequest
from geodiff_sar.geometry.hits import Hits, join
from geodiff_sar.geometry.raster import ray_grid
from geodiff_sar.geometry.wavefields import FLAT, at_ground, dot, incoherent_rcs, mirror, random_phase, scattered

TILE_RAYS = 32_768  # bounds the memory; the same whatever the number of threads, so that the hits never depend on it
GRAZING = 1e-4  # cosine below which a face is seen edge-on: such rays end


@runtime_checkable
class Caster(Protocol):
    """Finds where rays meet the faces of a scene."""

    def closest(
        self, origins: Float[np.ndarray, "ray 3"], directions: Float[np.ndarray, "ray 3"]
    ) -> Int[np.ndarray, " ray"]:
        """Number of the face that each ray meets first, or -1."""
        ...

    def blocked(
        self,
        origins: Float[np.ndarray, "ray 3"],
        directions: Float[np.ndarray, "ray 3"],
        limit_m: Float[np.ndarray, " ray"] | None = None,
    ) -> Bool[np.ndarray, " ray"]:
        """Whether each ray meets any face, nearer than ``limit_m`` where that is given."""
        ...


@dataclass(frozen=True)
class Rays:
    """Rays that have just arrived at a face.

    Attributes:
        number: place in the grid, row by row.
        across: a.p of the first reflection, m.
        bounce: reflections so far, this one and those on the ground included.
        path: length from the aperture plane through the scene centre, m; negative in front of it.
        position: where the ray is, m.
        direction: k, along which it arrived.
        normal: n of the face, turned against the ray.
        field: E of the wave that was sent with H and with V polarisation.
        axes: e_1 and e_2, the tube's edges, unit length.
    """

    number: Int[np.ndarray, " ray"]
    across: Float[np.ndarray, " ray"]
    bounce: Int[np.ndarray, " ray"]
    path: Float[np.ndarray, " ray"]
    position: Float[np.ndarray, "ray 3"]
    direction: Float[np.ndarray, "ray 3"]
    normal: Float[np.ndarray, "ray 3"]
    field: Complex[np.ndarray, "ray 2 3"]
    axes: Float[np.ndarray, "ray 2 3"]

    def selected(self, keep: np.ndarray) -> "Rays":
        """The rays that a mask or an index selects."""
        return Rays(*(getattr(self, f.name)[keep] for f in fields(self)))


class Wavefront:
    """One pose of one scene, tile by tile."""

    def __init__(self, scene: Scene, caster: Caster, request: TraceRequest):
        self.scene, self.caster, self.options = scene, caster, request.options
        self.wavelength, self.wavenumber = request.wavelength_m, 2 * np.pi / request.wavelength_m
        self.grid = ray_grid(scene.vertices, request.look, request.options)
        self.toward, self.sent = request.look.toward, np.stack([request.look.across, request.look.above])
        self.farthest = float((scene.vertices @ self.toward).max()) + 100 * scene.offset_m  # where rays start
        self.receive = [self.sent.astype(np.complex128)]
        if self.options.ground.enabled:  # by reciprocity, what the radar would send along the reversed path
            arriving = self.sent[None].astype(np.complex128)
            self.receive.append(at_ground(arriving, -self.toward[None], self.options.ground, self.wavenumber)[0])

    def trace(self, threads: int = 1) -> Hits:
        """All hits: ray by ray, and along each ray from its first reflection to its last."""
        count = self.grid.rows * self.grid.columns
        tiles = [np.arange(first, min(first + TILE_RAYS, count)) for first in range(0, count, TILE_RAYS)]
        if threads == 1:
            return join([self.tile(numbers) for numbers in tiles])
        with ThreadPoolExecutor(threads) as pool:
            return join(list(pool.map(self.tile, tiles)))

    def tile(self, numbers: Int[np.ndarray, " ray"]) -> Hits:
        """All hits of the rays with these numbers."""
        rays, records, first = self.first_rays(numbers), [], True
        while first or len(rays.number):
            records += [self.received(rays, way, first) for way in range(len(self.receive))]
            rays, first = self.onward(rays), False
        order = np.argsort(np.concatenate([number for number, _ in records]), kind="stable")
        return join([hits for _, hits in records]).selected(order)

    def first_rays(self, numbers: Int[np.ndarray, " ray"]) -> Rays:
        """Rays that reach the target straight, or miss it and reach it by way of the ground; found by casting."""
        grid, ground, count = self.grid, self.options.ground.enabled, len(numbers)
        row, column = np.divmod(numbers, grid.columns)
        across = grid.across_start + (column + 0.5) * grid.spacing
        above = grid.above_start + (row + 0.5) * grid.spacing
        start = np.column_stack([across, above]) @ self.sent + self.farthest * self.toward
        k, path = np.tile(-self.toward, (count, 1)), np.full(count, -self.farthest)
        field, axes = np.tile(self.receive[0], (count, 1, 1)), np.tile(self.sent, (count, 1, 1))
        bounce = np.ones(count, dtype=np.int64)
        face = self.caster.closest(start, k)
        step = self.distance(face, start, k)
        if ground:  # what lies below it is hidden
            down = start[:, 2] / self.toward[2]
            miss = np.flatnonzero((face < 0) | (down - step < -1e-6 / self.toward[2]))
            k[miss] *= FLAT
            axes[miss] *= FLAT
            field[miss], bounce[miss] = self.receive[1], 2
            start[miss] -= down[miss, None] * self.toward
            start[miss, 2] = 0.0
            path[miss] += down[miss]
            face[miss] = self.caster.closest(start[miss], k[miss])
            step[miss] = self.distance(face[miss], start[miss], k[miss])
        hit = (face >= 0) & (bounce <= self.options.max_bounces)
        position = start + np.where(hit, step, 0.0)[:, None] * k
        rays = Rays(numbers, across, bounce, path + step, position, k, np.zeros((count, 3)), field, axes)
        return self.arrived(rays.selected(hit), face[hit])

    def arrived(self, rays: Rays, face: Int[np.ndarray, " ray"]) -> Rays:
        """Put the faces' normals to the rays, turned against them; rays that graze their face end."""
        normal = self.scene.planes[face, :3]
        cosine = dot(normal, rays.direction)
        normal = np.where(cosine > 0, -1.0, 1.0)[:, None] * normal
        others = {f.name: getattr(rays, f.name) for f in fields(rays) if f.name != "normal"}
        return Rays(normal=normal, **others).selected(np.abs(cosine) >= GRAZING)

    def received(self, rays: Rays, way: int, first: bool) -> tuple[Int[np.ndarray, " hit"], Hits]:
        """What the radar receives from here, straight (way 0) or by the ground (1); numbers of the rays beside it."""
        scene, surface, spacing = self.scene, self.options.surface, self.grid.spacing
        toward = self.toward * FLAT if way else self.toward
        seen = (rays.normal @ toward > GRAZING) & (rays.bounce + way <= self.options.max_bounces)
        if way:
            seen &= rays.position[:, 2] > 1e-6
        rays = rays.selected(seen)
        cos_in, cos_out = -dot(rays.normal, rays.direction), rays.normal @ toward
        tube = scattered(
            rays.field, rays.axes, rays.direction, rays.normal, toward, self.receive[way], spacing / self.wavelength
        )
        tube *= np.exp(-0.5 * (self.wavenumber * surface.roughness_m * (cos_in + cos_out)) ** 2)[:, None]
        random = np.zeros(len(tube))
        if first and way == 0:
            random = np.sqrt(incoherent_rcs(rays.direction, rays.normal, toward, surface, self.wavenumber, spacing**2))
        # --- strong enough, and is the way free?
        free = (np.abs(tube).max(axis=1, initial=0.0) >= self.options.prune) | (random > 0)
        test = np.flatnonzero(free & (rays.bounce + way > 1))
        origin, direction = rays.position[test] + scene.offset_m * rays.normal[test], np.tile(toward, (len(test), 1))
        if way == 0:
            free[test] = ~self.caster.blocked(origin, direction)
        else:
            down = rays.position[test, 2] / self.toward[2]
            bottom = rays.position[test] + down[:, None] * direction
            bottom[:, 2] = scene.offset_m
            free[test] = ~self.caster.blocked(origin, direction, down)
            test, bottom = test[free[test]], bottom[free[test]]
            free[test] = ~self.caster.blocked(bottom, np.tile(self.toward, (len(test), 1)))
        rays, tube, random, cos_out = rays.selected(free), tube[free], random[free], cos_out[free]
        # --- record it
        slant = 0.5 * (rays.path - rays.position @ toward)
        cross = 0.5 * (rays.across + rays.position @ self.sent[0])
        turns = 2 * slant / self.wavelength
        unit = 2 * np.sqrt(np.pi) / self.wavelength * spacing**2
        amplitude = unit * np.exp(-2j * np.pi * (turns - np.floor(turns)))[:, None] * tube
        row, column = np.divmod(rays.number, self.grid.columns)
        arriving = np.linalg.norm(rays.field, axis=2)  # what the ground left of the waves sent as H and V
        for number, columns, share in ((3, [0, 3], 1.0), (4, [1, 2], surface.diffuse_cross)):
            phase = random_phase(row, column, number, self.options.seed)
            amplitude[:, columns] += (share * random * np.exp(1j * phase))[:, None] * arriving
        return rays.number, Hits(
            np.column_stack([slant, cross, rays.position[:, 2]]).astype(np.float32),
            amplitude.astype(np.complex64),
            (rays.bounce + way).astype(np.int8),
            rays.normal.astype(np.float32),
            cos_out.astype(np.float32),
        )

    def onward(self, rays: Rays) -> Rays:
        """Reflect the rays and follow them to the next face, straight or by way of the ground; those that leave end."""
        options, ground = self.options, self.options.ground
        rays = rays.selected(rays.bounce < options.max_bounces)
        k = mirror(rays.direction[:, None], rays.normal)[:, 0]
        face = self.caster.closest(rays.position + self.scene.offset_m * rays.normal, k)
        step = self.distance(face, rays.position, k)
        down = np.full(len(k), np.inf)
        if ground.enabled:
            falls = k[:, 2] < -1e-9
            down[falls] = -rays.position[falls, 2] / k[falls, 2]
        # a face that is parallel to the ray or behind it ends the ray; the ground does not come to its aid
        by_ground = (down < step) & (step > 0)
        alive = (by_ground & (rays.bounce + 2 <= options.max_bounces)) | (~by_ground & (face >= 0) & (step > 0))
        rays, k, face, step = rays.selected(alive), k[alive], face[alive], step[alive]
        by_ground, down = by_ground[alive], down[alive]
        # --- the metal
        cos_in = -dot(rays.normal, rays.direction)
        loss = np.exp(-2 * (self.wavenumber * options.surface.roughness_m * cos_in) ** 2)
        field, axes = -loss[:, None, None] * mirror(rays.field, rays.normal), mirror(rays.axes, rays.normal)
        start, path, bounce = rays.position.copy(), rays.path.copy(), rays.bounce + 1
        # --- the ground
        if by_ground.any():
            start[by_ground] += down[by_ground, None] * k[by_ground]
            start[by_ground, 2] = 0.0
            path[by_ground] += down[by_ground]
            bounce[by_ground] += 1
            field[by_ground] = at_ground(field[by_ground], k[by_ground], ground, self.wavenumber)
            k[by_ground] *= FLAT
            axes[by_ground] *= FLAT
            face[by_ground] = self.caster.closest(start[by_ground] + [0.0, 0.0, self.scene.offset_m], k[by_ground])
            step[by_ground] = self.distance(face[by_ground], start[by_ground], k[by_ground])
        hit = (face >= 0) & (step > 0)
        position = start + np.where(hit, step, 0.0)[:, None] * k
        moved = Rays(rays.number, rays.across, bounce, path + step, position, k, rays.normal, field, axes)
        return self.arrived(moved.selected(hit), face[hit])

    def distance(
        self, face: Int[np.ndarray, " ray"], origins: Float[np.ndarray, "ray 3"], directions: Float[np.ndarray, "ray 3"]
    ) -> Float[np.ndarray, " ray"]:
        """Distance to the plane of the face, m, float64; infinite without a face, -1 for rays parallel to it."""
        planes = self.scene.planes[np.maximum(face, 0)]
        slope = dot(planes[:, :3], directions)
        parallel = np.abs(slope) < GRAZING
        step = (planes[:, 3] - dot(planes[:, :3], origins)) / np.where(parallel, 1.0, slope)
        return np.where(face < 0, np.inf, np.where(parallel, -1.0, step))
