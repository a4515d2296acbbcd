"""Which radars and depressions the priors of a training had, and how another prior differs from them."""

from collections.abc import Iterable

from pydantic import Field

from geodiff_sar.core.config import Options
from geodiff_sar.core.types import GeometryPrior

RADAR_SHARE = 0.01
"""Relative difference of a radar's numbers from which on it is another radar."""

DEPRESSION_DEG = 1.0
"""Degrees beyond the trained depressions from which on a depression is another."""

NUMBERS = {"center_frequency_hz": "centre frequency", "bandwidth_hz": "bandwidth", "azimuth_aperture_deg": "aperture"}


class PriorRadar(Options):
    """Radar of some priors."""

    center_frequency_hz: float = Field(gt=0)
    bandwidth_hz: float = Field(gt=0)
    azimuth_aperture_deg: float = Field(gt=0)
    polarisations: list[str]

    def __str__(self) -> str:
        return (
            f"{self.center_frequency_hz / 1e9:g} GHz, bandwidth {self.bandwidth_hz / 1e6:g} MHz, aperture "
            f"{self.azimuth_aperture_deg:g} degrees, {'/'.join(self.polarisations)}"
        )


class PriorFacts(Options):
    """What an adapter's record keeps of its training priors."""

    radars: list[PriorRadar] = Field(default=[], description="all that occurred; none where the files name none")
    depressions_deg: tuple[float, float] | None = Field(
        default=None, description="least and greatest; None where the files name none"
    )

    def differences(self, prior: GeometryPrior) -> list[str]:
        """What of a prior's radar and depression lies outside the training's, each with both values; nothing where either
        side is unknown."""
        found = []
        if prior.radar is not None and self.radars:
            near = [
                radar
                for radar in self.radars
                if all(abs(getattr(prior.radar, name) / getattr(radar, name) - 1.0) <= RADAR_SHARE for name in NUMBERS)
            ]
            if not any(prior.radar.polarisation in radar.polarisations for radar in near):
                own = PriorRadar(
                    **{name: getattr(prior.radar, name) for name in NUMBERS}, polarisations=[prior.radar.polarisation]
                )
                found.append(f"radar {own}; trained with {' and '.join(str(radar) for radar in self.radars)}")
        depression = prior.pose.depression_deg if prior.pose is not None else None
        if depression is not None and self.depressions_deg is not None:
            low, high = self.depressions_deg
            if not low - DEPRESSION_DEG <= depression <= high + DEPRESSION_DEG:
                trained = f"{low:g}" if low == high else f"{low:g} to {high:g}"
                found.append(f"depression {depression:g} degrees; trained with {trained}")
        return found


def prior_facts(priors: Iterable[GeometryPrior]) -> PriorFacts:
    """Facts of all priors of a training."""
    radars: dict[tuple[float, ...], set[str]] = {}
    depressions = set()
    for prior in priors:
        if prior.radar is not None:
            key = tuple(float(getattr(prior.radar, name)) for name in NUMBERS)
            radars.setdefault(key, set()).add(prior.radar.polarisation)
        if prior.pose is not None and prior.pose.depression_deg is not None:
            depressions.add(float(prior.pose.depression_deg))
    return PriorFacts(
        radars=[
            PriorRadar(**dict(zip(NUMBERS, key, strict=True)), polarisations=sorted(names))
            for key, names in sorted(radars.items())
        ],
        depressions_deg=(min(depressions), max(depressions)) if depressions else None,
    )
