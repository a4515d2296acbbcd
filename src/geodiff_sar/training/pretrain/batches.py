"""Shuffled batches of one size, for stages whose data are all of one kind."""

import numpy as np


def whole_batches(count: int, size: int, seed: int, epoch: int) -> list[list[int]]:
    """Batches of ``size`` items in an order set by (seed, epoch); the rest is left out, unless there is nothing else."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return [order[k : k + size].tolist() for k in range(0, max(count - size, 0) + 1, size)]
