"""The one object that carries every condition of a chip from the data set to the backbone. Loads torch."""

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Condition:
    """Text, geometry, reference image and pose of a batch, each with a presence mask.

    Absent entries hold zeros that no module may read: the conditioning stack puts a learned null embedding in their
    place wherever the mask is False.

    Attributes:
        context: text tokens, CLIP tokens (zero-padded to the context width) followed by T5 tokens.
        pooled: pooled text projection, CLIP-L followed by CLIP-G.
        features: raw point features as read from the file (not standardised).
        coordinates: point coordinates, m.
        point_mask: True for real points, False for padding.
        has_geometry: True where a cloud is present.
        has_coordinates: True where the cloud has coordinates.
        reference: scaled latent of a reference chip (never of the chip being generated).
        has_image: True where a reference is present.
        azimuth_deg: target aspect, degrees.
        has_azimuth: True where the azimuth is known.
        depression_deg: depression, degrees.
        has_depression: True where the depression is known.
        maps: prior maps on the pixel grid of the chip as fitted to its bucket; none (width 0) where the adapter takes none.
        has_maps: True where the prior has maps.
    """

    context: Float[Tensor, "batch token context"]
    pooled: Float[Tensor, "batch pooled"]
    features: Float[Tensor, "batch point feature"]
    coordinates: Float[Tensor, "batch point 3"]
    point_mask: Bool[Tensor, "batch point"]
    has_geometry: Bool[Tensor, " batch"]
    has_coordinates: Bool[Tensor, " batch"]
    reference: Float[Tensor, "batch channel height width"]
    has_image: Bool[Tensor, " batch"]
    azimuth_deg: Float[Tensor, " batch"]
    has_azimuth: Bool[Tensor, " batch"]
    depression_deg: Float[Tensor, " batch"]
    has_depression: Bool[Tensor, " batch"]
    maps: Float[Tensor, "batch map rows columns"]
    has_maps: Bool[Tensor, " batch"]

    @property
    def batch_size(self) -> int:
        """Number of chips."""
        return int(self.pooled.shape[0])

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> "Condition":
        """Copy on ``device``; floating tensors in ``dtype`` when given."""

        def move(value: Tensor) -> Tensor:
            return value.to(device, dtype if value.is_floating_point() else None)

        return Condition(**{f.name: move(getattr(self, f.name)) for f in fields(self)})

    def rows(self, index: slice | list[int]) -> "Condition":
        """The chips at ``index``."""
        return Condition(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def without(self, *, geometry: bool = False, image: bool = False, pose: bool = False) -> "Condition":
        """Copy in which the named modalities are absent for every chip; geometry is the cloud and the maps."""
        result = self
        if geometry:
            absent = torch.zeros_like(self.has_geometry)
            result = replace(result, has_geometry=absent, has_maps=absent)
        if image:
            result = replace(result, has_image=torch.zeros_like(self.has_image))
        if pose:
            result = replace(
                result,
                has_azimuth=torch.zeros_like(self.has_azimuth),
                has_depression=torch.zeros_like(self.has_depression),
            )
        return result


@dataclass(frozen=True)
class Needs:
    """Which conditions an adapter takes besides the text; what it does not take need not be there, and is not loaded.

    Attributes:
        clouds: point clouds.
        maps: prior maps.
        image: reference chips.
        pose: azimuth and depression as numbers.
    """

    clouds: bool = True
    maps: bool = False
    image: bool = True
    pose: bool = True

    @property
    def geometry(self) -> bool:
        """Whether a geometry prior is needed at all."""
        return self.clouds or self.maps
