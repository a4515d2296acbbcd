"""The adapter: LoRA (or the whole transformer) and the conditioning stack under one flow-matching loss."""

from typing import Any

import torch
from torch import Tensor, nn

from geodiff_sar.conditioning.conditioned import Conditioned
from geodiff_sar.core.condition import Condition
from geodiff_sar.data.dataset import Batch, ChipDataset
from geodiff_sar.model.backbone import Backbone
from geodiff_sar.model.lora import limit_weight_norms
from geodiff_sar.model.storage.sharded import is_sharded
from geodiff_sar.training.objective import ObjectiveOptions, flow_loss, forecast_loss, sample_u
from geodiff_sar.training.task import BatchSource, Task

VALIDATION_PLACES = (0.125, 0.375, 0.625, 0.875)
"""Places on the noise schedule at which the validation loss is measured."""


class DatasetSource(BatchSource[Batch]):
    """Batches of a prepared data set."""

    def __init__(self, dataset: ChipDataset, batch_size: int, seed: int):
        self.dataset, self.batch_size, self.seed = dataset, batch_size, seed

    def plan(self, epoch: int) -> list[Any]:
        return list(enumerate(self.dataset.batch_plan(self.batch_size, self.seed, epoch)))

    def load(self, item: Any, epoch: int) -> Batch:
        number, indices = item
        return self.dataset.collate(indices, epoch, self.seed, number)


class AdapterTask(Task[Batch]):
    """Trains what of the transformer requires gradients, and the conditioning stack if there is one.

    Args:
        backbone: the transformer, with LoRA layers or as a whole, and the stack.
        objective: what is minimised.
        shift: timestep shift.
        device: where the modules are.
        conditioning_lr: learning rate of the stack; None: the optimizer's.
        max_norm: limit of the weight norm of each LoRA module; None for none.
    """

    def __init__(
        self,
        backbone: Backbone,
        objective: ObjectiveOptions,
        shift: float,
        device: torch.device,
        conditioning_lr: float | None = None,
        max_norm: float | None = None,
    ):
        self.backbone, self.objective, self.shift = backbone, objective, shift
        self.device, self.conditioning_lr, self.max_norm = device, conditioning_lr, max_norm
        self.even_passes = is_sharded(backbone.transformer)

    def modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {"transformer": self.backbone.transformer}
        if self.backbone.conditioning is not None:
            modules["conditioning"] = self.backbone.conditioning
        return modules

    def parameter_groups(self) -> list[dict[str, Any]]:
        groups: list[dict[str, Any]] = []
        base = [p for p in self.backbone.transformer.parameters() if p.requires_grad]
        if base:
            groups.append({"params": base, "name": "transformer"})
        if self.backbone.conditioning is not None:
            groups.append({"params": list(self.backbone.conditioning.parameters()), "name": "conditioning"})
            if self.conditioning_lr is not None:
                groups[-1]["lr"] = self.conditioning_lr
        return groups

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        noise = torch.randn(batch.mean.shape)
        latents = batch.mean + batch.std * torch.randn(batch.std.shape)
        u = sample_u(len(latents), self.objective)
        stack, condition = self.backbone.conditioning, batch.condition
        if stack is not None:
            condition = stack.drop(condition, torch.tensor([caption == "" for caption in batch.captions]))
        condition = condition.to(self.device)
        conditioned = self.backbone.condition(condition)
        losses, values = self._flow_losses(condition, conditioned, latents, noise, u, batch.target)
        if stack is None:
            return losses.mean(), values
        values |= stack.summary()
        if conditioned.forecast is not None:
            wanted = latents.to(self.device)
            errors = forecast_loss(conditioned.forecast, wanted, condition.has_maps, self.objective, batch.target)
            losses = losses + stack.options.maps.forecast_weight * errors
            values["maps/forecast"] = float(errors.detach().mean())
        return losses.mean(), values

    def losses(
        self, condition: Condition, latents: Tensor, noise: Tensor, u: Tensor, target: Tensor | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """Flow-matching loss of each chip for given latents, noise and places on the schedule; ``target`` as in flow_loss."""
        condition = condition.to(self.device)
        return self._flow_losses(condition, self.backbone.condition(condition), latents, noise, u, target)

    def _flow_losses(
        self,
        condition: Condition,
        conditioned: Conditioned,
        latents: Tensor,
        noise: Tensor,
        u: Tensor,
        target: Tensor | None,
    ) -> tuple[Tensor, dict[str, float]]:
        def predict(noisy: Tensor, timestep: Tensor) -> Tensor:
            return self.backbone(noisy, timestep, condition.context, conditioned)

        return flow_loss(predict, latents.to(self.device), noise.to(self.device), u, self.objective, self.shift, target)

    def after_step(self) -> None:
        if self.max_norm is not None:
            limit_weight_norms(self.backbone.transformer, self.max_norm)

    def describe(self, batch: Batch) -> str:
        return ", ".join(batch.ids)

    @torch.no_grad()
    def validation_loss(self, dataset: ChipDataset, batch_size: int) -> dict[str, float]:
        """Mean loss over a held-out set at fixed places, with fixed noise and nothing dropped: the same number for the
        same weights."""
        total, count = 0.0, 0
        for number, indices in enumerate(dataset.batch_plan(batch_size, 0, 0)):
            batch = dataset.collate(indices, 0, 0, augment=False)
            generator = torch.Generator().manual_seed(number)
            noise = torch.randn(batch.mean.shape, generator=generator)
            for place in VALIDATION_PLACES:
                u = torch.full((len(indices),), place)
                losses, _ = self.losses(batch.condition, batch.mean, noise, u, batch.target)
                total, count = total + float(losses.sum()), count + len(indices)
        return {"validation/loss": total / count}
