"""The default engine: one numba kernel that follows every ray tube and records what the radar receives.

Shooting and bouncing rays with vector physical optics on every tube (Ling, Chou and Lee 1989), a four-path ground,
and rasterised first hits. docs/method.md has the equations; names below follow it.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import no_type_check

import numpy as np

from geodiff_sar.geometry.bvh import STACK_SIZE, cast
from geodiff_sar.geometry.engines.base import ENGINES, Scene, TraceRequest
from geodiff_sar.geometry.hits import Hits, empty_hits, join
from geodiff_sar.geometry.kernel_cache import drop_stale_kernels
from geodiff_sar.geometry.kernels import inner_kernel
from geodiff_sar.geometry.raster import first_hits, ray_grid
from geodiff_sar.geometry.reflection import coherent_loss, fresnel, ground_receive_vectors
from geodiff_sar.geometry.simd import LANES
from geodiff_sar.geometry.turn import turn

STRIPS = 16  # the same strips whatever the number of threads, so that the order of the hits never depends on it
GRAZING = 1e-4


@ENGINES.register("fused")
class FusedEngine:
    """One numba kernel per ray: fastest below a few hundred thousand triangles, and needs nothing beyond numba."""

    def __init__(self, scene: Scene):
        self.scene, self.tree = scene, scene.bvh

    def trace(self, request: TraceRequest, threads: int = 1) -> Hits:
        """All hits of one pose; the same bits for any number of threads."""
        scene, options, look = self.scene, request.options, request.look
        grid = ray_grid(scene.vertices, look, options)
        ground = options.ground
        first = first_hits(scene.vertices, scene.faces, look, grid, ground.enabled)
        receive = np.zeros((2, 2, 3), dtype=np.complex128)  # direct and by the ground; H and V
        receive[0] = np.stack([look.across, look.above])
        if ground.enabled:
            receive[1] = ground_receive_vectors(look, ground, request.wavelength_m)
        surface = options.surface
        settings = np.array(
            [
                grid.across_start,
                grid.above_start,
                grid.spacing,
                request.wavelength_m,
                scene.offset_m,
                options.prune,
                ground.roughness_m,
                surface.roughness_m,
                surface.rms_slope,
                surface.diffuse,
                surface.diffuse_cross,
            ]
        )
        tree = self.tree
        edges = np.linspace(0, grid.rows, min(STRIPS, grid.rows) + 1).astype(np.int64)

        active = np.count_nonzero(np.maximum(first.direct, first.mirrored) >= 0, axis=1)
        bound = np.concatenate([[0], np.cumsum(active)])[edges] * (2 * options.max_bounces)
        out = empty_hits(int(bound[-1]))
        frame = np.stack([look.toward, look.across, look.above])

        def strip(number: int, begin: int) -> int:
            """Follow the rays of one strip; rows of the output from ``begin`` on are filled. Returns where they end."""
            return begin + follow_rays(
                tree.boxes,
                tree.children,
                tree.triangles,
                tree.order,
                scene.planes,
                first.direct,
                first.mirrored,
                int(edges[number]),
                int(edges[number + 1]),
                frame,
                receive,
                settings,
                ground.enabled,
                complex(ground.permittivity, -ground.loss),
                ground.metal,
                options.max_bounces,
                options.seed,
                np.empty(STACK_SIZE, dtype=np.int32),
                np.empty(STACK_SIZE + LANES, dtype=np.float32),
                np.empty((2, 3), dtype=np.complex128),
                np.empty((2, 3)),
                np.empty((4, 3)),
                out.position[begin:],
                out.amplitude[begin:],
                out.order[begin:],
                out.normal[begin:],
                out.cos_incidence[begin:],
            )

        strips = range(len(edges) - 1)
        if threads == 1:
            end = 0
            for number in strips:
                end = strip(number, end)
            return out.selected(slice(0, end))
        with ThreadPoolExecutor(threads) as pool:
            ends = list(pool.map(lambda number: strip(number, int(bound[number])), strips))
        return join([out.selected(slice(int(bound[number]), ends[number])) for number in strips])


@inner_kernel
@no_type_check
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@inner_kernel
@no_type_check
def _length(field):
    """Length of a complex vector."""
    square = 0.0
    for i in range(3):
        square += field[i].real * field[i].real + field[i].imag * field[i].imag
    return math.sqrt(square)


@inner_kernel
@no_type_check
def _square(z):
    """Squared magnitude."""
    return z.real * z.real + z.imag * z.imag


@inner_kernel
@no_type_check
def _sinc(x):
    """sin(pi x) / (pi x)."""
    return 1.0 - x * x * 1.6449340668482264 if abs(x) < 1e-3 else turn(0.5 * x).imag / (math.pi * x)


@inner_kernel
@no_type_check
def hashed_phase(row, column, number, seed):
    """Phase in [0, 2 pi) that depends on the ray and the event alone (a 32-bit integer mixer of the murmur family)."""
    mask = np.uint64(0xFFFFFFFF)
    x = np.uint64(row) * np.uint64(747796405) + np.uint64(column) * np.uint64(2891336453)
    x = (x + np.uint64(number) * np.uint64(277803737) + np.uint64(seed) * np.uint64(3266489917)) & mask
    for _ in range(2):
        x = (((x >> np.uint64(16)) ^ x) * np.uint64(0x45D9F3B)) & mask
    x = (x >> np.uint64(16)) ^ x
    return 2.0 * math.pi * np.float64(x) / 4294967296.0


@inner_kernel
@no_type_check
def _reflect_at_metal(field, axes, k, n, c):
    """Perfect conductor: E' = 2 (n.E) n - E; tube axes and direction are mirrored at the tangent plane."""
    for t in range(2):
        normal_part = 2.0 * _dot(field[t], n)
        tilt = 2.0 * _dot(axes[t], n)
        for i in range(3):
            field[t, i] = normal_part * n[i] - field[t, i]
            axes[t, i] -= tilt * n[i]
    for i in range(3):
        k[i] -= 2.0 * c * n[i]


