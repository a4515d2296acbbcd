"""Trained networks kept by the content of everything that they depend on."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from geodiff_sar.core.errors import FileError
from geodiff_sar.core.files import atomic_path, sha256_bytes, sha256_json
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.learning.fit import FitOptions, fit
from geodiff_sar.evaluation.learning.heads import Head
from geodiff_sar.evaluation.learning.network import ChipNetwork, NetworkOptions, build_network


def trained_network(
    purpose: str,
    chips: ChipSet,
    heads: Mapping[str, Head],
    network: NetworkOptions,
    options: FitOptions,
    seed: int,
    title: str,
    cache: Path | None,
    settings: Any = None,
) -> ChipNetwork:
    """The network for these chips and options, trained now or read back.

    Args:
        purpose: first part of the file's name.
        chips: training chips.
        heads: what it is to say.
        network: which network.
        options: how it is trained.
        seed: of weights and training.
        title: shown before the progress bar.
        cache: folder; an interrupted training goes on from there. None: nothing is kept.
        settings: JSON value that says what the heads mean, part of the key.
    """
    model = build_network(network, {name: head.size for name, head in heads.items()}, chips.amplitude, seed)
    if cache is None:
        fit(model, chips, heads, options, seed, title)
        return model
    key = training_key([purpose, settings], chips, network, options, seed)
    path = cache / "networks" / f"{purpose}-{key[:24]}.safetensors"
    if path.is_file():
        _load(path, model)
        return model
    fit(model, chips, heads, options, seed, title, path.with_suffix(".unfinished"))
    with atomic_path(path) as temporary:
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, temporary, {"key": key})
    return model


def training_key(purpose: Any, chips: ChipSet, network: NetworkOptions, options: FitOptions, seed: int) -> str:
    """Hash of everything that the weights follow from, this package's source among it."""
    frame = [chips.grid.range_direction, chips.remap.model_dump(mode="json")]
    return sha256_json(
        [purpose, chips.fingerprint, frame, network.identity(), options.model_dump(mode="json"), seed, sources()]
    )


def network_fingerprint(network: ChipNetwork) -> str:
    """SHA-256 of names and values of all tensors."""
    parts: list[bytes] = []
    for name, value in sorted(network.state_dict().items()):
        parts += [name.encode(), np.ascontiguousarray(value.detach().cpu().numpy()).tobytes()]
    return sha256_bytes(*parts)


@lru_cache(maxsize=1)
def sources() -> str:
    """Hash of this package's files."""
    return sha256_bytes(*(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))


def _load(path: Path, model: ChipNetwork) -> None:
    try:
        model.load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = (str(error).splitlines() or ["damaged"])[0][:200]
        raise FileError(path, f"cannot be read ({reason})", "a kept network", "delete this file") from error
    model.eval()
