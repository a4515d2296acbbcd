"""Speed of the ray tracer: chips per second with all products, against the numpy wavefront over Embree, and where time goes.

The case: chips of 256 x 256 pixels of one aircraft (about 26,000 triangles) at twelve azimuths, a grid of a million rays,
up to three bounces, ground on, one polarisation. Both engines do the same work and make the same chips.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _report import parser, report

from geodiff_sar.core.types import POLARISATIONS, Pose
from geodiff_sar.core.work import run_jobs
from geodiff_sar.geometry.bvh import build_bvh
from geodiff_sar.geometry.cloud import point_cloud
from geodiff_sar.geometry.clutter import background
from geodiff_sar.geometry.descriptors import encode_cloud
from geodiff_sar.geometry.imaging import focuser
from geodiff_sar.geometry.look import look_from
from geodiff_sar.geometry.maps import prior_maps
from geodiff_sar.geometry.prior import PriorOptions, PriorTracer
from geodiff_sar.geometry.radar import load_radar
from geodiff_sar.geometry.targets import build_target
from geodiff_sar.geometry.visibility import visibility

TARGET = "Kodiak 100"
POSES = [Pose(30.0 * k, 30.0) for k in range(12)]
PEAK = f"""
from pathlib import Path
from geodiff_sar.core.types import Pose
from geodiff_sar.geometry.prior import PriorTracer
from geodiff_sar.geometry.radar import load_radar
from geodiff_sar.geometry.targets import build_target
case = PriorTracer(build_target({TARGET!r}), load_radar("uav-ku", ["rows=256", "columns=256"]))
for azimuth in (0.0, 30.0, 60.0, 90.0):
    case.products(Pose(azimuth, 30.0), ["HH"])
line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(float(line.split()[1]) / 2**20)
"""


def tracer(engine: str) -> PriorTracer:
    """The case, ready to be traced."""
    radar = load_radar("uav-ku", ["rows=256", "columns=256"])
    return PriorTracer(build_target(TARGET), radar, PriorOptions(engine=engine))


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--repeats", type=int, default=3, help="timed runs of each; the median counts")
    given = options.parse_args()
    fused, wave = tracer("fused"), tracer("embree")
    print(f"{TARGET}: {len(fused.mesh.faces)} triangles, {given.threads} threads")
    for each in (fused, wave):
        each.products(POSES[0], ["HH"])
    runs: dict[str, list[float]] = {"one": [], "four": [], "wave": []}
    for _ in range(given.repeats):  # in turns, so that all see the same machine
        runs["one"].append(_rate(fused, ["HH"], given.threads))
        runs["four"].append(_rate(fused, list(POLARISATIONS), given.threads))
        runs["wave"].append(_rate(wave, ["HH"], given.threads))
    rate = {name: statistics.median(values) for name, values in runs.items()}
    parts, wave_trace = _parts(fused), _median(lambda: wave.hits(look_from(POSES[1])))
    rng = np.random.default_rng(0)
    corner = rng.uniform(-10, 10, (1_000_000, 1, 3))
    tree = _timed(lambda: build_bvh(corner + rng.normal(0, 0.02, (1_000_000, 3, 3))))
    warm, cold = _start(None), _cold_start()
    peak = float(subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True).stdout)
    numbers = {
        "chips_per_second": rate["one"],
        "wavefront_chips_per_second": rate["wave"],
        "ratio_to_wavefront": rate["one"] / rate["wave"],
        "four_polarisations_over_one": rate["one"] / rate["four"],
        "trace_ratio_one_thread": wave_trace / parts["trace"],
        "seconds_one_thread": parts,
        "bvh_million_triangles_s": tree,
        "warm_start_s": warm,
        "cold_start_s": cold,
        "peak_memory_gib": peak,
        "triangles": len(fused.mesh.faces),
    }
    rows = {
        "chips per second, all products of one polarisation (wanted 5, stretch 8)": f"{rate['one']:.2f}",
        "the same by the numpy wavefront over Embree": f"{rate['wave']:.2f}",
        "ratio (wanted 6)": f"{numbers['ratio_to_wavefront']:.2f}",
        "four polarisations over one, time (wanted at most 1.5)": f"{numbers['four_polarisations_over_one']:.2f}",
        "trace alone, one thread: wavefront over fused": f"{numbers['trace_ratio_one_thread']:.2f}",
        **{f"one thread, azimuth 30: {name}": f"{1000 * value:.0f} ms" for name, value in parts.items()},
        "tree over a million triangles (wanted at most 5 s)": f"{tree:.2f} s",
        "`geodiff-sar prior`, one pose, warm (wanted below 1.5 s)": f"{warm:.2f} s",
        "the same with an empty kernel cache (wanted: compilation at most 30 s)": f"{cold:.1f} s",
        "peak memory (wanted below 1 GiB)": f"{peak:.2f} GiB",
    }
    report("prior", rows, numbers, given.json)


def _rate(case: PriorTracer, polarisations: list[str], threads: int) -> float:
    """Chips (poses) per second, several poses at a time."""
    start = time.perf_counter()
    count = sum(1 for _ in run_jobs(POSES, lambda pose: case.products(pose, polarisations).outside, threads, "poses"))
    return count / (time.perf_counter() - start)


def _parts(case: PriorTracer) -> dict[str, float]:
    """Seconds of every step of one pose on one thread."""
    pose, radar = POSES[1], case.radar
    look = look_from(pose)
    system = focuser(radar)
    hits = case.hits(look)
    image = system.image(hits, [0])
    seen = visibility(case.scene.vertices, case.scene.faces, look, radar)
    cloud = point_cloud(hits, case.options.cloud)
    rng = np.random.default_rng(0)
    steps: dict[str, Callable[[], Any]] = {
        "trace": lambda: case.hits(look),
        "focus": lambda: system.image(hits, [0]),
        "shadow, illumination, height": lambda: visibility(case.scene.vertices, case.scene.faces, look, radar),
        "clutter and noise": lambda: background(radar, seen.lit, look.cos_depression, ["HH"], rng),
        "point cloud": lambda: point_cloud(hits, case.options.cloud),
        "features": lambda: encode_cloud(cloud, "HH", case.options.cloud),
        "maps": lambda: prior_maps(hits, image[0], seen, look, radar, "HH"),
        "everything": lambda: case.products(pose, ["HH"]),
    }
    return {name: _median(step) for name, step in steps.items()}


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _median(work: Callable[[], Any]) -> float:
    return statistics.median(_timed(work) for _ in range(5))


def _start(cache: str | None) -> float:
    """Wall time of the command for one pose in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).with_name("geodiff-sar")), "prior", TARGET, "--azimuths", "0"]
        extra = {} if cache is None else {"NUMBA_CACHE_DIR": cache}
        run = [*command, "--out", f"{folder}/prior"]
        return _timed(lambda: subprocess.run(run, check=True, capture_output=True, env={**os.environ, **extra}))


def _cold_start() -> float:
    with tempfile.TemporaryDirectory() as cache:
        return _start(cache)


if __name__ == "__main__":
    main()
