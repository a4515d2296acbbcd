"""What a training moves: the transformer with what is trained of it, the task, its optimizer and schedule."""

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from diffusers import SD3Transformer2DModel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.data.dataset import ChipDataset
from geodiff_sar.model.adapter_files import AdapterFiles
from geodiff_sar.model.backbone import Backbone
from geodiff_sar.model.base import BaseModel
from geodiff_sar.training.adapter_task import AdapterTask, DatasetSource
from geodiff_sar.training.compilation import compile_blocks
from geodiff_sar.training.loop_options import total_steps
from geodiff_sar.training.optimizers import build_optimizer
from geodiff_sar.training.schedules import build_schedule
from geodiff_sar.workflows.adapter_parts import choose_trained
from geodiff_sar.workflows.train_config import TrainConfig

BASE_DTYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Number format of the base by train.precision."""


@dataclass(frozen=True)
class Trainee:
    """A task with its data source, optimizer and schedule, and the number of optimizer steps."""

    task: AdapterTask
    source: DatasetSource
    optimizer: Optimizer
    schedule: LRScheduler
    steps: int


def build_trainee(
    config: TrainConfig,
    base: BaseModel,
    transformer: SD3Transformer2DModel,
    conditioning: ConditioningStack | None,
    start: AdapterFiles | None,
    dataset: ChipDataset,
    accelerator: Accelerator,
) -> Trainee:
    """Put all that is trained on ``transformer`` and ``conditioning``.

    With a transformer on the meta device this is a rehearsal: mistakes in the options come up before anything is loaded or
    written.

    Raises:
        OptionError: impossible blocks, optimizer, schedule or length; no compiler.
        GeodiffError: an adapter to start from that cannot be used.
    """
    options = config.train
    choose_trained(config, base.hash, transformer, conditioning, start)
    if options.compile:
        compile_blocks(transformer.transformer_blocks, "train.compile")
    task = AdapterTask(
        Backbone(transformer, conditioning, BASE_DTYPES[options.precision]),
        config.objective,
        config.objective.shift or base.settings.shift,
        accelerator.device,
        config.optimizer.conditioning_lr,
        config.lora.max_norm,
    )
    source = DatasetSource(dataset, options.batch_size, options.seed)
    optimizer = build_optimizer(task.parameter_groups(), config.optimizer)
    steps = total_steps(options, len(source.plan(0)), accelerator.num_processes)
    return Trainee(task, source, optimizer, build_schedule(optimizer, config.schedule, steps), steps)
