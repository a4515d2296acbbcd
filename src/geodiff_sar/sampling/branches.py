"""From requests to what the backbone sees in each branch of the guidance."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from geodiff_sar.core.types import GeometryPrior, Pose
from geodiff_sar.data.buckets import fit_to_bucket
from geodiff_sar.data.collate import make_condition
from geodiff_sar.data.prior_maps import fit_maps
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.model.backbone import Backbone
from geodiff_sar.model.base import BaseModel
from geodiff_sar.sampling.guidance import Branch


@dataclass(frozen=True)
class ChipRequest:
    """One chip to be generated.

    Attributes:
        prompt: caption.
        seed: of its initial noise.
        negative_prompt: what to guide away from.
        prior: point cloud and maps, or None for the learned null embeddings.
        reference: amplitude (H, W) of a reference chip, or None.
        pose: azimuth and depression, or None.
    """

    prompt: str
    seed: int
    negative_prompt: str = ""
    prior: GeometryPrior | None = None
    reference: np.ndarray | None = None
    pose: Pose | None = None


class BranchBuilder:
    """Encodes text and conditions of one chip at a time, so that none depends on its batch.

    Args:
        base: the base model.
        backbone: its transformer with the conditioning stack.
        remap: amplitude to model values, for references.
        size: width and height of the picture, pixels.
        scale: strength of the injections.
        t5_only: the CLIP tokens are zero.
    """

    def __init__(
        self,
        base: BaseModel,
        backbone: Backbone,
        remap: AmplitudeRemap,
        size: tuple[int, int],
        scale: float,
        t5_only: bool,
    ):
        self.base, self.backbone, self.remap = base, backbone, remap
        self.size, self.scale, self.t5_only = size, scale, t5_only

    def build(self, requests: list[ChipRequest], names: tuple[str, ...]) -> dict[str, Branch]:
        """Branches "negative", "text" and "full", as far as they are named; the first two see null embeddings alone."""
        captions = {r.prompt for r in requests} | (
            {r.negative_prompt for r in requests} if "negative" in names else set()
        )
        encoded = {caption: self.base.text.encode([caption]) for caption in sorted(captions)}
        rows: dict[str, list[Branch]] = {name: [] for name in names}
        for request in requests:
            for name in names:
                caption = request.negative_prompt if name == "negative" else request.prompt
                rows[name].append(self._one(request, *encoded[caption], full=name == "full"))
        return {name: Branch.join(found) for name, found in rows.items()}

    def _one(self, request: ChipRequest, context: Tensor, pooled: Tensor, full: bool) -> Branch:
        if self.t5_only:
            context = context.clone()
            context[:, : self.base.text.token_lengths[0]] = 0.0
        stack, (width, height) = self.backbone.conditioning, self.size
        prior = request.prior if full else None
        maps, reference = None, None
        if stack is not None and stack.needs.maps and prior is not None and prior.maps is not None:
            maps = fit_maps(prior.maps, width, height)
        if stack is not None and stack.needs.image and full and request.reference is not None and self.scale != 0.0:
            reference = self._reference_latent(request.reference)
        reduction = self.base.vae.reduction
        condition = make_condition(
            context,
            pooled,
            prior if stack is not None and stack.needs.clouds else None,
            reference,
            (self.base.vae.latent_channels, height // reduction, width // reduction),
            request.pose if full else None,
            64 if stack is None else stack.sizes.feature_dim,
            maps,
            (0 if stack is None else len(stack.sizes.map_names), height, width),
        ).to(self.base.transformer.device)
        return Branch(condition.context, self.backbone.condition(condition, self.scale))

    def _reference_latent(self, amplitude: np.ndarray) -> Tensor:
        fitted, _, _ = fit_to_bucket(amplitude, *self.size)
        mean, _ = self.base.vae.encode(torch.from_numpy(self.remap.to_model(fitted))[None, None])
        return mean.cpu()
