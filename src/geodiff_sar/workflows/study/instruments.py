"""The instruments of a study, the same for all rows, and what real chips score under them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from geodiff_sar.core.files import make_folder
from geodiff_sar.data.chip_set import ChipSet, read_chip_set
from geodiff_sar.data.sample import Sample
from geodiff_sar.evaluation.angles import circular_distance
from geodiff_sar.evaluation.azimuth_network import AzimuthFit, AzimuthOptions, train_azimuth_estimator
from geodiff_sar.evaluation.base import AzimuthEstimator, FeatureSpace
from geodiff_sar.evaluation.common_remap import common_remap
from geodiff_sar.evaluation.judge import Judge, Results, Row
from geodiff_sar.evaluation.overlap import require_apart
from geodiff_sar.evaluation.parts import deal
from geodiff_sar.evaluation.spaces import SpaceOptions, make_space
from geodiff_sar.workflows.study.jobs import CACHE_FOLDER
from geodiff_sar.workflows.study.material import Material
from geodiff_sar.workflows.study.memory import memory_values
from geodiff_sar.workflows.study.options import StudyMeasure

HELD_OUT_METRICS = ("azimuth_consistency", "kid", "ssim", "ncc", "scattering_centres", "memorisation")
TRAINED_METRICS = ("azimuth_consistency", "ssim", "ncc", "memorisation")
"""Distributions are compared with real chips of the held-out sectors, so not those of the trained ones."""

CEILING = "real half"


@dataclass(frozen=True)
class Instruments:
    """Real chips and what reads them.

    Attributes:
        held_out, training: real chips of the two parts.
        space, estimator: trained on every other real chip of all azimuths.
        held_out_judge, trained_judge: measure chips of the two kinds of sectors.
        ceiling: what real chips of the held-out sectors score, those that no instrument was trained on.
        unseen: real chips of the held-out sectors that no instrument was trained on.
        unseen_error_deg: error of the azimuth that the estimator reads off them.
        apart: real chips that no generator was trained on, of all sectors.
        apart_memory: which of these are near to a training chip, or one over again (``memory_values``).
    """

    held_out: ChipSet
    training: ChipSet
    space: FeatureSpace
    estimator: AzimuthEstimator
    held_out_judge: Judge
    trained_judge: Judge
    ceiling: Results
    unseen: ChipSet
    unseen_error_deg: Float[np.ndarray, " unseen"]
    apart: ChipSet
    apart_memory: dict[str, list[float]]
    options: StudyMeasure

    def read(self, samples: list[Sample], name: str) -> ChipSet:
        """Chips under the remap that all sets of the study are compared in."""
        return _read(samples, name, self.options)


def make_instruments(material: Material, options: StudyMeasure) -> Instruments:
    """Deal the real chips, train the instruments on every other one, and let them judge the rest.

    Raises:
        DataError: too few chips, or a held-out chip that is nearly a training chip.
    """
    training = _read(material.training, "the training part", options)
    held_out = _read(material.held_out, "the held-out part", options)
    if (
        not material.simulated
    ):  # simulated chips differ by their pose; symmetric targets look alike from port and starboard
        require_apart(training, held_out)
    rest = sorted([*material.training, *material.left_out], key=lambda sample: sample.id)
    everything = _read([*material.held_out, *rest], "real chips", options)
    parts = deal(everything, np.arange(len(everything)) < len(held_out))
    cache = make_folder(material.out / CACHE_FOLDER)
    own = everything.take(parts.instruments, "the instruments' part of the real chips")
    space = make_space(SpaceOptions(steps=options.encoder_steps), own, cache, options.seed)
    azimuth = AzimuthOptions(fit=AzimuthFit(steps=options.estimator_steps), members=options.estimator_members)
    estimator = train_azimuth_estimator(own, azimuth, cache, options.seed)
    reference = everything.take(parts.reference, "reference")
    control = everything.take(parts.control, CEILING)
    others = np.setdiff1d(np.arange(len(held_out)), parts.control)
    gallery = everything.take(others, "real without the control part")
    judge = _judge(reference, space, estimator, HELD_OUT_METRICS, cache, options)
    ceiling, _ = judge.measure([Row(CEILING, control, gallery, gallery)])
    unseen = everything.take(np.sort(np.concatenate([parts.reference, parts.control])), "unseen")
    error = circular_distance(estimator.predict(unseen.amplitude), unseen.azimuth_deg)
    trained = _judge(reference, space, estimator, TRAINED_METRICS, cache, options)
    trained_on = {sample.id for sample in material.training}
    places = [k for k, sample in enumerate([*material.held_out, *rest]) if sample.id not in trained_on]
    apart = everything.take(np.array(places), "real chips that are not trained on")
    recall = _judge(reference, space, estimator, ("memorisation",), cache, options)
    memory, _ = recall.measure([Row(CEILING, apart, training, training)])
    near = memory_values(memory[CEILING]["memorisation"].details)
    return Instruments(
        held_out, training, space, estimator, judge, trained, ceiling, unseen, error, apart, near, options
    )


def _judge(
    reference: ChipSet,
    space: FeatureSpace,
    estimator: AzimuthEstimator,
    metrics: tuple[str, ...],
    cache: Path,
    options: StudyMeasure,
) -> Judge:
    return Judge(reference, space, estimator, metrics, cache, options.seed)


def _read(samples: list[Sample], name: str, options: StudyMeasure) -> ChipSet:
    chips = read_chip_set(samples, name)
    return chips if options.common_remap is None else common_remap(chips, options.common_remap)
