"""The radar and the pixel grid of its chips: presets, checks, derived resolutions."""

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from geodiff_sar.core.config import Options, apply_overrides, parse_options, read_toml
from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.types import POLARISATIONS, SPEED_OF_LIGHT_M_S, RadarParams

MAX_PIXELS = 16_777_216

Polarisation = Literal["HH", "HV", "VH", "VV"]
GreyLevel = Annotated[float, Field(gt=0, le=128)]
NoiseLevel = Annotated[float, Field(ge=-80, le=20)]


def _none(value: Any) -> Any:
    return None if isinstance(value, str) and value.strip().lower() == "none" else value


NoneInToml = BeforeValidator(_none)
"""TOML has no null: the text "none" switches an optional value off."""


class RadarOptions(Options):
    """A radar, the grid of its chips, and what it sees besides the target.

    Rows are cross-range, growing along the cross-range axis; columns are slant range, near range on the left. The
    scene centre lies at pixel (rows // 2, columns // 2).
    """

    band: str = Field(default="Ku", pattern=r"^\w{1,8}$", description="name of the band in captions")
    resolution_name: str = Field(default="High", pattern="^(High|Low)$", description="High or Low, in captions")
    center_frequency_hz: float = Field(default=15.2e9, ge=1e8, le=3e11, description="carrier frequency, Hz")
    bandwidth_hz: float = Field(default=1.08e9, gt=0, description="bandwidth, Hz; slant-range resolution is c / (2 B)")
    azimuth_aperture_deg: float = Field(
        default=5.88, gt=0, le=30, description="aperture; cross-range resolution is lambda / (4 sin(aperture / 2))"
    )
    rows: int = Field(default=282, ge=8, le=8192, description="pixels in cross-range")
    columns: int = Field(default=194, ge=8, le=8192, description="pixels in slant range")
    pixel_cross_range_m: float = Field(default=0.080, gt=0, description="m, at most the resolution")
    pixel_range_m: float = Field(default=0.117, gt=0, description="m of slant range, at most the resolution")
    sidelobe_db: float = Field(default=35.0, ge=20, le=80, description="Taylor window: sidelobes below the peak, dB")
    taylor_nbar: int = Field(default=5, ge=2, le=20, description="Taylor window: sidelobes of equal height")
    sigma0_db: float = Field(
        default=-26.0, ge=-60, le=20, description="backscatter of the ground per m^2, co-polar, dB"
    )
    cross_polar_db: float = Field(default=-7.0, ge=-40, le=0, description="cross-polar over co-polar backscatter, dB")
    texture_shape: Annotated[float | None, NoneInToml] = Field(
        default=8.0,
        gt=0.2,
        le=1e6,
        description="shape of the K-distributed clutter; None: no texture (Rayleigh amplitude)",
    )
    texture_length_m: float = Field(
        default=1.5, gt=0, le=1000, description="correlation length of the texture, m of ground"
    )
    nesz_db: float = Field(default=-34.0, ge=-80, le=20, description="noise-equivalent sigma0, dB")
    nesz_by_polarisation: dict[Polarisation, NoiseLevel] = Field(
        default={}, description="nesz_db of single polarisations, in place of the common one, dB"
    )
    phase_error_deg: float = Field(
        default=0.0,
        ge=0,
        le=60,
        description="rms phase error along the aperture, fast vibration: streaks in cross-range",
    )
    background_grey: float = Field(
        default=5.0, gt=0, le=128, description="grey level of the median background amplitude, which sets the gain"
    )
    grey_by_polarisation: dict[Polarisation, GreyLevel] = Field(
        default={}, description="background_grey of single polarisations, such as HV = 8.0, in place of the common one"
    )
    cross_talk_db: Annotated[float | None, NoneInToml] = Field(
        default=None, ge=-60, le=0, description="HH and VV that leak into each cross-polar channel, dB; None: none"
    )
    cross_talk_phase_deg: float = Field(
        default=90.0,
        ge=0,
        le=180,
        description="phase between the leaks of HH and VV; 90: powers add, 0: single reflections gain 3 dB, 180: double ones",
    )
    joint_spacing_m: Annotated[float | None, NoneInToml] = Field(
        default=None, gt=0.1, description="distance of slab joints on the ground, m; None: no slabs"
    )
    joint_gap_m: float = Field(default=0.0, ge=0, description="distance of the two edges of a joint, m; 0: one edge")
    joint_db: float = Field(
        default=10.0, ge=-40, le=60, description="median scattering of a joint's edge over that of the clutter, HH, dB"
    )
    joint_vv_db: float = Field(default=-8.0, ge=-60, le=20, description="a joint's edge in VV over that in HH, dB")

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    @property
    def wavelength_m(self) -> float:
        """Carrier wavelength, m."""
        return SPEED_OF_LIGHT_M_S / self.center_frequency_hz

    def noise_db(self, polarisation: str) -> float:
        """Noise-equivalent sigma0 of a polarisation, dB."""
        return {str(name): level for name, level in self.nesz_by_polarisation.items()}.get(polarisation, self.nesz_db)

    def grey_level(self, polarisation: str) -> float:
        """Grey level of the median background of a polarisation."""
        own = {str(name): level for name, level in self.grey_by_polarisation.items()}
        return own.get(polarisation, self.background_grey)

    def params(self, polarisation: str = "HH") -> RadarParams:
        """The radar as it is recorded in a prior."""
        return RadarParams(self.center_frequency_hz, self.bandwidth_hz, self.azimuth_aperture_deg, polarisation)

    def checked(self) -> "RadarOptions":
        """Itself, after the rules that join several fields.

        Raises:
            OptionError: a pixel larger than the resolution, a bandwidth beyond the carrier, too many pixels.
        """
        params = self.params()
        pairs = (
            ("pixel_range_m", self.pixel_range_m, params.range_resolution_m, "raise the bandwidth"),
            ("pixel_cross_range_m", self.pixel_cross_range_m, params.cross_range_resolution_m, "widen the aperture"),
        )
        if self.bandwidth_hz > self.center_frequency_hz:
            raise OptionError(
                "radar.bandwidth_hz",
                f"{self.bandwidth_hz:.4g} Hz at a carrier of {self.center_frequency_hz:.4g} Hz",
                "the bandwidth is at most the carrier frequency",
                "give both in Hz",
            )
        for name, pixel, resolution, remedy in pairs:
            if pixel > resolution * (1 + 1e-9):
                raise OptionError(
                    f"radar.{name}",
                    f"{pixel:.4g} m at a resolution of {resolution:.4g} m",
                    "a pixel is at most one resolution cell, else the spectrum is cut and sidelobes rise",
                    f"take pixels of {resolution / 1.2:.3g} m, or {remedy}",
                )
            if resolution > 40 * pixel:
                raise OptionError(
                    f"radar.{name}",
                    f"{pixel:.4g} m at a resolution of {resolution:.4g} m",
                    "at most 40 pixels per resolution cell",
                    "use larger pixels",
                )
        if self.rows * self.columns > MAX_PIXELS:
            raise OptionError(
                "radar.rows, radar.columns",
                f"{self.rows} x {self.columns}",
                f"at most {MAX_PIXELS} pixels",
                "lower them",
            )
        return self


