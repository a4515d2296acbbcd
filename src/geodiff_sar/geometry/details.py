"""Small-scale scatterers for what CAD models lack: rivets, hinges, lamps, antennas. Random, seeded, fixed to the body.

Each is a point of the attributed scattering centre model (Gerry and Potter 1999) with a lobe round the local surface
normal and a random symmetric scattering matrix; the same seed puts the same scatterers on the same mesh at every pose.
"""

from fnmatch import fnmatchcase

import numpy as np
from pydantic import Field, field_validator

from geodiff_sar.core.config import Options
from geodiff_sar.geometry.bvh import cast_rays
from geodiff_sar.geometry.engines.base import Scene, TraceRequest
from geodiff_sar.geometry.hits import Hits
from geodiff_sar.geometry.look import slant_and_cross_range

ODD_SHARE = 0.6


class DetailOptions(Options):
    """Random scatterers on the target's surface; none by default."""

    per_m2: float = Field(default=0.0, ge=0, le=1000, description="scatterers per m^2 of surface; 0: none")
    mean_dbsm: float = Field(default=-22.0, ge=-80, le=30, description="median radar cross-section, dBsm")
    spread_db: float = Field(default=7.0, ge=0, le=30, description="standard deviation of the cross-sections, dB")
    lobe: float = Field(default=1.0, ge=0, le=20, description="amplitude falls as cos(angle to the normal)^lobe")
    cross_polar_db: float = Field(default=-8.0, ge=-60, le=0, description="mean cross-polar over co-polar power, dB")
    part_factors: dict[str, float] = Field(
        default={},
        description="factors on per_m2 by part: names with * and ?, in any case; the first that fits counts, else 1",
    )
    seed: int = Field(default=0, ge=0, description="which scatterers")

    @field_validator("part_factors")
    @classmethod
    def _factors_in_range(cls, value: dict[str, float]) -> dict[str, float]:
        if not all(0 <= factor <= 1000 for factor in value.values()):
            raise ValueError("factors lie between 0 and 1000")
        return value

    def factor(self, part: str) -> float:
        """Factor on the density for a part of this name."""
        fitting = (v for pattern, v in self.part_factors.items() if fnmatchcase(part.lower(), pattern.lower()))
        return next(fitting, 1.0)


class Details:
    """The scatterers of one target."""

    def __init__(self, scene: Scene, options: DetailOptions):
        self.scene = scene
        rng = np.random.default_rng([options.seed, 77])
        corners = scene.vertices[scene.faces]
        area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        if options.part_factors:
            area = area * np.array([options.factor(part) for part in scene.parts])[scene.part_of_face]
        count = round(options.per_m2 * float(area.sum()))
        face = rng.choice(len(area), size=count, p=area / area.sum() if count else None)
        one, two = np.sort(rng.random((2, count)), axis=0)
        weights = np.column_stack([one, two - one, 1 - two])
        self.position = np.einsum("nk,nki->ni", weights, corners[face])
        self.normal = scene.planes[face, :3]
        level = 10 ** ((options.mean_dbsm + options.spread_db * rng.standard_normal(count)) / 20)
        # co-polar parts are equal (odd bounces) or opposite (even); a random turn about the line of sight mixes polarisations
        even = rng.random(count) > ODD_SHARE
        cross = level * 10 ** (options.cross_polar_db / 20) * rng.standard_normal(count)
        phase = np.exp(2j * np.pi * rng.random((count, 2)))
        hh, vv = level * phase[:, 0], level * phase[:, 0] * np.where(even, -1.0, 1.0)
        hv = cross * phase[:, 1]
        self.matrix = np.column_stack([hh, hv, hv, vv])
        self.lobe = options.lobe

    def hits(self, request: TraceRequest) -> Hits:
        """Scatterers that the radar sees at this pose, as hits of order 1."""
        u = request.look.toward
        cosine = self.normal @ u
        side = np.where(cosine < 0, -1.0, 1.0)  # facets are seen from both sides, as in the engines
        start = self.position + 5 * self.scene.offset_m * side[:, None] * self.normal
        blocked = cast_rays(self.scene.bvh, start, np.broadcast_to(u, start.shape), any_hit=True)
        seen = (blocked < 0) & (np.abs(cosine) > 0.02)
        if request.options.ground.enabled:
            seen &= self.position[:, 2] > 0
        position, cosine = self.position[seen], np.abs(cosine[seen])
        slant, cross = slant_and_cross_range(position, request.look)
        phasor = cosine**self.lobe * np.exp(-4j * np.pi * slant / request.wavelength_m)
        return Hits(
            np.column_stack([slant, cross, position[:, 2]]).astype(np.float32),
            (self.matrix[seen] * phasor[:, None]).astype(np.complex64),
            np.ones(len(slant), dtype=np.int8),
            (self.normal * side[:, None])[seen].astype(np.float32),
            cosine.astype(np.float32),
        )
