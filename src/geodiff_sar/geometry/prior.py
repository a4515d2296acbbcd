"""Mesh, pose and radar in; SAR point cloud, features, maps and chip out, all from one trace and on one pixel grid."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Complex64, UInt8
from pydantic import Field

from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import DataError
from geodiff_sar.core.files import sha256_json
from geodiff_sar.core.types import GeometryPrior, Pose
from geodiff_sar.geometry.cloud import CloudOptions, SarPointCloud, point_cloud
from geodiff_sar.geometry.clutter import background
from geodiff_sar.geometry.cross_talk import with_cross_talk
from geodiff_sar.geometry.descriptors import encode_cloud
from geodiff_sar.geometry.details import DetailOptions, Details
from geodiff_sar.geometry.engines import ENGINES, Scene, TraceRequest
from geodiff_sar.geometry.grey import GreyOptions, background_gain, to_grey
from geodiff_sar.geometry.hits import POLARISATION_COLUMN, Hits, average_cross_polar, join
from geodiff_sar.geometry.imaging import focuser
from geodiff_sar.geometry.look import Look, look_from
from geodiff_sar.geometry.maps import MAP_NAMES, prior_maps
from geodiff_sar.geometry.options import TraceOptions
from geodiff_sar.geometry.radar import RadarOptions, require_polarisation
from geodiff_sar.geometry.triangles import TriangleMesh
from geodiff_sar.geometry.visibility import Visibility, visibility

ENGINE_VERSION = "2"
"""Raised whenever the same input gives other numbers."""


class PriorOptions(Options):
    """Everything between the mesh and the products, apart from pose and radar."""

    remedy: ClassVar[str] = "correct these keys; `geodiff-sar list tracing` prints all of them, there under prior."

    engine: str = Field(default="fused", description="fused, or embree for meshes of a million triangles")
    trace: TraceOptions = TraceOptions()
    details: DetailOptions = DetailOptions()
    cloud: CloudOptions = CloudOptions()
    grey: GreyOptions = GreyOptions()


@dataclass(frozen=True)
class ChipProduct:
    """A simulated chip in one polarisation.

    Attributes:
        image: complex image with clutter and noise, sqrt(m^2); rows cross-range, columns slant range.
        grey: 8-bit amplitude.
        remap: how amplitude became grey.
        prior: features, coordinates and maps, with pose, radar and provenance.
    """

    image: Complex64[np.ndarray, "row column"]
    grey: UInt8[np.ndarray, "row column"]
    remap: dict[str, Any]
    prior: GeometryPrior


@dataclass(frozen=True)
class PoseProducts:
    """What one trace gives.

    Attributes:
        hits: every scattering event.
        cloud: the SAR point cloud.
        seen: shadow, illumination and height on the pixel grid.
        target: per polarisation, the complex image of the target alone, sqrt(m^2).
        chips: per polarisation, the chip.
        outside: share of the target's power that falls beyond the chip.
        seed: of clutter and noise.
    """

    hits: Hits
    cloud: SarPointCloud
    seen: Visibility
    target: dict[str, Complex64[np.ndarray, "row column"]]
    chips: dict[str, ChipProduct]
    outside: float
    seed: int


class PriorTracer:
    """Traces poses of one target for one radar. The tree over the mesh is built once; poses may be traced from
    several threads."""

    def __init__(self, mesh: TriangleMesh, radar: RadarOptions, options: PriorOptions | None = None):
        self.options = options or PriorOptions()
        self.radar = radar.checked()
        self.mesh = mesh
        self.scene = Scene(mesh)
        self._engine = ENGINES.get(self.options.engine)(self.scene)
        self._details = Details(self.scene, self.options.details) if self.options.details.per_m2 > 0 else None
        self._provenance = {
            "engine": f"geodiff-sar {self.options.engine} {ENGINE_VERSION}",
            "target": mesh.name,
            "text_label": mesh.name,
            "mesh_sha256": mesh.content_hash,
            "options_sha256": sha256_json(self.options.model_dump(mode="json")),
            "radar_sha256": sha256_json(radar.model_dump(mode="json")),
            "pixel_m": [radar.pixel_cross_range_m, radar.pixel_range_m],
            "maps": list(MAP_NAMES),
        }

    def hits(self, look: Look, threads: int = 1) -> Hits:
        """Every scattering event along one line of sight, details included, HV and VH made reciprocal, with cross-talk."""
        request = TraceRequest(look, self.radar.wavelength_m, self.options.trace)
        hits = self._engine.trace(request, threads)
        if self._details is not None:
            hits = join([hits, self._details.hits(request)])
        average_cross_polar(hits.amplitude)  # nobody else holds these hits yet
        return with_cross_talk(hits, self.radar)

    def products(self, pose: Pose, polarisations: list[str], seed: int = 0, threads: int = 1) -> PoseProducts:
        """All products of a pose; the same arguments give the same bits.

        Args:
            pose: azimuth and depression.
            polarisations: one or more of HH, HV, VH, VV; all come from the same trace.
            seed: of clutter and noise.
            threads: for the trace of this pose.

        Raises:
            DataError: nothing of the target scatters back.
        """
        return next(self.seeded_products(pose, polarisations, [seed], threads))

    def seeded_products(
        self, pose: Pose, polarisations: list[str], seeds: list[int], threads: int = 1
    ) -> Iterator[PoseProducts]:
        """As ``products``, with one trace for several seeds of clutter and noise."""
        names = [require_polarisation(name) for name in polarisations]
        look = look_from(pose)
        ground = self.options.trace.ground.enabled
        hits = self.hits(look, threads)
        self._require_hits(hits, pose)
        images = focuser(self.radar).image(hits, [POLARISATION_COLUMN[name] for name in names])
        seen = visibility(self.scene.vertices, self.scene.faces, look, self.radar, ground)
        cloud = point_cloud(hits, self.options.cloud)
        outside = self._outside(cloud)
        target = dict(zip(names, images, strict=True))
        priors = {name: self._prior(name, pose, look, hits, target[name], seen, cloud) for name in names}
        for seed in seeds:
            place = [seed, round(pose.azimuth_deg * 1000), round((pose.depression_deg or 0) * 1000)]
            rng = np.random.default_rng(place)
            noise = background(self.radar, seen.lit, look.cos_depression, names, rng, pose.azimuth_deg)
            chips = {
                name: self._chip(name, look, target[name] + noise[k], priors[name]) for k, name in enumerate(names)
            }
            yield PoseProducts(hits, cloud, seen, target, chips, outside, seed)

    def _prior(
        self,
        polarisation: str,
        pose: Pose,
        look: Look,
        hits: Hits,
        image: np.ndarray,
        seen: Visibility,
        cloud: SarPointCloud,
    ) -> GeometryPrior:
        features, rows = encode_cloud(cloud, polarisation, self.options.cloud)
        return GeometryPrior(
            features,
            np.ascontiguousarray(cloud.position[rows]),
            prior_maps(hits, image, seen, look, self.radar, polarisation),
            pose,
            self.radar.params(polarisation),
            self._provenance,
        )

    def _chip(self, polarisation: str, look: Look, image: np.ndarray, prior: GeometryPrior) -> ChipProduct:
        gain = background_gain(self.radar, look.cos_depression, polarisation)
        grey, remap = to_grey(np.abs(image), gain, self.options.grey)
        return ChipProduct(image, grey, remap, prior)

    def _require_hits(self, hits: Hits, pose: Pose) -> None:
        if len(hits) == 0:
            raise DataError(
                self.mesh.name,
                f"nothing scatters back at azimuth {pose.azimuth_deg}, depression {pose.depression_deg}",
                "at least one reflection towards the radar",
                "check the mesh's axes and units, or raise the number of bounces",
            )

    def _outside(self, cloud: SarPointCloud) -> float:
        """Share of the power that falls beyond the chip."""
        radar, power = self.radar, cloud.power.sum(axis=1, dtype=np.float64)
        row = cloud.position[:, 1] / radar.pixel_cross_range_m + radar.rows // 2
        column = cloud.position[:, 0] / radar.pixel_range_m + radar.columns // 2
        inside = (row >= 0) & (row <= radar.rows - 1) & (column >= 0) & (column <= radar.columns - 1)
        return float(1 - power[inside].sum() / power.sum())
