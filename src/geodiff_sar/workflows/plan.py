"""What a training and a generation by its settings will take in memory, counted before anything is loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.geometry.maps import MAP_NAMES
from geodiff_sar.model.base import needed_parts, open_base
from geodiff_sar.model.base_parts import BaseShape
from geodiff_sar.model.part_size import TITLES, PartSize, part_size, storage_of
from geodiff_sar.model.single_file.published import PublishedShape
from geodiff_sar.model.storage import STORAGES
from geodiff_sar.training.footprint import count_activations, count_conditioning, state_bytes
from geodiff_sar.training.stepping.zero import require_several
from geodiff_sar.workflows.adapter_parts import choose_trained, require_positions, stack_sizes
from geodiff_sar.workflows.train_config import TrainConfig, with_resolved_fusion
from geodiff_sar.workflows.trainee import BASE_DTYPES

DECODER_COPIES = 4
"""Feature maps of the VAE's widest layer that exist at one time, in encoding and decoding."""


POINTS = 4096
"""Points of a cloud, as far as the plan knows."""


@dataclass(frozen=True)
class Plan:
    """Bytes by what takes them.

    Attributes:
        parts: of the base.
        trained: weights that are trained.
        training: what the training adds to the transformer: trained weights, gradients, optimizer state, and activations.
            Where DeepSpeed divides the optimizer's state it keeps a copy of the weights of each share, which is counted
            with it. What an optimizer or an exchange of gradients makes for a moment is not counted, nor what tokens keep in
            the transformer's blocks.
        picture: the VAE's feature maps for one picture.
        libraries: resident memory of the program itself, where it is that of the device which computes.
    """

    parts: dict[str, PartSize]
    trained: int
    training: dict[str, float]
    picture: float
    libraries: float

    @property
    def text(self) -> float:
        """While captions are encoded."""
        return self.libraries + sum(self.parts[name].bytes for name in self.parts if name != "transformer")

    @property
    def making(self) -> tuple[str, float]:
        """The part that takes most while it is loaded, above what is kept of it, and its bytes then."""
        part = max(self.parts, key=lambda name: self.parts[name].making)
        return part, self.parts[part].made_from

    @property
    def generation(self) -> float:
        """While pictures are generated, one at a time."""
        return self.libraries + self.parts["transformer"].bytes + self.parts["vae"].bytes + self.picture

    @property
    def step(self) -> float:
        """While a step is trained."""
        return self.libraries + self.parts["transformer"].bytes + self.parts["vae"].bytes + sum(self.training.values())


