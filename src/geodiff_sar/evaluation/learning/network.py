"""A timm backbone for chips with one linear head per label."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from jaxtyping import Float, Float32
from pydantic import Field
from torch import Tensor, nn

from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import FileError, OptionError
from geodiff_sar.core.files import require_file, sha256_file
from geodiff_sar.evaluation.spaces.weights import read_weights

SMALL = "small"
SMALL_MODEL, SMALL_SHAPE = "resnet10t", {"channels": (24, 48, 96, 192), "stem_width": 12}
"""The preset "small": 0.7 million parameters, for chips of some 100 pixels a side."""

EVAL_BATCH = 64


class NetworkOptions(Options):
    """Which network."""

    backbone: str = Field(default=SMALL, description='"small", or the name of any timm model')
    weights: Path | None = Field(default=None, description="file with weights of the timm model; None: random")

    def identity(self) -> dict[str, str]:
        """What makes two networks the same: names and the content of the weights file."""
        return {"backbone": self.backbone, "weights": "" if self.weights is None else sha256_file(self.weights)}


class ChipNetwork(nn.Module):
    """Backbone and heads. Input is what the pixels say: ``x = (sqrt(value) - mean) / std`` with fixed mean and std.

    The square root brings Rayleigh amplitudes near a normal distribution. Mean and deviation are those of all training
    pixels, one number each for the whole set: chips are not normalised by themselves, so levels matter.

    Args:
        backbone: maps (B, 1, H, W) to (B, features).
        width: number of features.
        heads: number of values of each label.
        mean, std: of the square roots of the training pixels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, width: int, heads: Mapping[str, int], mean: float, std: float):
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in heads.items()})
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    def features(self, amplitude: Float[Tensor, "chip height width"]) -> Float[Tensor, "chip feature"]:
        """What the heads see: the pooled output of the backbone."""
        x = (amplitude.clamp(min=0).sqrt() - self.mean) / self.std
        return self.backbone(x[:, None].contiguous(memory_format=torch.channels_last))

    def forward(self, amplitude: Float[Tensor, "chip height width"]) -> dict[str, Tensor]:
        """Logits (B, values) of each head."""
        features = self.features(amplitude)
        return {name: head(features) for name, head in self.heads.items()}


def build_network(
    options: NetworkOptions,
    heads: Mapping[str, int],
    amplitude: Float32[np.ndarray, "chip height width"],
    seed: int,
) -> ChipNetwork:
    """A network for these training chips, its random weights drawn from ``seed``.

    Raises:
        OptionError: no such timm model, or one that cannot take chips of this size.
        FileError: the weights do not fit.
    """
    root = np.sqrt(amplitude, dtype=np.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = _backbone(options, amplitude.shape[1:])
        width = _width(backbone, amplitude.shape[1:], options.backbone)
        network = ChipNetwork(backbone, width, heads, float(root.mean()), max(float(root.std()), 1e-6))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def infer(
    network: ChipNetwork, amplitude: Float32[np.ndarray, "chip height width"]
) -> tuple[Float32[np.ndarray, "chip feature"], dict[str, Float32[np.ndarray, "chip value"]]]:
    """Features and probabilities of every head, in evaluation mode and fixed batches."""
    device = network.mean.device
    network.eval()
    features, probabilities = [], {name: [] for name in network.heads}
    with torch.inference_mode():
        for start in range(0, len(amplitude), EVAL_BATCH):
            found = network.features(torch.from_numpy(amplitude[start : start + EVAL_BATCH]).to(device))
            features.append(found.cpu().numpy())
            for name, head in network.heads.items():
                probabilities[name].append(head(found).softmax(-1).cpu().numpy())
    return np.concatenate(features), {name: np.concatenate(parts) for name, parts in probabilities.items()}


def _backbone(options: NetworkOptions, size: tuple[int, ...]) -> nn.Module:
    if options.backbone == SMALL:
        if options.weights is not None:
            raise OptionError(
                "--weights", str(options.weights), "weights belong to a timm model", "name its --backbone"
            )
        return timm.create_model(SMALL_MODEL, pretrained=False, in_chans=1, num_classes=0, **SMALL_SHAPE)
    if not timm.is_model(options.backbone):
        close = difflib.get_close_matches(options.backbone, timm.list_models(), n=3, cutoff=0.3)
        raise OptionError(
            "--backbone", repr(options.backbone), '"small" or the name of a timm model', f"such as {', '.join(close)}"
        )
    configuration = timm.get_pretrained_cfg(options.backbone)
    fixed = configuration is not None and configuration.fixed_input_size
    more: dict[str, Any] = {"in_chans": 1, "num_classes": 0, **({"img_size": tuple(size)} if fixed else {})}
    try:
        with torch.random.fork_rng(devices=[]):
            fresh = timm.create_model(options.backbone, pretrained=False, **more)
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise _unusable(options.backbone, size, error) from error
    return fresh if options.weights is None else _with_weights(fresh, options.backbone, options.weights, more)


def _with_weights(fresh: nn.Module, name: str, path: Path, more: dict[str, Any]) -> nn.Module:
    """The same model with the tensors of a file; timm sums the colour channels of the first layer.

    ``fresh`` was drawn from the generator's present state, so a tensor that the file lacks comes out equal to its own.
    """
    require_file(path, "weights of a timm model", "check the path")
    overlay = {"state_dict": read_weights(path)}
    try:
        model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **more)
    except (RuntimeError, KeyError, AttributeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise FileError(
            path, f"does not fit {name} ({reason})", "a state dict of this model", "give the weights of this very model"
        ) from error
    random = dict(fresh.named_parameters())
    missing = [key for key, value in model.named_parameters() if value.ndim > 1 and torch.equal(value, random[key])]
    if missing:
        raise FileError(
            path,
            f"lacks {len(missing)} tensors of {name}, such as {missing[0]}",
            "all tensors of the backbone",
            "give the weights of this very model",
        )
    return model


def _width(backbone: nn.Module, size: tuple[int, ...], name: str) -> int:
    """Number of features, seen on an empty chip."""
    backbone.eval()
    try:
        with torch.no_grad():
            out = backbone(torch.zeros(1, 1, *size))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise _unusable(name, size, error) from error
    if out.ndim != 2:
        raise _unusable(name, size, ValueError(f"its output has {out.ndim} axes"))
    return int(out.shape[1])


def _unusable(name: str, size: tuple[int, ...], error: Exception) -> OptionError:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return OptionError(
        "--backbone",
        f"{name} cannot take chips of {size[1]} x {size[0]} pixels in one channel ({reason})",
        "a timm model that maps such a chip to one vector",
        'choose "small", or crop the chips to a size that the model knows',
    )
