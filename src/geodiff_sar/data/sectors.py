"""Angles on a circle of azimuths, degrees."""


def in_sector(azimuth_deg: float, sector: tuple[float, float]) -> bool:
    """Whether an azimuth lies in [start, end), going clockwise; a sector may pass through 360."""
    start, end = sector
    return (azimuth_deg - start) % 360.0 < ((end - start) % 360.0 or 360.0)


def wrapped(azimuth_deg: float) -> float:
    """The same direction in [0, 360), rounded to the three decimals that a caption prints."""
    return round(azimuth_deg % 360.0, 3) % 360.0