@inner_kernel
@no_type_check
def _reflect_at_ground(field, axes, k, permittivity, metal, wavenumber, roughness):
    """Fresnel reflection at z = 0 of a wave that travels downwards along k; k, field and axes are replaced."""
    cosine = -k[2]
    gs, gp = fresnel(cosine, permittivity, metal)
    loss = coherent_loss(wavenumber, roughness, cosine)
    sine = math.sqrt(k[0] * k[0] + k[1] * k[1])
    # s = k x z / |k x z|; any horizontal direction will do at normal incidence
    sx, sy = (k[1] / sine, -k[0] / sine) if sine > 1e-9 else (1.0, 0.0)
    # p_i = s x k and p_r = s x k'
    pix, piy, piz = sy * k[2], -sx * k[2], sx * k[1] - sy * k[0]
    for t in range(2):
        along_s = (field[t, 0] * sx + field[t, 1] * sy) * gs * loss
        along_p = (field[t, 0] * pix + field[t, 1] * piy + field[t, 2] * piz) * gp * loss
        field[t, 0] = along_s * sx - along_p * pix
        field[t, 1] = along_s * sy - along_p * piy
        field[t, 2] = along_p * piz
        axes[t, 2] = -axes[t, 2]
    k[2] = -k[2]


@inner_kernel
@no_type_check
def _taper(axes, k, n, c, direction, share):
    """S: the integral of the phase over a flat tube, relative to the tube in phase; ``share`` is d / lambda."""
    g0, g1, g2 = k[0] - direction[0], k[1] - direction[1], k[2] - direction[2]
    along = (g0 * k[0] + g1 * k[1] + g2 * k[2]) / c
    taper = 1.0
    for t in range(2):
        gradient = g0 * axes[t, 0] + g1 * axes[t, 1] + g2 * axes[t, 2] - along * _dot(axes[t], n)
        taper *= _sinc(gradient * share)
    return taper