def make_plan(config: TrainConfig, processes: int = 1, published: bool = False) -> Plan:
    """Count a configuration's memory; of the base at most headers are read.

    Args:
        config: of the training.
        processes: how many divide what the configuration divides; the plan is that of one of them.
        published: count Stable Diffusion 3.5 Medium as published, whatever base is named and whether it is there or not.

    Raises:
        GeodiffError: mistakes in the settings, a base that is not there or damaged.
    """
    config = with_resolved_fusion(config)
    memory, dtype = config.memory, BASE_DTYPES[config.train.precision]
    STORAGES.get(memory.transformer)
    require_several(config.train.zero_stage, processes, "give --processes N")
    shape = PublishedShape() if published else _shape(config)
    cpu = config.train.device == "cpu" or (config.train.device == "auto" and not torch.cuda.is_available())
    device = torch.device("cpu" if cpu else "cuda")
    parts = {part: part_size(shape, part, dtype, memory, device, processes) for part in needed_parts(memory)}
    vae = shape.config("vae")
    reduction = 2 ** (len(vae["block_out_channels"]) - 1)
    transformer = shape.empty("transformer")
    torch.nn.Module.to(transformer, dtype)  # without the warning of its own method
    settings = shape.settings(transformer.config["sample_size"] * reduction)
    width, height = config.data.buckets.resolution or settings.resolution
    grain, names = reduction * transformer.config["patch_size"], MAP_NAMES if "map" in config.inject else ()
    require_positions(max(width, height), transformer.config["pos_embed_max_size"] * grain)
    sizes = stack_sizes(config, transformer, vae["latent_channels"], grain, settings, names)
    places = list(config.inject)
    conditioning = ConditioningStack(sizes, config.conditioning, config.fusion, places) if places else None
    choose_trained(config, "", transformer, conditioning, None)
    transformer.disable_gradient_checkpointing()
    trained = sum(p.numel() for p in transformer.parameters() if p.requires_grad)
    trained += 0 if conditioning is None else sum(p.numel() for p in conditioning.parameters())
    tokens = shape.config("text_encoder")["max_position_embeddings"] + settings.t5_length
    latents = (config.train.batch_size, vae["latent_channels"], height // reduction, width // reduction)
    torch.nn.Module.to(transformer, dtype)  # trained weights too: in mixed precision their products are in it
    passed = count_activations(
        lambda: _forward(transformer, latents, tokens, dtype),
        transformer.transformer_blocks,
        transformer,
        torch.float32 if cpu and dtype == torch.bfloat16 and not config.train.gradient_checkpointing else None,
    )
    stage, shares = config.train.zero_stage, processes if config.train.zero_stage else 1
    training = {
        "trained weights and gradients": (4.0 + 4.0 / (shares if stage == 2 else 1)) * trained,
        "optimizer state": (state_bytes(config.optimizer) + (4.0 if stage else 0.0)) * trained / shares,
        "activations": float(passed.checkpointed if config.train.gradient_checkpointing else passed.whole),
    }
    if config.train_base == "full":
        training["trained weights and gradients"] -= parts["transformer"].bytes
    if conditioning is not None:
        points = config.conditioning.points.limit or POINTS
        training["activations of the conditioning"] = count_conditioning(
            conditioning, config.train.batch_size, points, (width, height), reduction, dtype
        )
    if config.ema.enabled:
        training["weight average"] = 4.0 * trained
    picture = DECODER_COPIES * vae["block_out_channels"][0] * width * height * dtype.itemsize
    return Plan(parts, trained, training, float(picture), float(resident_bytes()) if cpu else 0.0)


def _shape(config: TrainConfig) -> BaseShape:
    source = open_base(config.base_files, needed_parts(config.memory))
    source.require_complete()
    return source


def _forward(transformer: Any, shape: tuple[int, ...], tokens: int, dtype: torch.dtype) -> Any:
    def empty(*sizes: int) -> torch.Tensor:
        return torch.empty(sizes, dtype=dtype, device="meta", requires_grad=True)

    config = transformer.config
    return transformer(
        hidden_states=empty(*shape),
        timestep=torch.empty(shape[0], device="meta"),
        encoder_hidden_states=empty(shape[0], tokens, config["joint_attention_dim"]),
        pooled_projections=empty(shape[0], config["pooled_projection_dim"]),
        return_dict=False,
    )


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not say."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def plan_text(config: TrainConfig, processes: int = 1, published: bool = False) -> str:
    """The plan as a table; arguments as for make_plan."""
    plan = make_plan(config, processes, published)
    table = Table("what", "weights", "GiB", box=None)
    for part, found in plan.parts.items():
        stored = storage_of(part, config.memory)
        table.add_row(
            TITLES[part] + ("" if stored == "whole" else f", {stored}"), f"{found.weights:,}", _gib(found.bytes)
        )
    for what, size in plan.training.items():
        table.add_row(what, f"{plan.trained:,}" if what.startswith("trained") else "", _gib(size))
    table.add_row("feature maps of the VAE, one picture", "", _gib(plan.picture))
    if plan.libraries:
        table.add_row("the program and its libraries", "", _gib(plan.libraries))
    part, size = plan.making
    if plan.parts[part].making:
        table.add_row(f"{TITLES[part]} while it is loaded, on the CPU", "", _gib(size))
    table.add_section()
    table.add_row("while captions are encoded", "", _gib(plan.text))
    table.add_row("while a step is trained", "", _gib(plan.step))
    table.add_row("while a picture is generated", "", _gib(plan.generation))
    console = Console(width=100)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip()


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f}"
