"""LPIPS: distance of pairs in the layers of a network trained on photographs."""

import pickle
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import nn
from torchvision.models import alexnet

from geodiff_sar.core.errors import FileError

LAYERS = (1, 4, 7, 9, 11)
"""The five rectified layers of AlexNet whose activations are compared."""

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of the published scaling layer, for pictures in [-1, 1]."""

BATCH = 32
_REMEDY = "copy the file again"


class Lpips(nn.Module):
    """Zhang, Isola, Efros, Shechtman and Wang (2018), equation 1, with AlexNet and the published linear layers.

    Args:
        backbone: state of torchvision's AlexNet; ``classifier.*`` is not needed.
        linear: tensors ``lin<k>.model.1.weight`` (1, C, 1, 1), k = 0 ... 4.

    Raises:
        RuntimeError: tensors missing, superfluous or of the wrong shape.
    """

    def __init__(self, backbone: dict[str, torch.Tensor], linear: dict[str, torch.Tensor]):
        super().__init__()
        self.features = alexnet(weights=None).features
        state = {name: value for name, value in backbone.items() if name.startswith("features.")}
        self.load_state_dict(state)
        names = [f"lin{k}.model.1.weight" for k in range(len(LAYERS))]
        widths = [state[f"features.{k - 1}.weight"].shape[0] for k in LAYERS]
        for name, width in zip(names, widths, strict=True):
            shape = None if name not in linear else tuple(linear[name].shape)
            if shape != (1, width, 1, 1):
                raise RuntimeError(f"{name} has the shape {shape} in place of {(1, width, 1, 1)}")
        self.weights = [linear[name].float() for name in names]
        self.eval().requires_grad_(False)

    def forward(
        self, first: Float[torch.Tensor, "pair 3 height width"], second: Float[torch.Tensor, "pair 3 height width"]
    ) -> Float[torch.Tensor, " pair"]:
        """Distances of pictures in [-1, 1]."""
        shift, scale = (torch.tensor(values)[:, None, None] for values in (SHIFT, SCALE))
        a, b = (first - shift) / scale, (second - shift) / scale
        total = torch.zeros(len(first))
        for k, layer in enumerate(list(self.features)[: LAYERS[-1] + 1]):
            a, b = layer(a), layer(b)
            if k in LAYERS:
                difference = (_unit(a) - _unit(b)) ** 2
                total += (difference * self.weights[LAYERS.index(k)]).sum(dim=1).mean(dim=(1, 2))
        return total


def load_lpips(files: tuple[Path, Path]) -> Lpips:
    """The network of two weight files; pickled objects are never executed.

    Raises:
        FileError: a file that is damaged or holds other tensors.
    """
    states = []
    for path in files:
        try:
            states.append(torch.load(path, map_location="cpu", weights_only=True))
        except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
            raise FileError(path, f"cannot be read ({_first_line(error)})", "a file of tensors", _REMEDY) from error
    try:
        return Lpips(*states)
    except (RuntimeError, AttributeError) as error:
        named = " and ".join(str(path) for path in files)
        rule = "the features of torchvision's AlexNet, and lin0 ... lin4 as published with LPIPS 0.1"
        raise FileError(named, f"other tensors ({_first_line(error)})", rule, _REMEDY) from error


def lpips_of_pairs(
    network: Lpips,
    first: Float32[np.ndarray, "pair height width"],
    second: Float32[np.ndarray, "pair height width"],
    data_range: float,
) -> Float[np.ndarray, " pair"]:
    """Distances of grey chips, each value v shown as 2 v / data_range - 1 in all three colours."""
    result = [np.empty(0)]
    with torch.inference_mode():
        for k in range(0, len(first), BATCH):
            pair = [
                torch.from_numpy(np.clip(2.0 * x[k : k + BATCH] / np.float32(data_range) - 1.0, -1.0, 1.0))[:, None]
                .float()
                .repeat(1, 3, 1, 1)
                for x in (first, second)
            ]
            result.append(network(*pair).double().numpy())
    return np.concatenate(result)


def _unit(activations: torch.Tensor) -> torch.Tensor:
    # 1e-10 as in the published code
    return activations / (activations.pow(2).sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
