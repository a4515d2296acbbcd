"""Which of the given conditions an adapter takes, and whether its priors are of the kind it was trained with."""

from geodiff_sar.core.condition import Needs
from geodiff_sar.core.console import warn
from geodiff_sar.core.errors import DataError
from geodiff_sar.core.types import GeometryPrior
from geodiff_sar.sampling.prompts import Prompt
from geodiff_sar.workflows.generation.session import Session


def usable(prompt: Prompt, needs: Needs, adapted: bool) -> Prompt:
    """The prompt without what the adapter does not take, and a warning for that; without adapter as it is."""
    if not adapted:
        return prompt
    unused = {
        "pointcloud_path": ("--pointcloud_path (--pc)", needs.geometry),
        "reference": ("--reference (--ref)", needs.image),
        "depression": ("--depression (--dep)", needs.pose),
    }
    dropped = {}
    for field, (option, taken) in unused.items():
        if getattr(prompt, field) is not None and not taken:
            warn(f"{option} has no effect: the adapter was trained without it")
            dropped[field] = None
    return prompt.model_copy(update=dropped) if dropped else prompt


def check_priors(session: Session, priors: list[GeometryPrior | None], strict: bool) -> None:
    """Compare radars and depressions of priors with those of the adapter's training.

    Raises:
        DataError: one lies outside, and ``strict``; else a warning says so once, with both values.
    """
    facts = session.adapter.record.priors if session.adapter is not None else None
    if facts is None or session.fusion_scale == 0.0:
        return
    said = set()
    for prior in priors:
        for difference in [] if prior is None else facts.differences(prior):
            assert prior is not None
            file = str(prior.provenance.get("file", "prior"))
            if strict:
                raise DataError(
                    file,
                    difference,
                    "--strict-prior: radar and depression are those of the training",
                    "make the prior for the training's radar and depression, or leave --strict-prior out",
                )
            if difference not in said:
                warn(f"{file}: {difference}")
                said.add(difference)
