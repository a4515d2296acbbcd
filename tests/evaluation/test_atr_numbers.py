"""Accuracy, its intervals, gains, confusion matrices and subsets: known answers."""

import numpy as np
import pytest

from geodiff_sar.evaluation.atr.accuracy import accuracy, confusion, gain, two_way
from geodiff_sar.evaluation.atr.subsets import first_of, nested_order, subset, together
from learning_support import bar_chips


@pytest.mark.parametrize(("of_seeds", "of_chips"), [(0.0, 0.0), (0.05, 0.0), (0.0, 0.3), (0.03, 0.3)])
def test_intervals_over_three_seeds_cover_at_their_rate(of_seeds: float, of_chips: float):
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        seeds, chips = rng.normal(0, of_seeds, (3, 1)), rng.normal(0, of_chips, (1, 150))
        table = 0.3 + seeds + chips + rng.normal(0, 0.3, (3, 150))
        e = two_way(table, (-9.0, 9.0))
        covered += e.low <= 0.3 <= e.high
    assert covered / 400 >= 0.93  # 0.95 less two deviations of 400 trials


def test_intervals_of_right_and_wrong_answers_cover():
    """Chips of different difficulty, seeds of different skill, answers that are right or wrong."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        chance = np.clip(0.8 + rng.normal(0, 0.03, (3, 1)) + rng.uniform(-0.2, 0.2, (1, 200)), 0, 1)
        e = two_way((rng.random((3, 200)) < chance).astype(float), (0.0, 1.0))
        covered += e.low <= 0.8 <= e.high
    assert covered / 400 >= 0.93  # 0.95 less two deviations of 400 trials


def test_seeds_that_disagree_widen_the_interval_and_a_perfect_score_keeps_one():
    alike = two_way(np.tile(np.arange(100) < 80, (3, 1)).astype(float), (0.0, 1.0))
    apart = two_way(np.stack([np.arange(100) < n for n in (60, 80, 100)]).astype(float), (0.0, 1.0))
    assert alike.value == pytest.approx(apart.value) == pytest.approx(0.8)
    assert apart.high - apart.low > 2 * (alike.high - alike.low)
    perfect = two_way(np.ones((3, 60)), (0.0, 1.0))
    assert (perfect.low, perfect.high) == (pytest.approx(0.95), 1.0)
    assert perfect.per_seed == (1.0, 1.0, 1.0)


def test_a_paired_gain_is_narrower_than_the_difference_of_two_accuracies():
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, 300)
    hard = rng.random(300) < 0.4
    before = np.tile(np.where(hard, (truth + 1) % 3, truth), (3, 1))
    after = before.copy()
    mended = np.flatnonzero(hard)[:30]
    after[:, mended] = truth[mended]
    e = gain(after, before, truth)
    assert e.value == pytest.approx(0.1)
    assert e.low > 0
    assert e.high - e.low < 0.6 * (accuracy(before, truth).high - accuracy(before, truth).low) * 2
    assert gain(before, before, truth).value == 0


def test_confusion_counts_every_answer_once():
    truth = np.array([0, 0, 1, 2])
    guesses = np.array([[0, 1, 1, 2], [0, 0, 2, 2]])
    counts = confusion(guesses, truth, 3)
    assert counts.tolist() == [[3, 1, 0], [0, 1, 1], [0, 0, 2]]
    assert counts.sum() == guesses.size
    assert np.trace(counts) / counts.sum() == pytest.approx(accuracy(guesses, truth).value)


def test_subsets_are_nested_stratified_and_follow_the_seed():
    chips = bar_chips(100, 0, side=4, targets=("long", "long", "long", "short"))
    small, large, whole = (subset(chips, f, 5) for f in (0.1, 0.3, 1.0))
    assert set(small.ids) < set(large.ids) < set(whole.ids)
    assert whole.ids == chips.ids
    assert [small.target.count(t) for t in ("long", "short")] == [8, 2]
    assert [large.target.count(t) for t in ("long", "short")] == [22, 8]
    assert set(subset(chips, 0.1, 6).ids) != set(small.ids)
    assert subset(chips, 0.01, 0).target.count("short") == 2


def test_synthetic_chips_keep_the_shares_of_their_targets_at_every_number():
    chips = bar_chips(90, 0, side=4, targets=("long", "long", "short"))
    for count in (9, 30, 60):
        assert first_of(chips, count, 1).target.count("short") == count // 3
    assert set(first_of(chips, 9, 1).ids) < set(first_of(chips, 30, 1).ids)
    assert sorted(nested_order(chips.target, 0, 1)) == list(range(90))


def test_two_sets_together_keep_their_ids_apart():
    first, second = bar_chips(4, 0), bar_chips(3, 1)
    both = together(first, second)
    assert len(set(both.ids)) == len(both) == 7
    assert both.amplitude.shape == (7, 32, 32)
    assert both.hashes == first.hashes + second.hashes
    assert both.target[4:] == second.target