@inner_kernel
@no_type_check
def _scattered(field, axes, k, n, c, direction, receive, share):
    """Coherent part of one tube: F S for the four polarisations (HH, HV, VH, VV); ``share`` is d / lambda."""
    taper = _taper(axes, k, n, c, direction, share)
    inverse = 1.0 / c
    eh, ev = _dot(field[0], n) * inverse, _dot(field[1], n) * inverse
    qh, qv = _dot(receive[0], k), _dot(receive[1], k)
    hh = (_dot(receive[0], field[0]) - qh * eh) * taper
    hv = (_dot(receive[1], field[0]) - qv * eh) * taper
    vh = (_dot(receive[0], field[1]) - qh * ev) * taper
    vv = (_dot(receive[1], field[1]) - qv * ev) * taper
    return hh, hv, vh, vv


@inner_kernel
@no_type_check
def _incoherent(k, n, c, cu, direction, wavenumber, roughness, slope, diffuse, area):
    """Amplitude, m, of the tube's incoherent return: Lambert, and Kirchhoff's rough surface in its optics limit."""
    power = 4.0 * diffuse * cu * area
    if slope > 0.0:
        h0, h1, h2 = direction[0] - k[0], direction[1] - k[1], direction[2] - k[2]
        length = math.sqrt(h0 * h0 + h1 * h1 + h2 * h2)
        cosine = (h0 * n[0] + h1 * n[1] + h2 * n[2]) / max(length, 1e-9)
        if cosine > 1e-3:
            square = cosine * cosine
            tangent = (1.0 - square) / square
            sigma0 = math.exp(-tangent / (2.0 * slope * slope)) / (2.0 * slope * slope * square * square)
            phase = wavenumber * roughness * (cu - c)
            power += sigma0 * (1.0 - math.exp(-phase * phase)) * area / (-c)
    return math.sqrt(power)


@inner_kernel
@no_type_check
def _free(boxes, children, triangles, face_order, p, n, u, offset, by_ground, stack, near):
    """Whether the radar sees p straight, or by way of the ground."""
    flip = -1.0 if by_ground else 1.0
    down = p[2] / u[2] if by_ground else 1e9
    blocker, _ = cast(
        boxes, children, triangles, face_order,
        np.float32(p[0] + offset * n[0]), np.float32(p[1] + offset * n[1]), np.float32(p[2] + offset * n[2]),
        np.float32(u[0]), np.float32(u[1]), np.float32(flip * u[2]), np.float32(down), True, stack, near,
    )  # fmt: skip
    if blocker < 0 and by_ground:
        blocker, _ = cast(
            boxes, children, triangles, face_order,
            np.float32(p[0] + down * u[0]), np.float32(p[1] + down * u[1]), np.float32(offset),
            np.float32(u[0]), np.float32(u[1]), np.float32(u[2]), np.float32(1e9), True, stack, near,
        )  # fmt: skip
    return blocker < 0


