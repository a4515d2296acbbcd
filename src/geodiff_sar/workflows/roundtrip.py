"""Pass real or simulated chips through a base's autoencoder and say what it does to them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from geodiff_sar.core.console import progress_bar
from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.files import write_json
from geodiff_sar.data.chip_set import ChipSet, read_chip_set
from geodiff_sar.data.readers import read_samples
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.evaluation.regions import find_regions
from geodiff_sar.evaluation.roundtrip import measure_roundtrip
from geodiff_sar.model.base import load_vae
from geodiff_sar.model.base_files import BaseFiles
from geodiff_sar.model.vae import VaeCodec
from geodiff_sar.sampling.sheet import brightened, contact_sheet

SHOWN = 8
TOGETHER = 8


@dataclass(frozen=True)
class RoundTripRequest:
    """What ``geodiff-sar roundtrip`` is asked for.

    Attributes:
        data: folder of chips, any layout.
        out: folder for ``roundtrip.json`` and ``roundtrip.png``.
        base: mini, a folder in diffusers' layout, a repository of the hub, or a single file, with the VAE's own file if it
            has none; nothing but the VAE is loaded.
        most: at most so many chips, spread evenly.
    """

    data: Path
    out: Path
    base: str | BaseFiles = "mini"
    most: int = 200


def roundtrip(request: RoundTripRequest) -> str:
    """Write numbers and a sheet of originals above decoded chips; returns the lines to print.

    Raises:
        GeodiffError: as the readers; sides that the autoencoder cannot take.
    """
    codec, settings = load_vae(request.base)
    samples = read_samples(request.data)
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(request.most, len(samples))).astype(int))
    chips = read_chip_set([samples[k] for k in chosen], str(request.data))
    numbers = measure_chips(chips, codec, settings.remap)
    write_json(request.out / "roundtrip.json", {"vae": codec.model_hash, "data": str(request.data), **numbers})
    write_roundtrip_sheet(request.out / "roundtrip.png", chips, codec, settings.remap)
    lines = [f"{name}: {'not measured' if value is None else f'{value:.4g}'}" for name, value in numbers.items()]
    return "\n".join([*lines, f"sheet: {request.out / 'roundtrip.png'}"])


def measure_chips(chips: ChipSet, codec: VaeCodec, remap: AmplitudeRemap) -> dict[str, float | None]:
    """Medians of the numbers of evaluation.roundtrip over a set."""
    height, width = chips.amplitude.shape[1:]
    if height % codec.reduction or width % codec.reduction:
        raise OptionError(
            "--data",
            f"chips of {width} x {height} pixels",
            f"sides are multiples of {codec.reduction}, the reduction of the autoencoder",
            "cut the chips to such a size",
        )
    model = remap.to_model(chips.amplitude)
    decoded = decode_chips(model, codec)
    amplitudes = remap.to_amplitude(model), remap.to_amplitude(decoded)
    latent_numbers = codec.latent_channels * height * width // codec.reduction**2
    clutter = find_regions(chips).clutter
    return measure_roundtrip(model, decoded, *amplitudes, clutter, latent_numbers).table()


def decode_chips(model: np.ndarray, codec: VaeCodec) -> np.ndarray:
    """Model values (chip, height, width), encoded to the posterior's mean and decoded."""
    rows = []
    with progress_bar() as bar:
        line = bar.add_task("encoding and decoding", total=len(model), note="")
        for start in range(0, len(model), TOGETHER):
            pixels = torch.from_numpy(model[start : start + TOGETHER])[:, None]
            rows.append(codec.decode(codec.encode(pixels)[0])[:, 0].numpy())
            bar.update(line, completed=start + len(pixels))
    return np.concatenate(rows)


def write_roundtrip_sheet(path: Path, chips: ChipSet, codec: VaeCodec, remap: AmplitudeRemap) -> None:
    """Originals above what the autoencoder makes of them, square root of the amplitude."""
    shown = np.unique(np.linspace(0, len(chips) - 1, min(SHOWN, len(chips))).astype(int))
    model = remap.to_model(chips.amplitude[shown])
    decoded = remap.to_amplitude(decode_chips(model, codec))
    pictures = [brightened(picture) for picture in (*chips.amplitude[shown], *decoded)]
    labels = [*(chips.ids[k][-20:] for k in shown), *("decoded" for _ in shown)]
    contact_sheet(path, pictures, labels, len(shown))
