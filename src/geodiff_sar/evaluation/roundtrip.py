"""What an autoencoder does to chips: error, speckle statistics and histogram of the decoded beside the original."""

import io
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32
from PIL import Image

from geodiff_sar.evaluation.speckle import tile_statistics

LEVELS = 256


@dataclass(frozen=True)
class RoundTrip:
    """Numbers of each chip.

    Attributes:
        psnr_db: peak signal-to-noise ratio of the values that the model sees, peak-to-peak 2.
        jpeg_psnr_db: the same for a JPEG file of at most as many bytes as the latent has numbers.
        looks: equivalent number of looks of clutter in the original.
        decoded_looks: in the decoded chip.
        histogram_distance: total variation between the histograms of 8-bit amplitude, 0 (equal) to 1 (disjoint).
        deviation_ratio: standard deviation of amplitude, decoded over original.
    """

    psnr_db: Float[np.ndarray, " chip"]
    jpeg_psnr_db: Float[np.ndarray, " chip"]
    looks: Float[np.ndarray, " chip"]
    decoded_looks: Float[np.ndarray, " chip"]
    histogram_distance: Float[np.ndarray, " chip"]
    deviation_ratio: Float[np.ndarray, " chip"]

    def table(self) -> dict[str, float | None]:
        """Medians over the chips, and the share of chips whose looks stay within 15 %; None where no chip has a value."""
        ratio = self.decoded_looks / self.looks
        known = ratio[np.isfinite(ratio)]
        return {
            "chips": float(len(self.psnr_db)),
            "psnr_db": _median(self.psnr_db),
            "jpeg_psnr_db": _median(self.jpeg_psnr_db),
            "enl": _median(self.looks),
            "enl_decoded": _median(self.decoded_looks),
            "enl_ratio": _median(ratio),
            "enl_ratio_5_percent": float(np.quantile(known, 0.05)) if len(known) else None,
            "enl_ratio_95_percent": float(np.quantile(known, 0.95)) if len(known) else None,
            "enl_within_15_percent": float((np.abs(known - 1) <= 0.15).mean()) if len(known) else None,
            "histogram_distance": _median(self.histogram_distance),
            "deviation_ratio": _median(self.deviation_ratio),
        }


def _median(values: Float[np.ndarray, " chip"]) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def measure_roundtrip(
    model: Float32[np.ndarray, "chip height width"],
    decoded_model: Float32[np.ndarray, "chip height width"],
    amplitude: Float32[np.ndarray, "chip height width"],
    decoded: Float32[np.ndarray, "chip height width"],
    clutter: Bool[np.ndarray, "chip height width"],
    latent_numbers: int,
) -> RoundTrip:
    """Compare chips with what the autoencoder makes of them.

    Args:
        model: model values in [-1, 1].
        decoded_model: the same, encoded and decoded.
        amplitude: grey levels or amplitudes 0..255.
        decoded: the same, encoded and decoded.
        clutter: pixels from which speckle statistics come; those of the original serve for both.
        latent_numbers: numbers in the latent of one chip.
    """
    tiles, other = tile_statistics(amplitude, clutter), tile_statistics(decoded, clutter)
    return RoundTrip(
        _psnr_db(model, decoded_model),
        np.array([_jpeg_psnr_db(chip, latent_numbers) for chip in model]),
        tiles.looks,
        other.looks,
        np.array([_histogram_distance(a, b) for a, b in zip(amplitude, decoded, strict=True)]),
        decoded.std(axis=(1, 2)) / amplitude.std(axis=(1, 2)),
    )


def _psnr_db(
    one: Float32[np.ndarray, "chip height width"], other: Float32[np.ndarray, "chip height width"]
) -> Float[np.ndarray, " chip"]:
    error = np.mean((one.astype(np.float64) - other) ** 2, axis=(1, 2))
    return 10 * np.log10(4.0 / np.maximum(error, 1e-12))


def _jpeg_psnr_db(model: Float32[np.ndarray, "height width"], size: int) -> float:
    """Of the best JPEG file of at most ``size`` bytes; of the smallest one where none is that small."""
    picture = Image.fromarray(np.rint((model + 1) * 127.5).astype(np.uint8))
    low, high = 1, 100
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(_jpeg(picture, middle)) <= size else (low, middle - 1)
    values = np.asarray(Image.open(io.BytesIO(_jpeg(picture, low))), dtype=np.float32) / 127.5 - 1
    return float(_psnr_db(model[None], values[None])[0])


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def _histogram_distance(one: Float32[np.ndarray, "height width"], other: Float32[np.ndarray, "height width"]) -> float:
    counts = [
        np.bincount(np.clip(np.rint(x), 0, LEVELS - 1).astype(int).ravel(), minlength=LEVELS) for x in (one, other)
    ]
    return float(0.5 * np.abs(counts[0] / one.size - counts[1] / other.size).sum())
