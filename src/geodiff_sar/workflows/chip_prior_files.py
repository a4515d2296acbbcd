"""The prior files of measured chips: what each says about itself, whether it is still right, tracing and writing it."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from geodiff_sar.core.console import warn
from geodiff_sar.core.errors import GeodiffError
from geodiff_sar.core.files import sha256_file
from geodiff_sar.core.types import GeometryPrior
from geodiff_sar.data.alignment import align
from geodiff_sar.data.features import feature_header, save_features
from geodiff_sar.data.image import load_in_frame
from geodiff_sar.data.placing import Placement, fit_placement
from geodiff_sar.data.sample import Sample
from geodiff_sar.geometry.clutter import cell_area_m2
from geodiff_sar.geometry.look import look_from
from geodiff_sar.geometry.placement import moved_prior
from geodiff_sar.geometry.prior import PriorTracer
from geodiff_sar.workflows.chip_prior_plan import ChipPlan, ChipView
from geodiff_sar.workflows.trace_checks import naming

OWN, OTHERS = "own chip", "other chips"
"""What the record of a move says about where it was found."""


def prior_file(out: Path, sample: Sample) -> Path:
    """The prior of a chip."""
    return out / f"{sample.id}.safetensors"


def alignment_of(out: Path, sample: Sample) -> dict[str, Any] | None:
    """How the prior of a chip was moved; None where it was not."""
    return feature_header(prior_file(out, sample))["provenance"]["alignment"]


def is_complete(out: Path, view: ChipView, placements: Mapping[str, Placement]) -> bool:
    """Whether all priors of a view are there, made for these chips at this pose, and where the placement puts them."""
    for sample, polarisation in view.chips:
        path = prior_file(out, sample)
        if not path.is_file():
            return False
        try:
            header = feature_header(path)
        except GeodiffError as error:
            warn(f"{error.subject} {error.found}; it is made anew")
            return False
        found = header["provenance"]
        if (
            header.get("pose") != asdict(view.pose)
            or header.get("radar") != asdict(view.radar.params(polarisation))
            or found.get("pixel_m") != list(_pixel_m(view))
            or found.get("chip") != _chip_mark(sample)
            or (view.held_out and found.get("alignment") != _moved_by_others(view, placements[view.target.label]))
        ):
            return False
    return True


def make_files(
    out: Path,
    view: ChipView,
    tracer: PriorTracer,
    threads: int,
    limit: int | None,
    placements: Mapping[str, Placement],
) -> float:
    """Trace one view and write the priors of its chips.

    Args:
        out: folder of the priors.
        view: pose and chips.
        tracer: of the view's target and radar.
        threads: for the trace.
        limit: largest move onto the chip, pixels; None: priors are left where they are.
        placements: of each target, for views that are held out.

    Returns:
        The share of the target's power beyond the chip.
    """
    with naming(view.target.label, view.pose):
        products = tracer.products(view.pose, view.polarisations, 0, threads)
    for sample, polarisation in view.chips:
        prior, record = products.chips[polarisation].prior, None
        if limit is not None:
            move = _moved_by_others(view, placements[view.target.label]) if view.held_out else None
            record = move or _moved_by_chip(prior, sample, view, limit)
            prior = moved_prior(prior, record["rows"], record["columns"], _pixel_m(view))
        provenance = {
            **prior.provenance,
            "text_label": str(sample.caption),
            "outside": products.outside,
            "chip": _chip_mark(sample),
            "alignment": record,
        }
        save_features(prior_file(out, sample), replace(prior, provenance=provenance))
    return products.outside


def find_placements(out: Path, plan: ChipPlan) -> dict[str, Placement]:
    """Where each target stands, from the priors that were moved onto their own chips; for targets with chips held out.

    Raises:
        DataError: too few of them.
    """
    placements = {}
    for target in plan.targets:
        own = [view for view in plan.views if view.target is target]
        if not any(view.held_out for view in own):
            continue
        poses, moves = [], []
        for view in own:
            for sample, _ in () if view.held_out else view.chips:
                record = alignment_of(out, sample)
                assert record is not None
                poses.append(view.pose)
                moves.append((record["cross_range_m"], record["slant_range_m"]))
        placements[target.label] = fit_placement(poses, np.array(moves).reshape(-1, 2), target.label)
    return placements


def _moved_by_chip(prior: GeometryPrior, sample: Sample, view: ChipView, limit: int) -> dict[str, Any]:
    assert prior.maps is not None
    values = load_in_frame(sample.image_path, sample.grid)
    amplitude = sample.remap.to_amplitude(values) if sample.remap.invertible else values
    clutter = 10 ** (view.radar.sigma0_db / 10) * cell_area_m2(view.radar, look_from(view.pose).cos_depression)
    found = align(amplitude, prior.maps, clutter, limit, sample.id)
    scores = {"score": round(found.score, 6), "unmoved_score": round(found.unmoved, 6), "limit": limit}
    return {"by": OWN, **_move(view, found.rows, found.columns), **scores}


def _moved_by_others(view: ChipView, placement: Placement) -> dict[str, Any]:
    cross, slant = placement.at(view.pose)
    return {"by": OTHERS, **_move(view, round(cross / _pixel_m(view)[0]), round(slant / _pixel_m(view)[1]))}


def _move(view: ChipView, rows: int, columns: int) -> dict[str, Any]:
    cross, slant = _pixel_m(view)
    return {
        "rows": rows,
        "columns": columns,
        "cross_range_m": round(rows * cross, 6),
        "slant_range_m": round(columns * slant, 6),
    }


def _pixel_m(view: ChipView) -> tuple[float, float]:
    """Pixel spacing in cross-range and slant range."""
    return view.radar.pixel_cross_range_m, view.radar.pixel_range_m


def _chip_mark(sample: Sample) -> dict[str, Any]:
    return {"id": sample.id, "sha256": sha256_file(sample.image_path), "range_direction": sample.grid.range_direction}
