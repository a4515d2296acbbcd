"""Chips as a network for photographs expects its pictures, and a space made of such a network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from typing_extensions import final

from geodiff_sar.core.config import Options
from geodiff_sar.core.files import sha256_json
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.data.pixels import PixelRemap
from geodiff_sar.evaluation.base import FeatureSpace
from geodiff_sar.model.device import choose_device

WHITE_PERCENTILE = 99.9


class PictureInput(Options):
    """How amplitudes become a network's input: x = min(sqrt(amplitude) / white, 1), resized, then (x - mean) / std.

    White is one number for all chips, so levels are kept. Values whose law is not known are used without the root, for they
    were compressed for display already. Resizing is bicubic with antialiasing; the one channel is repeated.

    Attributes:
        remap: the law of the values.
        white: root of the amplitude that becomes 1.
        size: (height, width) of the input.
        mean, std: of each input channel.
    """

    remap: PixelRemap
    white: float
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(
        self, amplitude: Float32[np.ndarray, "chip height width"]
    ) -> Float[Tensor, "chip channel rows columns"]:
        """The input of the network, float32."""
        level = np.minimum(root_amplitude(amplitude, self.remap) / np.float32(self.white), np.float32(1.0))
        picture = torch.from_numpy(np.ascontiguousarray(level, dtype=np.float32))[:, None]
        if picture.shape[2:] != self.size:
            picture = nn.functional.interpolate(picture, self.size, mode="bicubic", antialias=True).clamp(0.0, 1.0)
        mean, std = (torch.tensor(values)[None, :, None, None] for values in (self.mean, self.std))
        return (picture - mean) / std


@final
class PictureSpace(FeatureSpace):
    """Features of a network for photographs.

    Args:
        name: as reports call it.
        network: in evaluation mode.
        features: maps the network's input to (B, D).
        pictures: prepares the input.
        batch: chips at a time.
        weights_sha256: of the weights.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        features: Callable[[Tensor], Tensor],
        pictures: PictureInput,
        batch: int,
        weights_sha256: str,
    ):
        self.device = choose_device("auto", "--device")
        network.eval().to(self.device)
        self.features, self.pictures, self.batch = features, pictures, batch
        parts: list[Any] = [name, weights_sha256, pictures.model_dump(mode="json"), self.device.type]
        self.fingerprint = sha256_json(parts)
        self.name = f"{name} {weights_sha256[:8]}"

    def extract(self, amplitude: Float32[np.ndarray, "chip height width"]) -> Float32[np.ndarray, "chip feature"]:
        found = []
        with torch.inference_mode():
            for start in range(0, len(amplitude), self.batch):
                picture = self.pictures(amplitude[start : start + self.batch])
                found.append(self.features(picture.to(self.device)).float().cpu().numpy())
        return np.concatenate(found)


def root_amplitude(
    value: Float32[np.ndarray, "chip height width"], remap: PixelRemap
) -> Float32[np.ndarray, "chip height width"]:
    """Square root of the amplitude; the values themselves where their law is not known."""
    return np.sqrt(remap.to_amplitude(value)) if remap.invertible else value


def white_of(chips: ChipSet) -> float:
    """The root amplitude that 99.9 % of all pixels stay below; 1 for black chips."""
    white = float(np.percentile(root_amplitude(chips.amplitude, chips.remap), WHITE_PERCENTILE))
    return white if white > 0 else 1.0
