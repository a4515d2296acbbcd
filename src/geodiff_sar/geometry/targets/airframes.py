"""Dimensions of the four aircraft of the published chips; sources in docs/targets.md.

A station is a distance behind the foremost point, in metres; y is to port, z above the ground the wheels stand on.
Span, length and height are the table of docs/targets.md; everything else is an estimate from pictures and from the
chips, good to about 5 %.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class BodyStation:
    """A cross-section of a body: place and extent, m."""

    station_m: float
    width_m: float
    bottom_m: float
    top_m: float


@dataclass(frozen=True)
class WingStation:
    """A section of the port half of a wing: spanwise place, leading edge, chord, m; thickness over chord."""

    y_m: float
    station_m: float
    z_m: float
    chord_m: float
    thickness: float = 0.14


@dataclass(frozen=True)
class Engine:
    """A turboprop: spinner tip at ``station_m``, shaft at (``y_m``, ``z_m``)."""

    station_m: float
    y_m: float
    z_m: float
    blades: int
    propeller_diameter_m: float
    spinner_diameter_m: float
    spinner_length_m: float
    exhaust_station_m: float
    exhaust_both_sides: bool


@dataclass(frozen=True)
class Wheel:
    """A wheel (or a pair side by side) and the top of its leg."""

    station_m: float
    y_m: float
    radius_m: float
    width_m: float
    leg_top_m: tuple[float, float, float]
    twin: bool = False


@dataclass(frozen=True)
class Airframe:
    """One aircraft type.

    Attributes:
        name: the name that captions use.
        span_m: wing span, winglets included.
        length_m: foremost to rearmost point.
        height_m: ground to highest point.
        fuselage: cross-sections from nose to tail.
        section_exponent: superellipse of the fuselage: 2 round, larger boxier.
        windscreen: stations of its lower and upper edge.
        sill_m: height of the lower edge of the cockpit windows.
        cabin: stations between which the cabin windows lie.
        windows: number of cabin windows on each side.
        wing: sections of the port half from the middle outwards; the last one is the tip.
        winglet: further sections that turn upwards; empty without winglets.
        fin: (leading edge station, z, chord) from root to top.
        tailplane: sections of the port half.
        engine: the engine on the middle line or the port one of two.
        nacelle: sections of the port nacelle, empty where the engine sits in the nose.
        nose_wheel: nose gear.
        main_wheel: port main gear.
        strut: port wing strut: (station, y, z) of the lower and the upper end, or empty.
        pod: cross-sections of a cargo pod under the fuselage, or empty.
        flap_fairings: y of the flap-track fairings of the port half.
        radar_pod: a weather radar pod on the starboard wing.
    """

    name: str
    span_m: float
    length_m: float
    height_m: float
    fuselage: tuple[BodyStation, ...]
    section_exponent: float
    windscreen: tuple[float, float]
    sill_m: float
    cabin: tuple[float, float]
    windows: int
    wing: tuple[WingStation, ...]
    winglet: tuple[WingStation, ...]
    fin: tuple[tuple[float, float, float], ...]
    tailplane: tuple[WingStation, ...]
    engine: Engine
    nacelle: tuple[BodyStation, ...]
    nose_wheel: Wheel
    main_wheel: Wheel
    strut: tuple[tuple[float, float, float], ...]
    pod: tuple[BodyStation, ...]
    flap_fairings: tuple[float, ...]
    radar_pod: bool

    @property
    def twin(self) -> bool:
        """Two engines in nacelles instead of one in the nose."""
        return bool(self.nacelle)

    @property
    def high_wing(self) -> bool:
        """The wing lies above the cockpit windows' lower edge."""
        return self.wing[0].z_m > self.sill_m

    @property
    def retractable_gear(self) -> bool:
        """The wheels fold into the wing: true of the low-wing types."""
        return not self.high_wing


