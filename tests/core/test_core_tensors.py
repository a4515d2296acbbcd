import numpy as np

from geodiff_sar.core.tensors import mismatch


def test_mismatch_says_what_is_wrong():
    wanted = {"a": np.zeros((2, 3)), "b": np.zeros(4), "c": np.zeros(1)}
    assert mismatch(wanted, {name: value.shape for name, value in wanted.items()}) == ""
    found = mismatch(wanted, {"a": (3, 2), "c": (1,), "d": (5,)})
    assert found == "1 tensors missing ['b'], 1 tensors unexpected ['d'], 1 tensors of another shape ['a']"