PRESETS = {
    # cross-range pixel: wing lines of the ten published chips against the aircraft's spans; range pixel: docs/real_chips.md
    "uav-ku": RadarOptions(),
    # 0.591 GHz gives c / 2B = 0.2536 m; the Taylor window widens it to the stated 0.30 m
    "mstar-x": RadarOptions(
        band="X",
        center_frequency_hz=9.6e9,
        bandwidth_hz=0.591e9,
        azimuth_aperture_deg=3.529,
        rows=128,
        columns=128,
        pixel_cross_range_m=0.203,
        pixel_range_m=0.202,
        sigma0_db=-13.0,
        texture_shape=6.0,
        texture_length_m=2.0,
        nesz_db=-30.0,
        background_grey=20.0,
    ),
    # 128 x 128 pixels of 0.18 m hold an aircraft and its shadow: the chips of the embedded base model
    "compact-ku": RadarOptions(
        bandwidth_hz=0.71e9,
        azimuth_aperture_deg=2.68,
        rows=128,
        columns=128,
        pixel_cross_range_m=0.18,
        pixel_range_m=0.18,
        background_grey=8.0,
    ),
    "compact-x": RadarOptions(
        band="X",
        center_frequency_hz=9.6e9,
        bandwidth_hz=0.71e9,
        azimuth_aperture_deg=4.24,
        rows=128,
        columns=128,
        pixel_cross_range_m=0.18,
        pixel_range_m=0.18,
        background_grey=8.0,
    ),
}


def load_radar(name: str, overrides: list[str] | None = None) -> RadarOptions:
    """A preset by its name, or a TOML file, with ``key=value`` overrides; checked.

    Raises:
        OptionError: unknown preset or key, or values that do not fit together.
    """
    if name in PRESETS:
        data = PRESETS[name].model_dump()
    elif name.endswith(".toml"):
        data = read_toml(Path(name), "--radar")
    else:
        raise OptionError(
            "--radar", repr(name), f"a preset ({', '.join(PRESETS)}) or a .toml file", "choose one of these"
        )
    texts = overrides or []
    source = f"--radar {name}" + (" with --radar-set" if texts else "")
    return parse_options(RadarOptions, apply_overrides(data, texts, "--radar-set"), source).checked()


def require_polarisation(name: str, option: str = "polarisation") -> str:
    """The polarisation if it is one; an OptionError otherwise."""
    if name not in POLARISATIONS:
        raise OptionError(option, repr(name), f"one of {', '.join(POLARISATIONS)}", "choose one of these")
    return name


def pixel_coordinates(radar: RadarOptions) -> tuple[np.ndarray, np.ndarray]:
    """Cross-range of every row and slant range of every column, m, relative to the scene centre."""
    return (
        (np.arange(radar.rows) - radar.rows // 2) * radar.pixel_cross_range_m,
        (np.arange(radar.columns) - radar.columns // 2) * radar.pixel_range_m,
    )
