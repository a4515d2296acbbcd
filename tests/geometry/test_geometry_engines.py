"""Two engines that share nothing but the ray grid: the same hits, the same images, the same textbook plate."""

import sys

import numpy as np
import pytest
from engine_cases import DIELECTRIC, METAL, NONE, SHORT, WAVELENGTH, engine, plate, request_for, scene_of
from scipy.spatial import cKDTree

from geodiff_sar.core.errors import OptionError
from geodiff_sar.geometry.engines import ENGINES, Scene
from geodiff_sar.geometry.hits import Hits
from geodiff_sar.geometry.imaging import focuser
from geodiff_sar.geometry.options import SurfaceOptions
from geodiff_sar.geometry.radar import RadarOptions

# mesh, azimuth, depression, ground, spacing in m
CASES = [
    ("wall", 0.0, 30.0, METAL, 0.0061),
    ("wall", 33.0, 45.0, METAL, 0.0061),
    ("cylinder", 0.0, 30.0, DIELECTRIC, 0.005),
    ("cylinder", 17.0, 30.0, DIELECTRIC, 0.005),
    ("composite", 20.0, 30.0, DIELECTRIC, 0.0063),
    ("composite", 215.0, 40.0, DIELECTRIC, 0.0063),
    ("sunk", 110.0, 50.0, METAL, 0.0063),
    ("aircraft", 30.0, 40.0, DIELECTRIC, 0.05),
]


def disagreement(ours: Hits, other: Hits, radar: RadarOptions = SHORT) -> float:
    """Largest difference of the images, over polarisations and orders, each in units of its image's greatest magnitude.

    Images more than 60 dB below the brightest polarisation of their order are rounding, and measured against that one.
    """
    worst = 0.0
    for order in [None, *np.unique(np.concatenate([ours.order, other.order]))]:
        parts = [hits if order is None else hits.selected(hits.order == order) for hits in (ours, other)]
        images = [focuser(radar).image(part, [0, 1, 2, 3]) for part in parts]
        peak = np.abs(images[0]).max(axis=(1, 2))
        scale = np.maximum(peak, 1e-3 * peak.max())
        worst = max(worst, float((np.abs(images[0] - images[1]).max(axis=(1, 2)) / scale).max()))
    return worst


def paired(ours: Hits, other: Hits) -> Hits:
    """Our hits that the other engine has too: of the same order, within 0.01 mm, on faces within a milliradian.

    A ray that passes an edge within a float32 rounding, about 1e-7 m, may meet either face, or none, in either engine.
    """
    tree = cKDTree(np.column_stack([other.position, other.order, 0.01 * other.normal]))
    distance, _ = tree.query(np.column_stack([ours.position, ours.order, 0.01 * ours.normal]))
    return ours.selected(distance < 1e-5)


@pytest.mark.parametrize(("name", "azimuth", "depression", "ground", "spacing"), CASES)
def test_engines_make_the_same_images(name, azimuth, depression, ground, spacing):
    scene, request = scene_of(name), request_for(azimuth, depression, ground, spacing, max_bounces=4)
    fused, embree = (engine(each, scene).trace(request) for each in ("fused", "embree"))
    assert len(np.unique(fused.order)) >= 2
    both = paired(fused, embree), paired(embree, fused)
    alone = len(fused) + len(embree) - len(both[0]) - len(both[1])
    difference = disagreement(*both, RadarOptions() if name == "aircraft" else SHORT)
    print(
        f"{name} {azimuth:g}/{depression:g}: {len(fused)} hits, {alone} in one engine only, differ by {difference:.1e}"
    )
    assert alone < 1e-3 * len(fused)
    assert difference < 1e-3


@pytest.mark.parametrize(
    "surface",
    [
        SurfaceOptions(diffuse=0.005),
        SurfaceOptions(rms_slope=0.15, roughness_m=0.002),
        SurfaceOptions(diffuse=0.01, diffuse_cross=0.5, rms_slope=0.3, roughness_m=0.001),
    ],
)
@pytest.mark.parametrize("ground", [DIELECTRIC, NONE])
def test_engines_agree_on_rough_surfaces(surface, ground):
    scene = scene_of("composite")
    request = request_for(200.0, 35.0, ground, 0.01, surface=surface, seed=7, max_bounces=3)
    fused, embree = (engine(each, scene).trace(request) for each in ("fused", "embree"))
    smooth = engine("fused", scene).trace(request_for(200.0, 35.0, ground, 0.01))
    assert len(fused) > len(smooth)  # the incoherent part keeps hits that would be pruned
    both = paired(fused, embree), paired(embree, fused)
    assert len(both[0]) + len(both[1]) >= (1 - 1e-3) * (len(fused) + len(embree))
    assert disagreement(*both) < 1e-3


@pytest.mark.parametrize("name", ENGINES.names())
def test_threads_do_not_change_a_bit(name):
    one, two = (
        engine(name, scene_of("composite")).trace(request_for(77.0, 25.0, DIELECTRIC, 0.004), threads)
        for threads in (1, 2)
    )
    assert len(one) > 10_000
    for part in ("position", "amplitude", "order", "normal", "cos_incidence"):
        np.testing.assert_array_equal(getattr(one, part), getattr(two, part))


@pytest.mark.parametrize("name", ENGINES.names())
def test_every_engine_gives_the_plate_its_cross_section(name):
    scene = Scene(plate((0.0, -0.15, -0.1), (0, 0.3, 0), (0, 0, 0.2)))
    hits = engine(name, scene).trace(request_for(0.0, 0.0, NONE, 0.005))
    expected = 4 * np.pi * (0.3 * 0.2) ** 2 / WAVELENGTH**2
    error_db = 10 * np.log10(np.abs(hits.total()[[0, 3]]) ** 2 / expected)
    assert np.abs(error_db).max() < 0.1
    assert np.abs(hits.total()[[1, 2]]).max() < 1e-6
    assert set(hits.order) == {1}
    np.testing.assert_allclose(hits.cos_incidence, 1.0, rtol=1e-6)


@pytest.mark.parametrize("name", ENGINES.names())
def test_every_engine_returns_nothing_where_nothing_can_be_received(name):
    """A plate seen edge-on: no hits, and arrays of the right kinds all the same."""
    hits = engine(name, Scene(plate((0, 0, 0), (1, 0, 0), (0, 0, 1)))).trace(request_for(0.0, 0.0, NONE, 0.01))
    assert len(hits) == 0
    assert hits.position.shape == (0, 3)
    assert hits.amplitude.dtype == np.complex64


def test_missing_embreex_is_reported(monkeypatch: pytest.MonkeyPatch):
    for module in ("embreex", "embreex.mesh_construction", "embreex.rtcore_scene"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(OptionError, match=r"geodiff-sar\[embree\]") as caught:
        ENGINES.get("embree")(scene_of("wall"))
    assert caught.value.subject == "engine"
