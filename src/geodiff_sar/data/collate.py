"""Single conditions and their joining into a batch."""

import numpy as np
import torch
from jaxtyping import Float, Float16
from torch import Tensor

from geodiff_sar.core.condition import Condition
from geodiff_sar.core.types import GeometryPrior, Pose


def make_condition(
    context: Float[Tensor, "1 token context"],
    pooled: Float[Tensor, "1 pooled"],
    prior: GeometryPrior | None,
    reference: Float[Tensor, "1 channel height width"] | None,
    latent_shape: tuple[int, int, int],
    pose: Pose | None,
    feature_width: int,
    maps: Float16[np.ndarray, "map rows columns"] | None = None,
    map_shape: tuple[int, int, int] = (0, 0, 0),
) -> Condition:
    """Condition of one chip; what is None is marked absent.

    Args:
        context, pooled: encoded caption.
        prior: point cloud, or None.
        reference: scaled latent of a reference chip, or None.
        latent_shape: (channel, height, width) of the latent being generated, the shape of an absent reference.
        pose: azimuth and, where known, depression; or None.
        feature_width: width D of point features, for an absent cloud.
        maps: prior maps fitted to the picture (data.prior_maps.fit_maps), or None.
        map_shape: (map, rows, columns) of absent maps; no maps at all where the adapter takes none.
    """
    points = 1 if prior is None else prior.num_points
    features = torch.zeros(1, points, feature_width)
    coordinates = torch.zeros(1, points, 3)
    if prior is not None:
        features = torch.from_numpy(prior.features)[None].float()
        if prior.coordinates is not None:
            coordinates = torch.from_numpy(prior.coordinates)[None].float()
    depression = pose.depression_deg if pose is not None else None
    return Condition(
        context=context,
        pooled=pooled,
        features=features,
        coordinates=coordinates,
        point_mask=torch.full((1, points), prior is not None),
        has_geometry=torch.tensor([prior is not None]),
        has_coordinates=torch.tensor([prior is not None and prior.coordinates is not None]),
        reference=torch.zeros(1, *latent_shape) if reference is None else reference,
        has_image=torch.tensor([reference is not None]),
        azimuth_deg=torch.tensor([0.0 if pose is None else pose.azimuth_deg]),
        has_azimuth=torch.tensor([pose is not None]),
        depression_deg=torch.tensor([0.0 if depression is None else depression]),
        has_depression=torch.tensor([depression is not None]),
        maps=torch.zeros(1, *map_shape) if maps is None else torch.from_numpy(maps)[None].float(),
        has_maps=torch.tensor([maps is not None]),
    )


def join_conditions(conditions: list[Condition]) -> Condition:
    """Batch of single conditions; clouds are padded to the longest."""
    longest = max(condition.features.shape[1] for condition in conditions)

    def padded(name: str) -> Tensor:
        parts = []
        for condition in conditions:
            tensor: Tensor = getattr(condition, name)
            room = longest - tensor.shape[1]
            if room:
                tensor = torch.cat([tensor, tensor.new_zeros(tensor.shape[0], room, *tensor.shape[2:])], dim=1)
            parts.append(tensor)
        return torch.cat(parts)

    joined = {name: padded(name) for name in ("features", "coordinates", "point_mask")}
    for name in (
        "context",
        "pooled",
        "has_geometry",
        "has_coordinates",
        "reference",
        "has_image",
        "azimuth_deg",
        "has_azimuth",
        "depression_deg",
        "has_depression",
        "maps",
        "has_maps",
    ):
        joined[name] = torch.cat([getattr(condition, name) for condition in conditions])
    return Condition(**joined)
