"""The four aircraft, put together from their parts."""

from collections.abc import Sequence

import numpy as np

from geodiff_sar.core.errors import OptionError
from geodiff_sar.geometry.targets import fittings, fuselage, lifting, powerplant, undercarriage
from geodiff_sar.geometry.targets.airframes import Airframe
from geodiff_sar.geometry.targets.airframes_low_wing import AIRFRAMES
from geodiff_sar.geometry.targets.basics import mirrored
from geodiff_sar.geometry.triangles import TriangleMesh, merge

ONE_SIDED_PARTS = ("propeller", "exhaust", "door", "radar pod")
"""Parts that the mirror image in y = 0 does not reproduce: propellers turn one way, the others sit on one side."""


def build_aircraft(name: str) -> TriangleMesh:
    """An aircraft standing on its wheels: nose +x, ground z = 0, middle of its plan at x = y = 0.

    Parts overlap and are not joined; glass is left open. All parts but `ONE_SIDED_PARTS` mirror themselves exactly in
    the plane y = 0.

    Args:
        name: a key of ``AIRFRAMES``, as captions write it.

    Raises:
        OptionError: the name is not in the table.
    """
    if name not in AIRFRAMES:
        raise OptionError("target", f"'{name}'", f"one of {', '.join(AIRFRAMES)}", "use a name of this list")
    frame = AIRFRAMES[name]
    halves = [*_port_parts(frame), *(port_half(mesh) for mesh in _middle_parts(frame))]
    port = merge(halves, name)
    whole = merge([port, mirrored(port), *_one_sided_parts(frame)], name)
    low, high = whole.bounds
    return whole.moved((-0.5 * (low[0] + high[0]), 0.0, -low[2]))


def port_half(mesh: TriangleMesh) -> TriangleMesh:
    """The faces with y > 0 of a mesh that has an edge loop on the plane y = 0."""
    vertices = np.where(np.abs(mesh.vertices) < 1e-9, 0.0, mesh.vertices)
    clean = TriangleMesh(vertices, mesh.faces, mesh.part_of_face, mesh.parts, mesh.name)
    return clean.with_faces(clean.corners[:, :, 1].mean(axis=1) > 1e-9)


def _port_parts(frame: Airframe) -> Sequence[TriangleMesh]:
    """Parts that come in pairs, the port ones."""
    parts = [
        lifting.wing(frame),
        lifting.tailplane(frame),
        *lifting.wing_details(frame),
        *lifting.flap_fairings(frame),
        *lifting.strut(frame),
        *fuselage.cockpit(frame),
        fuselage.windows(frame),
        *undercarriage.main_gear(frame),
        *undercarriage.leg_fairing(frame),
        *undercarriage.nose_gear_doors(frame),
        *powerplant.cowl_inlets(frame),
        *fittings.antennas(frame),
        *fittings.symmetric_doors(frame),
        *fittings.ventral_strakes(frame),
    ]
    if frame.twin:
        parts += [powerplant.spinner(frame.engine), powerplant.chin_inlet(frame), *powerplant.nacelle(frame)]
    return parts


def _middle_parts(frame: Airframe) -> Sequence[TriangleMesh]:
    """Parts on the middle line."""
    parts = [
        fuselage.fuselage(frame),
        *lifting.fin(frame),
        *undercarriage.nose_gear(frame),
        *fittings.cargo_pod(frame),
        fittings.beacon(frame),
    ]
    if not frame.twin:
        parts += [powerplant.spinner(frame.engine), powerplant.chin_inlet(frame)]
    return parts


def _one_sided_parts(frame: Airframe) -> Sequence[TriangleMesh]:
    """Parts without a mirror image, and the exhausts."""
    parts = [*fittings.entry_door(frame), *fittings.radar_pod(frame), powerplant.propeller(frame.engine)]
    stacks = [powerplant.exhaust(frame, -1)]
    if frame.engine.exhaust_both_sides:
        stacks.append(powerplant.exhaust(frame, 1))
    parts += stacks
    if frame.twin:
        across = 2 * frame.engine.y_m
        parts.append(powerplant.propeller(frame.engine).moved((0.0, -across, 0.0)))
        parts += [mirrored(stack) for stack in stacks]
    return parts
