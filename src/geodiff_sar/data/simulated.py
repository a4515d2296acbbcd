"""Chips and point clouds simulated from closed-form scattering centres, for the embedded base model and the demo.

Image formation: every centre is deposited at slant range ``r = -u.p`` and cross-range ``a.p`` with phase
``exp(-j 4 pi r / lambda)``; the spectrum is cut to the resolution by a Taylor-like (Hann-power) window; K-distributed
clutter, a shadow and receiver noise are added; amplitude is scaled to 8 bits. Rows are cross-range (downwards), columns are
slant range (near range left).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from geodiff_sar.core.console import progress_bar
from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.files import atomic_path, atomic_write_text
from geodiff_sar.core.types import POLARISATIONS, SPEED_OF_LIGHT_M_S, GeometryPrior, Pose
from geodiff_sar.data.caption import Caption
from geodiff_sar.data.features import save_features
from geodiff_sar.data.scattering_centres import AIRFRAMES, Centres, build_centres

BAND_FREQUENCY_HZ = {"X": 9.6e9, "Ku": 15.2e9}
PIXEL_M = 0.18


@dataclass(frozen=True)
class SimulatedChip:
    """A simulated chip with its truth.

    Attributes:
        amplitude: (H, W) grey levels 0..255 as float32.
        caption: what it shows.
        pose: how it was seen.
        prior: (N, 64) features and (N, 3) coordinates: slant range, cross-range, height, m.
    """

    amplitude: Float[np.ndarray, "height width"]
    caption: Caption
    pose: Pose
    prior: GeometryPrior


def simulate_chip(
    target: str,
    pose: Pose,
    band: str = "Ku",
    polarisation: str = "HH",
    resolution: str = "High",
    seed: int = 0,
    size: int = 128,
) -> SimulatedChip:
    """Simulate one chip; the same arguments give the same bits.

    Args:
        target: a key of AIRFRAMES.
        pose: azimuth and depression, degrees; the depression must be known.
        band: "X" or "Ku".
        polarisation: HH, HV, VH or VV.
        resolution: "High" (0.18 m) or "Low" (0.36 m on the same pixel grid).
        seed: of clutter, noise and gain.
        size: pixels per side.
    """
    if pose.depression_deg is None:
        raise OptionError("depression", "not given", "a simulated chip needs one", "give the depression in degrees")
    if band not in BAND_FREQUENCY_HZ:
        raise OptionError("band", repr(band), f"one of {', '.join(BAND_FREQUENCY_HZ)}", "choose one of these")
    rng = np.random.default_rng([seed, 20_251])
    centres = build_centres(target)
    slant, cross, _toward = radar_frame(centres.position, pose)
    amplitude = visible_amplitude(centres, pose, polarisation)
    phase = 4 * np.pi * slant * BAND_FREQUENCY_HZ[band] / SPEED_OF_LIGHT_M_S
    response = _system_response(size, 1.0 if resolution == "High" else 0.5)
    target_image = _filter(_deposit(slant, cross, amplitude * np.exp(-1j * phase), size), response, size)
    lit = ~shadow_mask(centres, pose, size)
    smooth = _filter(rng.gamma(4.0, 0.25, (size, size)), _system_response(size, 0.25), size)
    texture = np.maximum(np.real(smooth), 0.1)
    clutter = _noise(rng, size) * np.sqrt(texture) * lit
    level = rng.uniform(0.8, 1.3) * (1.3 if polarisation in ("HV", "VH") else 1.0)
    background = _filter(clutter, response, size) * level + _noise(rng, size) * 0.3
    picture = np.abs(target_image * 320.0 + background * 7.0)
    grey = np.round(picture).clip(0, 255).astype(np.float32)
    caption = Caption(target, band, resolution, polarisation, round(pose.azimuth_deg, 1) % 360.0)
    return SimulatedChip(grey, caption, pose, point_cloud(centres, pose, amplitude, target))


def radar_frame(
    position: Float[np.ndarray, "point 3"], pose: Pose
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"], Float[np.ndarray, "3"]]:
    """Slant range relative to the scene centre, cross-range (both m) and the unit vector from target to radar."""
    azimuth, depression = np.radians(pose.azimuth_deg), np.radians(pose.depression_deg or 0.0)
    toward = np.array([np.cos(depression) * np.cos(azimuth), -np.cos(depression) * np.sin(azimuth), np.sin(depression)])
    across = np.array([np.sin(azimuth), np.cos(azimuth), 0.0])
    return -position @ toward, position @ across, toward


def visible_amplitude(centres: Centres, pose: Pose, polarisation: str) -> Float[np.ndarray, " point"]:
    """Amplitude of each centre at this pose: a Gaussian lobe about its bright direction over a constant floor."""
    azimuth = np.radians(pose.azimuth_deg)
    away = np.angle(np.exp(1j * (azimuth - centres.facing_rad)))
    lobe = centres.floor + (1 - centres.floor) * np.exp(-((away / centres.lobe_rad) ** 2))
    hidden = np.where(np.abs(away) > 2.2, 0.5, 1.0)
    cross_polar = polarisation in ("HV", "VH")
    gain = np.where(centres.order == 1, 0.6, 1.0) if cross_polar else np.ones(len(away))
    return centres.amplitude * lobe * hidden * gain


def shadow_mask(centres: Centres, pose: Pose, size: int) -> Bool[np.ndarray, "height width"]:
    """True where the body hides the ground from the radar: each surface point shades the ground behind it."""
    depression, azimuth = np.radians(pose.depression_deg or 0.0), np.radians(pose.azimuth_deg)
    away = np.array([-np.cos(azimuth), np.sin(azimuth)])
    ground = centres.surface.copy()
    ground[:, :2] += away * (centres.surface[:, 2:] / np.tan(depression))
    ground[:, 2] = 0.0
    slant, cross, _ = radar_frame(ground, pose)
    columns = np.floor(slant / PIXEL_M + size / 2).astype(int)
    rows = np.floor(cross / PIXEL_M + size / 2).astype(int)
    inside = (columns >= 0) & (columns < size) & (rows >= 0) & (rows < size)
    mask = np.zeros((size, size), dtype=bool)
    mask[rows[inside], columns[inside]] = True
    return mask


def point_cloud(centres: Centres, pose: Pose, amplitude: Float[np.ndarray, " point"], target: str) -> GeometryPrior:
    """SAR point cloud of the 192 strongest centres: (N, 64) features, coordinates (slant range, cross-range, height), m.

    Feature channels: 0-2 coordinates / 8 m; 3-38 sine and cosine of the coordinates at six octaves from 2 pi / 16 m;
    39 level in dB / 20; 40-42 bounce order one-hot; 43-45 body position / 8 m; 46 lobe width / pi; 47 floor;
    48-55 sine and cosine of 1..4 times the angle from the bright direction; 56-63 level in eight 5 dB steps.
    """
    strongest = np.argsort(-amplitude, kind="stable")[:192]
    position, level = centres.position[strongest], 20 * np.log10(amplitude[strongest] + 1e-6)
    slant, cross, _ = radar_frame(position, pose)
    coordinates = np.column_stack([slant, cross, position[:, 2]])
    waves = (coordinates[:, :, None] * (2 * np.pi / 16.0) * 2.0 ** np.arange(6)).reshape(len(position), -1)
    away = np.radians(pose.azimuth_deg) - centres.facing_rad[strongest]
    angles = away[:, None] * np.arange(1, 5)
    steps = np.clip((level[:, None] - np.arange(-30, 10, 5)) / 5.0, 0.0, 1.0)
    features = np.column_stack(
        [
            coordinates / 8.0,
            np.sin(waves),
            np.cos(waves),
            level / 20.0,
            centres.order[strongest, None] == np.arange(1, 4),
            position / 8.0,
            np.minimum(centres.lobe_rad[strongest], np.pi) / np.pi,
            centres.floor[strongest],
            np.sin(angles),
            np.cos(angles),
            steps,
        ]
    )
    return GeometryPrior(
        features.astype(np.float32),
        coordinates.astype(np.float32),
        pose=pose,
        provenance={"engine": "closed-form scattering centres", "target": target, "text_label": target},
    )


def random_chips(
    count: int, seed: int, size: int = 128, targets: tuple[str, ...] = tuple(AIRFRAMES)
) -> list[SimulatedChip]:
    """``count`` chips with random target, azimuth, depression (25..45 degrees), band, polarisation and resolution."""
    rng = np.random.default_rng([seed, 7])
    chips = []
    for index in range(count):
        pose = Pose(round(float(rng.uniform(0, 359.9)), 1), round(float(rng.uniform(25, 45)), 1))
        resolution = "High" if rng.random() < 0.8 else "Low"
        chips.append(
            simulate_chip(
                targets[index % len(targets)],
                pose,
                str(rng.choice(["X", "Ku"])),
                str(rng.choice(POLARISATIONS)),
                resolution,
                seed=seed * 1_000_003 + index,
                size=size,
            )
        )
    return chips


def write_chips(root: Path, chips: list[SimulatedChip]) -> None:
    """Write chips as a data set: ``metadata.jsonl``, ``chips/<id>.png`` and ``3d_features/<id>.safetensors``."""
    lines = []
    with progress_bar() as bar:
        task = bar.add_task("writing chips", total=len(chips), note="")
        for index, chip in enumerate(chips, start=1):
            with atomic_path(root / "chips" / f"{index}.png") as path:
                Image.fromarray(chip.amplitude.astype(np.uint8)).save(path)
            save_features(root / "3d_features" / f"{index}.safetensors", chip.prior)
            row = {
                "id": str(index),
                "file_name": f"chips/{index}.png",
                "text": str(chip.caption),
                "azimuth": chip.pose.azimuth_deg,
                "depression": chip.pose.depression_deg,
                "features": f"3d_features/{index}.safetensors",
            }
            lines.append(json.dumps(row))
            bar.advance(task)
    atomic_write_text(root / "metadata.jsonl", "\n".join(lines) + "\n")


def _deposit(
    slant: Float[np.ndarray, " point"], cross: Float[np.ndarray, " point"], field: np.ndarray, size: int
) -> np.ndarray:
    fine = 2 * size
    column, row = slant / PIXEL_M * 2 + fine / 2, cross / PIXEL_M * 2 + fine / 2
    left, top = np.floor(column).astype(int), np.floor(row).astype(int)
    grid = np.zeros((fine, fine), dtype=np.complex128)
    for down in (0, 1):
        for right in (0, 1):
            weight = np.abs(1 - down - (row - top)) * np.abs(1 - right - (column - left))
            y, x = top + down, left + right
            inside = (x >= 0) & (x < fine) & (y >= 0) & (y < fine)
            np.add.at(grid, (y[inside], x[inside]), (field * weight)[inside])
    return grid


def _system_response(size: int, share: float) -> np.ndarray:
    frequency = np.fft.fftfreq(size) / (0.5 * share)
    window = np.where(np.abs(frequency) < 1, 0.08 + 0.92 * np.cos(np.pi / 2 * np.clip(frequency, -1, 1)) ** 2, 0.0)
    response = np.outer(window, window)
    return response * np.sqrt(size * size / np.sum(response**2)) * share


def _filter(field: np.ndarray, response: np.ndarray, size: int) -> np.ndarray:
    spectrum = np.fft.fft2(field)
    if field.shape[0] != size:  # cutting the spectrum of the fine grid decimates it to the pixel grid
        half = size // 2
        keep = np.r_[0:half, field.shape[0] - half : field.shape[0]]
        spectrum = spectrum[np.ix_(keep, keep)] / 2.0
    return np.fft.ifft2(spectrum * response)


def _noise(rng: np.random.Generator, size: int) -> np.ndarray:
    return (rng.standard_normal((size, size)) + 1j * rng.standard_normal((size, size))) / np.sqrt(2)
