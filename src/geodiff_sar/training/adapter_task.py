"""The adapter: LoRA (or the whole transformer) and the conditioning stack under one flow-matching loss."""

from typing import Any

import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor, nn

from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.core.condition import Condition
from geodiff_sar.data.dataset import Batch, ChipDataset
from geodiff_sar.model.lora import limit_weight_norms
from geodiff_sar.training.objective import ObjectiveOptions, flow_loss, sample_u
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
    """Trains what of the transformer requires gradients, and the conditioning stack.

    Args:
        transformer: with LoRA layers, or as a whole.
        conditioning: the stack.
        objective: what is minimised.
        shift: timestep shift.
        device: where the modules are.
        dtype: number format of the transformer's weights.
        conditioning_lr: learning rate of the stack; None: the optimizer's.
        max_norm: limit of the weight norm of each LoRA module; None for none.
    """

    def __init__(
        self,
        transformer: SD3Transformer2DModel,
        conditioning: ConditioningStack,
        objective: ObjectiveOptions,
        shift: float,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        conditioning_lr: float | None = None,
        max_norm: float | None = None,
    ):
        self.transformer, self.conditioning, self.objective, self.shift = transformer, conditioning, objective, shift
        self.device, self.dtype, self.conditioning_lr, self.max_norm = device, dtype, conditioning_lr, max_norm

    def modules(self) -> dict[str, nn.Module]:
        return {"transformer": self.transformer, "conditioning": self.conditioning}

    def parameter_groups(self) -> list[dict[str, Any]]:
        base = [p for p in self.transformer.parameters() if p.requires_grad]
        stack: dict[str, Any] = {"params": list(self.conditioning.parameters()), "name": "conditioning"}
        if self.conditioning_lr is not None:
            stack["lr"] = self.conditioning_lr
        return [{"params": base, "name": "transformer"}, stack] if base else [stack]

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        noise = torch.randn(batch.mean.shape)
        latents = batch.mean + batch.std * torch.randn(batch.std.shape)
        u = sample_u(len(latents), self.objective)
        without_text = torch.tensor([caption == "" for caption in batch.captions])
        condition = self.conditioning.drop(batch.condition, without_text)
        losses, values = self.losses(condition, latents, noise, u)
        return losses.mean(), {**values, **self.conditioning.gate_summary()}

    def losses(
        self, condition: Condition, latents: Tensor, noise: Tensor, u: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """Loss of each chip for given latents, noise and places on the schedule."""
        condition = condition.to(self.device)
        pooled = self.conditioning(condition)

        def predict(noisy: Tensor, timestep: Tensor) -> Tensor:
            return self.transformer(
                hidden_states=noisy.to(self.dtype),
                timestep=timestep,
                encoder_hidden_states=condition.context.to(self.dtype),
                pooled_projections=pooled.to(self.dtype),
                return_dict=False,
            )[0]

        return flow_loss(predict, latents.to(self.device), noise.to(self.device), u, self.objective, self.shift)

    def after_step(self) -> None:
        if self.max_norm is not None:
            limit_weight_norms(self.transformer, self.max_norm)

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
                losses, _ = self.losses(batch.condition, batch.mean, noise, u)
                total, count = total + float(losses.sum()), count + len(indices)
        return {"validation/loss": total / count}
