"""Which law clutter follows, and how much texture it has."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from geodiff_sar.evaluation.base import Comparison, Measurement, Metric, Score
from geodiff_sar.evaluation.intervals import wilson
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.radar_values import (
    distance_score,
    join_notes,
    law_note,
    median_score,
    region_note,
    rounded,
)
from geodiff_sar.evaluation.remembered import Remembered, content_key
from geodiff_sar.evaluation.speckle_chips import ClutterChips, clutter_pair
from geodiff_sar.evaluation.speckle_laws import (
    fit_g0,
    fit_k,
    fit_rayleigh,
    kolmogorov_distance,
    mean_log_likelihood,
)

MOST_PIXELS = 4000
"""Pixels of clutter of a chip that are fitted, drawn at random."""

LEAST_PIXELS = 200
NAMES = ("rayleigh", "k", "g0")
PARAMETERS = np.array([1, 2, 2])


@dataclass(frozen=True)
class Fits:
    """One row per chip, laws in the order of NAMES; NaN where a chip has too little clutter.

    Attributes:
        texture: 1 / alpha of K.
        texture_g0: 1 / -alpha of G0.
        distance: Kolmogorov-Smirnov distances.
        likelihood: nats per pixel, of intensity over its mean.
        pixels: fitted.
    """

    texture: Float[np.ndarray, " chip"]
    texture_g0: Float[np.ndarray, " chip"]
    distance: Float[np.ndarray, "chip law"]
    likelihood: Float[np.ndarray, "chip law"]
    pixels: Float[np.ndarray, " chip"]


_FITS: Remembered[Fits] = Remembered(3)


@METRICS.register("clutter_fit")
class ClutterFit(Metric):
    """Rayleigh, K and G0 laws fitted to the clutter of each chip, with goodness of fit.

    Rayleigh amplitude (exponential intensity) by maximum likelihood; K (Jakeman and Pusey 1976) and G0 (Frery et al.
    1997) by the amplitude moments of orders 1/2 and 1 (Frery et al. 1997): what E[A] / E[A^(1/2)]^2 has beyond L-look
    speckle is texture. L is the median number of looks of the reference (at least 1), the same for every row. Texture
    is given as 1 / alpha (G0: 1 / -alpha): 0 is pure speckle, 1 very spiky. Goodness of fit: the Kolmogorov-Smirnov
    distance to each law, the log-likelihood per pixel over that of Rayleigh (nats), and the share of chips for which
    each law has the lowest AIC (2 parameters - 2 log-likelihood).

    Chips: at most 300 of a set, at most 4,000 pixels of clutter of each. Values are medians over chips, to match the real
    half. Distances (lower is better): Wasserstein-1 between the chips' values and those of the reference: of texture, and of
    the distance to Rayleigh.

    Limits: moments are not maximum likelihood, so AIC is slightly unfair to K and G0. With L = 1 and 4,000 pixels,
    1 / alpha below about 0.05 is not told from 0, and pixels are correlated, so that the KS distance has no tabulated
    significance. Whole grey levels are spread over their cells first. Blind to target, class and azimuth; white noise is
    seen by its missing texture alone.
    """

    title: ClassVar[str] = "Law of clutter: Rayleigh, K, G0"
    family: ClassVar = "radar"
    sees: ClassVar[frozenset[str]] = frozenset({"noise"})

    def measure(self, comparison: Comparison) -> Measurement:
        """Scores of one row."""
        own, real = clutter_pair(comparison)
        looks = real.tiles.looks[np.isfinite(real.tiles.looks)]
        if len(looks) == 0:
            nothing = "no chip of the reference has clutter, so that its number of looks is not known"
            return Measurement(
                [Score("k_texture_distance", float("nan"), "1", "lower", 0, note=nothing, headline=True, sees=())]
            )
        looks_used = max(1.0, float(np.median(looks)))
        mine, theirs = (_fits(side, looks_used, comparison.seed) for side in (own, real))
        note = join_notes(f"L = {looks_used:.3g}", law_note(comparison.candidate), region_note(comparison))
        missing = f"fewer than {LEAST_PIXELS} pixels of clutter"
        seed = comparison.seed
        ks = mine.distance[:, 0], theirs.distance[:, 0]
        scores = [
            distance_score("k_texture_distance", "1", mine.texture, theirs.texture, seed, note),
            distance_score("rayleigh_misfit_distance", "1", *ks, seed, note),
            median_score("k_texture", "1", mine.texture, seed, note, missing),
            median_score("g0_texture", "1", mine.texture_g0, seed, note, missing),
        ]
        for place, name in enumerate(NAMES):
            scores.append(median_score(f"ks_{name}", "1", mine.distance[:, place], seed, note, missing))
        for place, name in enumerate(NAMES[1:], start=1):
            gain = mine.likelihood[:, place] - mine.likelihood[:, 0]
            scores.append(median_score(f"log_likelihood_{name}_over_rayleigh", "nat/px", gain, seed, note, missing))
        scores += _preferred(mine, note)
        return Measurement(scores, {"id": list(own.chips.ids), "k_texture": rounded(mine.texture), "looks": looks_used})


def _fits(side: ClutterChips, looks: float, seed: int) -> Fits:
    key = content_key(side.chips, options=("fits", side.regions.estimated, looks, seed))
    return _FITS.get(key, lambda: _fit_all(side, looks, seed))


def _fit_all(side: ClutterChips, looks: float, seed: int) -> Fits:
    rng = np.random.default_rng([seed, 31])
    rows = [_fit(a[inside], looks, rng) for a, inside in zip(side.amplitude, side.regions.clutter, strict=True)]
    table = np.array(rows).reshape(len(rows), 9)
    return Fits(table[:, 0], table[:, 1], table[:, 2:5], table[:, 5:8], table[:, 8])


def _fit(amplitude: Float[np.ndarray, " pixel"], looks: float, rng: np.random.Generator) -> list[float]:
    values = amplitude[amplitude > 0].astype(np.float64)
    if len(values) < LEAST_PIXELS:
        return [float("nan")] * 9
    if len(values) > MOST_PIXELS:
        values = rng.choice(values, MOST_PIXELS, replace=False)
    intensity = values**2 / np.mean(values**2)
    k, g0 = fit_k(intensity, looks), fit_g0(intensity, looks)
    laws = (fit_rayleigh(intensity), k, g0)
    return [
        1.0 / k.shape,
        -1.0 / g0.shape,
        *(kolmogorov_distance(intensity, law) for law in laws),
        *(mean_log_likelihood(intensity, law) for law in laws),
        float(len(values)),
    ]


def _preferred(fits: Fits, note: str) -> list[Score]:
    good = np.isfinite(fits.pixels)
    aic = 2.0 * PARAMETERS - 2.0 * fits.likelihood[good] * fits.pixels[good, None]
    n = int(good.sum())
    if n == 0:
        return []
    best = np.argmin(aic, axis=1)
    scores = []
    for place, name in enumerate(NAMES):
        hits = int((best == place).sum())
        low, high = wilson(hits, n)
        value = 100.0 * hits / n
        scores.append(Score(f"share_best_{name}", value, "%", "match", n, 100 * low, 100 * high, note=note))
    return scores
