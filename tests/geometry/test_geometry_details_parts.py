"""Details by part: densities follow the factors; other parts keep theirs."""

import math

import numpy as np
import pytest
from shapes_for_tests import box, move

from geodiff_sar.core.config import parse_options
from geodiff_sar.core.errors import OptionError
from geodiff_sar.geometry.details import DetailOptions, Details
from geodiff_sar.geometry.engines import Scene
from geodiff_sar.geometry.triangles import TriangleMesh

AREA = float(box((-0.5, -0.5, 0.0), (0.5, 0.5, 1.0)).face_areas.sum())


def two_parts() -> TriangleMesh:
    """Equal boxes 4 m apart: "Left wing" at y > 0, "engine" at y < 0."""
    one = box((-0.5, -0.5, 0.0), (0.5, 0.5, 1.0))
    left, right = move(one, (0.0, 2.0, 0.0)), move(one, (0.0, -2.0, 0.0))
    part = np.repeat([0, 1], len(one.faces))
    faces = np.concatenate([left.faces, right.faces + len(left.vertices)])
    return TriangleMesh(np.concatenate([left.vertices, right.vertices]), faces, part, ("Left wing", "engine"), "two")


def counts(factors: dict[str, float], per_m2: float = 100.0) -> tuple[int, int]:
    details = Details(Scene(two_parts()), DetailOptions(per_m2=per_m2, part_factors=factors))
    return int((details.position[:, 1] > 0).sum()), int((details.position[:, 1] < 0).sum())


def test_density_follows_the_factors():
    wing, engine = counts({"*WING*": 0.25, "engine": 2.0})
    each = 100 * AREA
    assert wing + engine == round(2.25 * each)
    assert abs(wing - 0.25 * each) < 4 * math.sqrt(0.25 * each)


def test_the_first_pattern_that_fits_counts_and_others_keep_theirs():
    wing, engine = counts({"left*": 0.0, "*": 1.0})
    assert (wing, engine) == (0, round(100 * AREA))
    wing, engine = counts({"propeller": 0.0})
    assert wing + engine == round(200 * AREA)
    assert abs(wing - 100 * AREA) < 4 * math.sqrt(50 * AREA)


def test_no_factors_and_factors_of_one_are_the_same_bits():
    scene = Scene(two_parts())
    one = Details(scene, DetailOptions(per_m2=50.0))
    two = Details(scene, DetailOptions(per_m2=50.0, part_factors={"*": 1.0}))
    np.testing.assert_array_equal(one.position, two.position)
    np.testing.assert_array_equal(one.matrix, two.matrix)


def test_no_part_with_details_leaves_none():
    assert counts({"*": 0.0}) == (0, 0)


@pytest.mark.parametrize("factor", [-1.0, 2000.0])
def test_factors_out_of_range_are_refused(factor):
    with pytest.raises(OptionError, match=r"part_factors.*between 0 and 1000"):
        parse_options(DetailOptions, {"part_factors": {"wing": factor}}, "details")