CESSNA_208 = Airframe(
    name="Cessna 208",
    span_m=15.88,
    length_m=11.46,
    height_m=4.32,
    fuselage=(
        BodyStation(0.42, 0.56, 1.36, 1.94),
        BodyStation(0.60, 0.82, 1.20, 2.06),
        BodyStation(1.10, 1.08, 1.00, 2.12),
        BodyStation(2.10, 1.36, 0.92, 2.16),
        BodyStation(2.30, 1.40, 0.91, 2.20),
        BodyStation(3.00, 1.58, 0.89, 2.60),
        BodyStation(3.40, 1.62, 0.88, 2.64),
        BodyStation(6.90, 1.62, 0.88, 2.60),
        BodyStation(8.20, 1.28, 1.06, 2.48),
        BodyStation(10.00, 0.62, 1.52, 2.20),
        BodyStation(11.10, 0.22, 1.84, 2.04),
        BodyStation(11.30, 0.06, 1.92, 1.98),
    ),
    section_exponent=3.0,
    windscreen=(2.30, 3.00),
    sill_m=2.02,
    cabin=(3.6, 7.0),
    windows=5,
    wing=(
        WingStation(0.0, 3.52, 2.33, 1.98, 0.17),
        WingStation(1.98, 3.60, 2.44, 1.88, 0.17),
        WingStation(4.36, 3.69, 2.57, 1.69, 0.15),
        WingStation(7.50, 3.82, 2.74, 1.34, 0.12),
        WingStation(7.80, 3.83, 2.756, 1.16, 0.11),
        WingStation(7.94, 3.84, 2.763, 0.90, 0.08),
    ),
    winglet=(),
    fin=((9.45, 2.10, 1.80), (10.40, 3.60, 1.02), (10.66, 4.24, 0.80), (10.78, 4.32, 0.64)),
    tailplane=(
        WingStation(0.0, 9.98, 1.98, 1.24, 0.10),
        WingStation(3.00, 10.12, 1.98, 0.88, 0.09),
        WingStation(3.125, 10.24, 1.98, 0.66, 0.05),
    ),
    engine=Engine(0.0, 0.0, 1.68, 3, 2.69, 0.50, 0.46, 1.35, False),
    nacelle=(),
    nose_wheel=Wheel(1.50, 0.0, 0.28, 0.20, (1.62, 0.0, 1.05)),
    main_wheel=Wheel(5.05, 1.78, 0.33, 0.23, (4.95, 0.55, 0.98)),
    strut=((4.15, 0.74, 1.00), (4.20, 3.40, 2.46)),
    pod=(
        BodyStation(2.20, 0.30, 0.80, 0.95),
        BodyStation(2.60, 0.90, 0.56, 0.98),
        BodyStation(3.30, 1.22, 0.46, 1.00),
        BodyStation(5.60, 1.26, 0.46, 1.00),
        BodyStation(6.70, 1.00, 0.62, 1.02),
        BodyStation(7.40, 0.30, 0.86, 1.02),
    ),
    flap_fairings=(1.55, 2.85, 4.15, 5.35),
    radar_pod=False,
)

KODIAK_100 = Airframe(
    name="Kodiak 100",
    span_m=13.72,
    length_m=10.41,
    height_m=4.65,
    fuselage=(
        BodyStation(0.42, 0.56, 1.38, 1.96),
        BodyStation(0.62, 0.80, 1.22, 2.08),
        BodyStation(1.10, 1.04, 1.02, 2.14),
        BodyStation(1.90, 1.30, 0.92, 2.16),
        BodyStation(2.05, 1.34, 0.91, 2.20),
        BodyStation(2.75, 1.50, 0.88, 2.62),
        BodyStation(3.10, 1.54, 0.87, 2.66),
        BodyStation(6.10, 1.54, 0.87, 2.64),
        BodyStation(7.20, 1.24, 1.12, 2.54),
        BodyStation(8.80, 0.62, 1.62, 2.30),
        BodyStation(9.80, 0.24, 1.92, 2.14),
        BodyStation(10.10, 0.06, 2.00, 2.06),
    ),
    section_exponent=3.4,
    windscreen=(2.05, 2.75),
    sill_m=2.00,
    cabin=(3.3, 6.2),
    windows=4,
    wing=(
        WingStation(0.00, 3.2, 2.43, 1.86, 0.17),
        WingStation(3.60, 3.29, 2.56, 1.76, 0.16),
        WingStation(3.66, 3.24, 2.55, 1.81, 0.16),
        WingStation(6.50, 3.32, 2.67, 1.32, 0.13),
        WingStation(6.75, 3.327, 2.681, 1.14, 0.11),
        WingStation(6.86, 3.33, 2.685, 0.90, 0.08),
    ),
    winglet=(),
    fin=((8.15, 2.18, 2.00), (9.20, 3.90, 1.12), (9.48, 4.57, 0.90), (9.60, 4.65, 0.81)),
    tailplane=(
        WingStation(0.00, 8.45, 2.08, 1.3, 0.1),
        WingStation(2.90, 8.45, 2.08, 1.3, 0.09),
        WingStation(3.00, 8.56, 2.08, 1.1, 0.05),
    ),
    engine=Engine(0.0, 0.0, 1.66, 4, 2.44, 0.50, 0.46, 1.20, False),
    nacelle=(),
    nose_wheel=Wheel(1.40, 0.0, 0.30, 0.22, (1.50, 0.0, 1.03)),
    main_wheel=Wheel(4.75, 1.70, 0.37, 0.26, (4.65, 0.55, 0.96)),
    strut=(),
    pod=(),
    flap_fairings=(1.30, 2.50, 3.70),
    radar_pod=False,
)