@inner_kernel
@no_type_check
def follow_rays(
    boxes,
    children,
    triangles,
    face_order,
    planes,
    direct,
    mirrored,
    first_row,
    last_row,
    frame,
    receive,
    settings,
    ground,
    permittivity,
    metal,
    max_bounces,
    seed,
    stack,
    near,
    field,
    axes,
    vectors,
    position,
    amplitude,
    order,
    normal,
    cos_incidence,
):
    """Follow the rays of some rows; fills the output arrays and returns the number of hits.

    ``stack``, ``near``, ``field``, ``axes`` and ``vectors`` are work space.
    """
    start_a, start_v, spacing, wavelength, offset, prune = settings[:6]
    ground_roughness, roughness, slope, diffuse, diffuse_cross = settings[6:]
    u, a, v = frame[0], frame[1], frame[2]
    wavenumber = 2.0 * math.pi / wavelength
    tube = spacing * spacing
    unit = 2.0 * math.sqrt(math.pi) / wavelength * tube
    incoherent = slope > 0.0 or diffuse > 0.0
    share = spacing / wavelength
    infinite = np.float32(1e9)
    k, n, p, below = vectors[0], vectors[1], vectors[2], vectors[3]
    below[0], below[1], below[2] = u[0], u[1], -u[2]
    count = 0
    for row in range(first_row, last_row):
        for column in range(direct.shape[1]):
            face = direct[row, column]
            by_ground = False
            if face < 0:
                face = mirrored[row, column]
                by_ground = face >= 0 and max_bounces >= 2
                if not by_ground:
                    continue
            s = start_a + (column + 0.5) * spacing
            t = start_v + (row + 0.5) * spacing
            flip = -1.0 if by_ground else 1.0
            n0, n1, n2 = planes[face, 0], planes[face, 1], flip * planes[face, 2]
            slant = n0 * u[0] + n1 * u[1] + n2 * u[2]
            if abs(slant) < GRAZING:
                continue
            ox, oy, oz = s * a[0] + t * v[0], s * a[1] + t * v[1], s * a[2] + t * v[2]
            w = (planes[face, 3] - (n0 * ox + n1 * oy + n2 * oz)) / slant
            p[0], p[1], p[2] = ox + w * u[0], oy + w * u[1], flip * (oz + w * u[2])
            path = -w
            bounce = 2 if by_ground else 1
            first_target = True
            k[0], k[1], k[2] = -u[0], -u[1], -flip * u[2]
            n[0], n[1], n[2] = planes[face, 0], planes[face, 1], planes[face, 2]
            for i in range(3):
                axes[0, i], axes[1, i] = a[i], v[i]
                field[0, i] = receive[1, 0, i] if by_ground else receive[0, 0, i]
                field[1, i] = receive[1, 1, i] if by_ground else receive[0, 1, i]
            axes[1, 2] *= flip

            while True:
                c = _dot(n, k)
                if c > 0.0:
                    n[0], n[1], n[2] = -n[0], -n[1], -n[2]
                    c = -c
                if c > -GRAZING:
                    break
                # --- what the radar receives from here, straight (0) and by way of the ground (1)
                for way in range(2):
                    if bounce + way > max_bounces or (way == 1 and (not ground or p[2] <= 1e-6)):
                        break
                    direction = u if way == 0 else below
                    cu = _dot(n, direction)
                    if cu <= GRAZING:
                        continue
                    if bounce + way == 1:  # straight back: F is 1 for HH and VV
                        hh = complex(_sinc(2.0 * share * _dot(a, n) / c) * _sinc(2.0 * share * _dot(v, n) / c))
                        hv, vh, vv = complex(0.0), complex(0.0), hh
                    elif way == 0:  # what the radar sends and receives is real: half the work
                        hh, hv, vh, vv = _scattered(field, axes, k, n, c, u, frame[1:3], share)
                    else:
                        hh, hv, vh, vv = _scattered(field, axes, k, n, c, below, receive[1], share)
                    if roughness > 0.0:
                        phase = wavenumber * roughness * (cu - c)
                        loss = math.exp(-0.5 * phase * phase)
                        hh, hv, vh, vv = hh * loss, hv * loss, vh * loss, vv * loss
                    strength = max(_square(hh), _square(hv), _square(vh), _square(vv))
                    extra = 0.0
                    if incoherent and way == 0 and first_target:
                        extra = _incoherent(k, n, c, cu, direction, wavenumber, roughness, slope, diffuse, tube)
                    if strength < prune * prune and extra == 0.0:
                        continue
                    # --- is the way free?
                    if bounce + way > 1 and not _free(
                        boxes, children, triangles, face_order, p, n, u, offset, way == 1, stack, near
                    ):
                        continue
                    # --- record it
                    r = 0.5 * (path - _dot(direction, p))
                    turns = 2.0 * r / wavelength
                    phasor = unit * turn(-turns)
                    hh, hv, vh, vv = hh * phasor, hv * phasor, vh * phasor, vv * phasor
                    if extra > 0.0:
                        arriving_h, arriving_v = extra * _length(field[0]), extra * _length(field[1])
                        angle = hashed_phase(row, column, 3, seed)
                        random = complex(math.cos(angle), math.sin(angle))
                        hh += random * arriving_h
                        vv += random * arriving_v
                        angle = hashed_phase(row, column, 4, seed)
                        random = diffuse_cross * complex(math.cos(angle), math.sin(angle))
                        hv += random * arriving_h
                        vh += random * arriving_v
                    position[count, 0] = r
                    position[count, 1] = 0.5 * (s + _dot(a, p))
                    position[count, 2] = p[2]
                    amplitude[count, 0], amplitude[count, 1] = hh, hv
                    amplitude[count, 2], amplitude[count, 3] = vh, vv
                    order[count] = bounce + way
                    normal[count, 0], normal[count, 1], normal[count, 2] = n[0], n[1], n[2]
                    cos_incidence[count] = cu
                    count += 1
                if bounce >= max_bounces:
                    break
                # --- the reflected ray
                first_target = False
                dx, dy, dz = k[0] - 2.0 * c * n[0], k[1] - 2.0 * c * n[1], k[2] - 2.0 * c * n[2]
                face, _ = cast(
                    boxes, children, triangles, face_order,
                    np.float32(p[0] + offset * n[0]), np.float32(p[1] + offset * n[1]), np.float32(p[2] + offset * n[2]),
                    np.float32(dx), np.float32(dy), np.float32(dz), infinite, False, stack, near,
                )  # fmt: skip
                step = 1e30
                if face >= 0:
                    step = _distance(planes, face, p, dx, dy, dz)
                    if step <= 0.0:
                        break
                down = -p[2] / dz if ground and dz < -1e-9 else 1e30
                if down < step:
                    if bounce + 2 > max_bounces:
                        break
                    gx, gy = p[0] + down * dx, p[1] + down * dy
                    face, _ = cast(
                        boxes, children, triangles, face_order, np.float32(gx), np.float32(gy), np.float32(offset),
                        np.float32(dx), np.float32(dy), np.float32(-dz), infinite, False, stack, near,
                    )  # fmt: skip
                    if face < 0:
                        break
                    _reflect_at_metal(field, axes, k, n, c)
                    _damp(field, wavenumber, roughness, c)
                    p[0], p[1], p[2] = gx, gy, 0.0
                    path += down
                    _reflect_at_ground(field, axes, k, permittivity, metal, wavenumber, ground_roughness)
                    step = _distance(planes, face, p, k[0], k[1], k[2])
                    if step <= 0.0 or step >= 1e29:
                        break
                    bounce += 2
                elif face < 0 or step >= 1e29:
                    break
                else:
                    _reflect_at_metal(field, axes, k, n, c)
                    _damp(field, wavenumber, roughness, c)
                    bounce += 1
                p[0], p[1], p[2] = p[0] + step * k[0], p[1] + step * k[1], p[2] + step * k[2]
                path += step
                n[0], n[1], n[2] = planes[face, 0], planes[face, 1], planes[face, 2]
    return count


@inner_kernel
@no_type_check
def _distance(planes, face, p, dx, dy, dz):
    """Float64 distance from p along a direction to a face's plane; -1 where the ray is parallel to it."""
    slope = planes[face, 0] * dx + planes[face, 1] * dy + planes[face, 2] * dz
    if abs(slope) < GRAZING:
        return -1.0
    return (planes[face, 3] - (planes[face, 0] * p[0] + planes[face, 1] * p[1] + planes[face, 2] * p[2])) / slope


@inner_kernel
@no_type_check
def _damp(field, wavenumber, roughness, c):
    if roughness > 0.0:
        factor = coherent_loss(wavenumber, roughness, c)
        for t in range(2):
            for i in range(3):
                field[t, i] *= factor


drop_stale_kernels(follow_rays, cast)
