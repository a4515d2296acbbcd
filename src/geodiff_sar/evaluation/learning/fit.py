"""The training loop of all networks of this package: a fixed number of steps, resumed exactly."""

import math
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from geodiff_sar.core.config import Options
from geodiff_sar.core.console import progress_bar
from geodiff_sar.core.errors import FileError, Interrupted, NumericalError
from geodiff_sar.core.files import atomic_path
from geodiff_sar.core.stop import StopSignal
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.learning.augment import AugmentOptions, augment, may_mirror
from geodiff_sar.evaluation.learning.heads import Head
from geodiff_sar.evaluation.learning.network import ChipNetwork
from geodiff_sar.evaluation.learning.surroundings import Surroundings

CHECKPOINT_SECONDS = 30.0


class FitOptions(Options):
    """How a network is trained."""

    steps: int = Field(default=600, ge=1, description="optimizer steps")
    batch_size: int = Field(default=32, ge=2, description="chips per step")
    learning_rate: float = Field(default=6e-3, gt=0, description="highest learning rate of AdamW")
    weight_decay: float = Field(default=0.05, ge=0, description="of AdamW")
    warmup: float = Field(default=0.2, gt=0, lt=1, description="share of the steps in which the learning rate rises")
    clip: float = Field(default=5.0, gt=0, description="largest norm of a gradient")
    augment: AugmentOptions = Field(default=AugmentOptions(), description="augmentation")


def fit(
    network: ChipNetwork,
    chips: ChipSet,
    heads: Mapping[str, Head],
    options: FitOptions,
    seed: int,
    title: str,
    checkpoint: Path | None = None,
) -> None:
    """Train ``network`` in place with AdamW and a one-cycle learning rate (Smith and Topin 2019), cosine up and down.

    The loss is the sum of the heads' cross-entropies. Order, augmentation and dropout of a step come from generators
    seeded by (seed, step), so a run that goes on from its checkpoint ends with the same weights as one that never stopped.

    Args:
        network: as ``build_network`` gives it.
        chips: training chips.
        heads: those of the network.
        options: how.
        seed: of everything drawn.
        title: shown before the progress bar.
        checkpoint: file for the state of an unfinished run, deleted at the end; None: nothing is kept. The caller gives
            each run its own.

    Raises:
        NumericalError: the loss is not finite.
        Interrupted: asked to stop; the checkpoint is written.
    """
    device = network.mean.device
    optimizer = torch.optim.AdamW(network.parameters(), lr=1.0, weight_decay=options.weight_decay)
    first = _resume(checkpoint, network, optimizer)
    mirror = may_mirror(chips)
    share = options.augment.surroundings
    surroundings = Surroundings(chips, seed) if share > 0 else None
    network.train()
    saved = time.monotonic()
    with StopSignal() as stop, progress_bar() as bar, torch.random.fork_rng(devices=[]):
        line = bar.add_task(title, total=options.steps, completed=first, note="")
        for step in range(first, options.steps):
            index = batch_of(len(chips), options.batch_size, seed, step)
            rng = np.random.default_rng([seed, step])
            pixels = chips.amplitude[index]
            if surroundings is not None:
                pixels = surroundings.exchanged(pixels, index, share, rng)
            pixels, azimuth = augment(pixels, chips.azimuth_deg[index], options.augment, chips.remap, mirror, rng)
            torch.manual_seed(int(rng.integers(2**62)))  # of dropout within the backbone
            logits = network(torch.from_numpy(pixels).to(device))
            loss = _loss(logits, {name: head.targets(index, azimuth) for name, head in heads.items()})
            if not math.isfinite(loss.item()):
                raise NumericalError(
                    title,
                    f"the loss is {loss.item()} at step {step + 1}, on {', '.join(chips.ids[k] for k in index[:4])} ...",
                    "a finite loss",
                    "look for NaN in these chips, or lower the learning rate",
                )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), options.clip)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, options)
            optimizer.step()
            bar.update(line, completed=step + 1, note=f"loss {loss.item():.3f}")
            if stop.asked or time.monotonic() - saved > CHECKPOINT_SECONDS:
                _save(checkpoint, network, optimizer, step + 1)
                saved = time.monotonic()
            if stop.asked:
                kept = "run the same command again to go on" if checkpoint else "nothing of it is kept"
                raise Interrupted(f"{title}: after {step + 1} of {options.steps} steps; {kept}")
    network.eval()
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)


def batch_of(count: int, batch: int, seed: int, step: int) -> np.ndarray:
    """Places of the chips of one step: every chip once per epoch, in an order drawn from (seed, epoch)."""
    places = np.arange(step * batch, (step + 1) * batch)
    index = np.empty(batch, dtype=np.int64)
    for epoch in np.unique(places // count):
        order = np.random.default_rng([seed, int(epoch), 1]).permutation(count)
        chosen = places // count == epoch
        index[chosen] = order[places[chosen] % count]
    return index


def learning_rate(step: int, options: FitOptions) -> float:
    """Cosine from 1/25 of the highest rate up to it, then down to nearly zero."""
    rise = max(1.0, options.warmup * options.steps)
    if step < rise:
        share = (1.0 - math.cos(math.pi * (step + 1) / (rise + 1))) / 2
        return options.learning_rate * (0.04 + 0.96 * share)
    fall = (step - rise) / max(1.0, options.steps - rise)
    return options.learning_rate * max(1e-4, (1.0 + math.cos(math.pi * fall)) / 2)


def _loss(logits: dict[str, Tensor], targets: dict[str, np.ndarray]) -> Tensor:
    parts = [
        torch.nn.functional.cross_entropy(logits[name], torch.from_numpy(target).to(logits[name].device))
        for name, target in targets.items()
    ]
    return torch.stack(parts).sum()


def _save(path: Path | None, network: ChipNetwork, optimizer: torch.optim.Optimizer, step: int) -> None:
    if path is not None:
        with atomic_path(path) as temporary:
            torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, temporary)


def _resume(path: Path | None, network: ChipNetwork, optimizer: torch.optim.Optimizer) -> int:
    if path is None or not path.exists():
        return 0
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location=network.mean.device)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise FileError(
            path, f"cannot be read ({reason})", "a checkpoint of this run", "delete it; the run then starts anew"
        ) from error
