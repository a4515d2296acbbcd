"""Which of the given conditions an adapter takes, and whether its priors are of the kind it was trained with."""

from collections.abc import Sequence
from pathlib import Path

from geodiff_sar.core.condition import Needs
from geodiff_sar.core.console import warn
from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.core.types import GeometryPrior
from geodiff_sar.data.pixels import RangeDirection
from geodiff_sar.data.recipe import find_recipe
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


def check_references(
    session: Session, references: Sequence[str | None], range_direction: RangeDirection | None
) -> None:
    """Whether reference pictures lie as the adapter's training chips lay.

    Raises:
        OptionError: a direction of range, and no reference picture, or training chips whose own direction was unknown.
    """
    given = list(dict.fromkeys(path for path in references if path is not None))
    pixels = session.adapter.record.pixels if session.adapter is not None else None
    trained = None if pixels is None else pixels.grid.range_direction
    if range_direction is not None and not session.needs.image:
        warn("--reference_range has no effect: the adapter was trained without reference")
    elif range_direction is not None and not given:
        raise OptionError("--reference_range", range_direction, "it says how references lie", "give --reference")
    elif range_direction is not None and trained is None:
        raise OptionError(
            "--reference_range",
            range_direction,
            "the adapter's training chips were taken as they lay, since nothing said how range grew in them",
            "leave it out",
        )
    elif range_direction is None and trained is not None:
        unknown = [path for path in given if find_recipe(Path(path)) is None]
        if unknown:
            warn(
                f"nothing says how range lies in {', '.join(unknown)}; it is taken to grow to the"
                f" {trained}, as in the training chips. --reference_range says otherwise, and turns them"
            )


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
