"""Laws of clutter intensity: Rayleigh amplitude, K and G0; fits and how well they fit.

Intensity I = A^2 of L looks, mean mu:

- Rayleigh amplitude: I is exponential (one parameter, by maximum likelihood).
- K (Jakeman and Pusey 1976): Gamma speckle times Gamma texture of shape alpha.
- G0 (Frery, Mueller, Yanasse and Sant'Anna 1997): Gamma speckle times inverse Gamma texture, shape alpha < 0, scale gamma.

K and G0 are fitted by the amplitude moments of orders 1/2 and 1, as Frery et al. do (their section III-C). The moments of
their two factors multiply, so that q = E[A] / E[A^(1/2)]^2 is

    q = g(L) g(alpha) for K, q = g(L) h(-alpha) for G0,
    g(x) = Gamma(x + 1/2) Gamma(x) / Gamma(x + 1/4)^2, h(x) = Gamma(x - 1/2) Gamma(x) / Gamma(x - 1/4)^2.

Low orders are chosen because chips come in whole grey levels, with clutter of a few levels: log-cumulants hang on the
darkest pixels, which are wrong there, and moments of intensity on the brightest, among which are sidelobes of the target.
Clutter that varies less than L-look speckle has no texture: the shape is held at 1e4.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy import optimize, special

MOST_SHAPE, LEAST_SHAPE, LEAST_SHAPE_G0 = 1e4, 0.05, 0.55
GRID = np.linspace(-16.0, 9.0, 1501)
"""ln(I / mean) on which the K law is summed."""


@dataclass(frozen=True)
class RayleighLaw:
    """Exponential intensity of this mean."""

    name: ClassVar[str] = "rayleigh"
    mean: float

    def log_density(self, intensity: Float[np.ndarray, " pixel"]) -> Float[np.ndarray, " pixel"]:
        """ln p(I)."""
        return -intensity / self.mean - np.log(self.mean)

    def cumulative(self, intensity: Float[np.ndarray, " pixel"]) -> Float[np.ndarray, " pixel"]:
        """P(I <= value)."""
        return -np.expm1(-intensity / self.mean)


@dataclass(frozen=True)
class KLaw:
    """K-distributed intensity: ``shape`` alpha > 0, mean, looks."""

    name: ClassVar[str] = "k"
    shape: float
    mean: float
    looks: float

    def log_density(self, intensity: Float[np.ndarray, " pixel"]) -> Float[np.ndarray, " pixel"]:
        """ln p(I), with z = 2 sqrt(L alpha I / mean):

        p = 2 (L alpha / mean)^((L + alpha) / 2) I^((L + alpha) / 2 - 1) K_(alpha - L)(z) / (Gamma(L) Gamma(alpha)).
        """
        if self.shape >= MOST_SHAPE:  # the limit: Gamma speckle without texture
            rate = self.looks / self.mean
            return (
                self.looks * np.log(rate)
                + (self.looks - 1.0) * np.log(intensity)
                - rate * intensity
                - special.gammaln(self.looks)
            )
        both = self.looks + self.shape
        rate = self.looks * self.shape / self.mean
        z = 2.0 * np.sqrt(rate * intensity)
        bessel = _log_kv(abs(self.shape - self.looks), z)
        power = 0.5 * both * np.log(rate) + (0.5 * both - 1.0) * np.log(intensity)
        return np.log(2.0) + power + bessel - special.gammaln(self.looks) - special.gammaln(self.shape)

    def cumulative(self, intensity: Float[np.ndarray, " pixel"]) -> Float[np.ndarray, " pixel"]:
        """P(I <= value), by the trapezoidal rule on a grid of ln I."""
        density = np.exp(self.log_density(self.mean * np.exp(GRID)) + GRID) * self.mean
        total = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * (GRID[1] - GRID[0]))])
        # what lies under the grid: there ln p is linear in ln I, with slope min(L, alpha)
        total += density[0] / min(self.looks, self.shape)
        return np.interp(np.log(intensity / self.mean), GRID, total / total[-1])


@dataclass(frozen=True)
class G0Law:
    """G0-distributed intensity: ``shape`` alpha < 0, ``scale`` gamma, looks."""

    name: ClassVar[str] = "g0"
    shape: float
    scale: float
    looks: float

    def log_density(self, intensity: Float[np.ndarray, " pixel"]) -> Float[np.ndarray, " pixel"]:
        """ln p(I); p = L^L Gamma(L - alpha) I^(L - 1) (gamma + L I)^(alpha - L) / (gamma^alpha Gamma(-alpha) Gamma(L))."""
        looks, alpha = self.looks, self.shape
        constant = looks * np.log(looks) + special.gammaln(looks - alpha) - special.gammaln(-alpha)
        constant += -special.gammaln(looks) - looks * np.log(self.scale)
        tail = (alpha - looks) * np.log1p(looks * intensity / self.scale)
        return constant + (looks - 1.0) * np.log(intensity) + tail

    def cumulative(self, intensity: Float[np.ndarray, " pixel"]) -> Float[np.ndarray, " pixel"]:
        """P(I <= value), a regularised incomplete beta function."""
        share = self.looks * intensity / (self.scale + self.looks * intensity)
        return special.betainc(self.looks, -self.shape, share)


Law = RayleighLaw | KLaw | G0Law


def fit_rayleigh(intensity: Float[np.ndarray, " pixel"]) -> RayleighLaw:
    """Maximum likelihood."""
    return RayleighLaw(float(intensity.mean()))


def fit_k(intensity: Float[np.ndarray, " pixel"], looks: float) -> KLaw:
    """Amplitude moments of orders 1/2 and 1."""
    mean, ratio = _amplitude_moments(intensity)
    shape = _shape_of(ratio - _log_ratio_k(looks), _log_ratio_k, LEAST_SHAPE)
    # E[A] = sqrt(mu / (L alpha)) Gamma(L + 1/2) Gamma(alpha + 1/2) / (Gamma(L) Gamma(alpha))
    root = mean * np.sqrt(looks * shape) * special.poch(looks, 0.5) ** -1 * special.poch(shape, 0.5) ** -1
    return KLaw(shape, float(root**2), looks)


def fit_g0(intensity: Float[np.ndarray, " pixel"], looks: float) -> G0Law:
    """Amplitude moments of orders 1/2 and 1."""
    mean, ratio = _amplitude_moments(intensity)
    shape = _shape_of(ratio - _log_ratio_k(looks), _log_ratio_g0, LEAST_SHAPE_G0)
    # E[A] = sqrt(gamma / L) Gamma(L + 1/2) Gamma(-alpha - 1/2) / (Gamma(L) Gamma(-alpha))
    root = mean * np.sqrt(looks) / special.poch(looks, 0.5) * special.poch(shape - 0.5, 0.5)
    return G0Law(-shape, float(root**2), looks)


def kolmogorov_distance(intensity: Float[np.ndarray, " pixel"], law: Law) -> float:
    """Largest difference between the empirical and the law's distribution function.

    Neighbouring pixels of a SAR image are correlated, so that tabulated significance does not apply.
    """
    ordered = np.sort(intensity)
    model = law.cumulative(ordered)
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return float(max(np.abs(model - steps[:-1]).max(), np.abs(model - steps[1:]).max()))


def mean_log_likelihood(intensity: Float[np.ndarray, " pixel"], law: Law) -> float:
    """Nats per pixel."""
    return float(law.log_density(intensity).mean())


def _amplitude_moments(intensity: Float[np.ndarray, " pixel"]) -> tuple[float, float]:
    """E[A], and ln(E[A] / E[A^(1/2)]^2)."""
    amplitude = np.sqrt(intensity)
    mean, half = float(amplitude.mean()), float(np.sqrt(amplitude).mean())
    return mean, float(np.log(mean / half**2))


def _log_ratio_k(shape: float) -> float:
    return float(special.gammaln(shape + 0.5) + special.gammaln(shape) - 2.0 * special.gammaln(shape + 0.25))


def _log_ratio_g0(shape: float) -> float:
    return float(special.gammaln(shape - 0.5) + special.gammaln(shape) - 2.0 * special.gammaln(shape - 0.25))


def _shape_of(beyond: float, log_ratio: Callable[[float], float], least: float) -> float:
    """The shape whose texture explains ``beyond``, within its limits; the ratio falls with the shape."""
    if beyond <= log_ratio(MOST_SHAPE):
        return MOST_SHAPE
    if beyond >= log_ratio(least):
        return least
    root = optimize.brentq(lambda s: log_ratio(float(np.exp(s))) - beyond, np.log(least), np.log(MOST_SHAPE))
    return float(np.exp(np.asarray(root)))


def _log_kv(order: float, z: Float[np.ndarray, " pixel"]) -> Float[np.ndarray, " pixel"]:
    """ln K_order(z); by the uniform expansion (DLMF 10.41.4, first correction) where the function itself overflows."""
    with np.errstate(over="ignore", divide="ignore"):
        direct = np.log(special.kve(order, z)) - z
    if np.isfinite(direct).all():
        return direct
    t = z / order
    root = np.sqrt(1.0 + t * t)
    eta = root + np.log(t / (1.0 + root))
    p = 1.0 / root
    correction = np.log1p(-(3.0 * p - 5.0 * p**3) / (24.0 * order))
    uniform = 0.5 * np.log(np.pi / (2.0 * order)) - order * eta - 0.5 * np.log(root) + correction
    return np.where(np.isfinite(direct), direct, uniform)
