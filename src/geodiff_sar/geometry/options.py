"""Settings of the ray tracer: rays, bounces, ground and surfaces."""

from pydantic import Field

from geodiff_sar.core.config import Options


class GroundOptions(Options):
    """The infinite flat ground at z = 0: it reflects rays, with Fresnel's coefficients."""

    enabled: bool = Field(default=True, description="false: target in free space")
    permittivity: float = Field(
        default=5.0, gt=1, description="real part of the relative permittivity; concrete about 5"
    )
    loss: float = Field(default=0.3, ge=0, description="imaginary part, positive for losses")
    roughness_m: float = Field(default=0.001, ge=0, description="rms height, m; lowers the coherent reflection")
    metal: bool = Field(default=False, description="perfectly conducting ground in place of the dielectric")


class SurfaceOptions(Options):
    """The target's skin: a perfect conductor, optionally rough."""

    roughness_m: float = Field(default=0.0, ge=0, description="rms height, m; lowers the coherent part")
    rms_slope: float = Field(
        default=0.0, ge=0, le=1, description="rms slope of the roughness; above 0 adds Kirchhoff scattering, incoherent"
    )
    diffuse: float = Field(
        default=0.0, ge=0, le=1, description="Lambert coefficient rho: sigma0 = 4 rho cos^2, incoherent"
    )
    diffuse_cross: float = Field(
        default=0.3, ge=0, le=1, description="cross-polar over co-polar amplitude of the diffuse part"
    )


class TraceOptions(Options):
    """How a pose is traced."""

    rays: int = Field(
        default=1_000_000, ge=1000, le=100_000_000, description="rays in the regular grid over target and mirror image"
    )
    spacing_m: float | None = Field(default=None, gt=0, description="distance of the rays, m, in place of their number")
    max_bounces: int = Field(default=3, ge=1, le=16, description="reflections on a path, those on the ground included")
    prune: float = Field(
        default=1e-3, ge=0, lt=1, description="hits weaker than this share of a tube seen face-on are left out"
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="of the phases of incoherent scattering")
    ground: GroundOptions = GroundOptions()
    surface: SurfaceOptions = SurfaceOptions()
