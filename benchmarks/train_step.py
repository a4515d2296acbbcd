"""Training throughput of the whole loop against a bare loop over the same model, latents and embeddings.

The bare loop holds collated batches in memory and does nothing but loss, backward, clipping and the optimizer step. The whole
loop also collates, seeds, checks for NaN, writes TensorBoard logs and shows progress. Both are timed in turns.
"""

import statistics
import tempfile
import time
from pathlib import Path

import torch
from _report import parser, report
from accelerate import Accelerator

from geodiff_sar.core.types import Pose
from geodiff_sar.data.dataset import ChipDataset
from geodiff_sar.data.readers import read_samples
from geodiff_sar.data.simulated import ChipSpec, simulate_chips, write_chips
from geodiff_sar.model.backbone import Backbone
from geodiff_sar.model.base import load_base
from geodiff_sar.model.lora import add_lora
from geodiff_sar.training.adapter_task import AdapterTask, DatasetSource
from geodiff_sar.training.loop import Hooks, run_loop
from geodiff_sar.training.optimizers import build_optimizer
from geodiff_sar.workflows.adapter_parts import build_conditioning
from geodiff_sar.workflows.run_folder import training_log
from geodiff_sar.workflows.train_config import TrainConfig

LIMIT = 0.9


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--batch", type=int, default=16, help="chips per step")
    options.add_argument("--steps", type=int, default=24, help="steps of each timed part")
    options.add_argument("--rounds", type=int, default=3, help="timed parts of each")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        specs = [ChipSpec("Kodiak 100", Pose(5.625 * k, 35.0), seed=k) for k in range(64)]
        write_chips(folder / "data", simulate_chips(specs))
        bare, whole = _measure(folder, given.batch, given.steps, given.rounds)
    slow, fast = statistics.median(whole), statistics.median(bare)
    report(
        f"training, mini, batch {given.batch}",
        {
            "bare loop, chips per second": f"{given.batch / fast:.1f}",
            "geodiff-sar train, chips per second": f"{given.batch / slow:.1f}",
            "throughput of the bare loop that is kept": f"{fast / slow:.1%}",
            "wanted": f"at least {LIMIT:.0%}",
        },
        {
            "bare_seconds_per_step": fast,
            "whole_seconds_per_step": slow,
            "ratio": fast / slow,
            "wanted_ratio": LIMIT,
            "all": {"bare": bare, "whole": whole},
        },
        given.json,
    )


def _measure(folder: Path, batch: int, steps: int, rounds: int) -> tuple[list[float], list[float]]:
    config = TrainConfig.model_validate(
        {
            "inject": ["pooled"],
            "data": {"root": str(folder / "data")},
            "train": {"max_steps": steps * rounds, "batch_size": batch, "device": "cpu"},
        }
    )
    base = load_base(config.base)
    samples = read_samples(folder / "data")
    resolution, remap = base.settings.resolution, base.settings.remap
    dataset = ChipDataset(samples, config.data, remap, resolution, base.vae, base.text, folder / "cache")
    dataset.prepare()
    conditioning = build_conditioning(config, base, dataset)
    add_lora(base.transformer, config.lora, config.train.seed)
    task = AdapterTask(
        Backbone(base.transformer, conditioning), config.objective, base.settings.shift, torch.device("cpu")
    )
    source = DatasetSource(dataset, batch, config.train.seed)
    batches = [source.load(item, 0) for item in source.plan(0)]
    optimizer = build_optimizer(task.parameter_groups(), config.optimizer)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for module in task.modules().values():
        module.train()

    def bare(count: int) -> float:
        started = time.perf_counter()
        for step in range(count):
            optimizer.zero_grad()
            loss, _ = task.loss(batches[step % len(batches)])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        return (time.perf_counter() - started) / count

    def whole(number: int) -> float:
        options = config.train.model_copy(update={"max_steps": steps})
        with training_log(folder / f"logs{number}", enabled=True) as log:
            started = time.perf_counter()
            run_loop(
                task, source, optimizer, None, options, folder / f"checkpoints{number}", Accelerator(cpu=True),
                Hooks(log=log.scalars),
            )  # fmt: skip
        for module in task.modules().values():
            module.train()
        return (time.perf_counter() - started) / steps

    bare(3)  # warm-up
    plain, full = [], []
    for number in range(rounds):
        plain.append(bare(steps))
        full.append(whole(number))
    return plain, full


if __name__ == "__main__":
    main()
