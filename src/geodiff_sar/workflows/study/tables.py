"""The numbers of a study as flat rows and as Markdown."""

import math
from dataclasses import dataclass
from typing import Any

from geodiff_sar.evaluation.atr.accuracy import Estimate
from geodiff_sar.workflows.study.instruments import Instruments
from geodiff_sar.workflows.study.material import Material
from geodiff_sar.workflows.study.options import StudyConfig
from geodiff_sar.workflows.study.results import (
    QUANTITIES,
    TRAINED_QUANTITIES,
    WITHIN,
    Quantity,
    RowResult,
    ceiling_of,
    difference_of,
    value_of,
)
from geodiff_sar.workflows.study.use import Use

VALUE, DIFFERENCE, TRAINED, CEILING_ROW = "value", "difference to baseline", "value in trained sectors", "real chips"
COLUMNS = ("row", "title", "kind", "quantity", "value", "low", "high", "n", "seeds", "per_seed")


@dataclass(frozen=True)
class Cell:
    """One number of the study.

    Attributes:
        row, title: of the line; CEILING_ROW for real chips.
        kind: VALUE, DIFFERENCE or TRAINED.
        quantity: which one.
        estimate: the number.
        seeds: that it rests on.
    """

    row: str
    title: str
    kind: str
    quantity: Quantity
    estimate: Estimate
    seeds: tuple[int, ...]

    def flat(self) -> dict[str, Any]:
        """As a line of CSV or JSON."""
        e = self.estimate
        return {
            "row": self.row, "title": self.title, "kind": self.kind, "quantity": self.quantity.name,
            "value": e.value, "low": e.low, "high": e.high, "n": e.n, "seeds": list(self.seeds), "per_seed": list(e.per_seed),
        }  # fmt: skip


def cells_of(results: list[RowResult], config: StudyConfig, material: Material, instruments: Instruments) -> list[Cell]:
    """Every number: real chips first, then rows in their order."""
    options = config.measure
    found = []
    for quantity in QUANTITIES:
        ceiling = ceiling_of(instruments, quantity)
        if ceiling is not None:
            found.append(Cell(CEILING_ROW, "real chips (ceiling)", VALUE, quantity, ceiling, ()))
    baseline = next((result for result in results if result.row.name == config.baseline), None)
    for result in results:
        name, title = result.row.name, result.row.title

        def add(kind: str, quantity: Quantity, estimate: Estimate | None, seeds: tuple[int, ...]) -> None:
            if estimate is not None:
                found.append(Cell(name, title, kind, quantity, estimate, seeds))  # noqa: B023

        for quantity in QUANTITIES:
            add(VALUE, quantity, value_of(result, quantity, material, options), result.seeds)
        if baseline is not None and result is not baseline:
            common = tuple(seed for seed in result.seeds if seed in baseline.seeds)
            for quantity in QUANTITIES:
                add(DIFFERENCE, quantity, difference_of(result, baseline, quantity, material, options), common)
        for quantity in TRAINED_QUANTITIES:
            if config.generate.trained_every:
                add(TRAINED, quantity, value_of(result, quantity, material, options), result.seeds)
    return found


def printed(estimate: Estimate, quantity: Quantity, sign: bool = False) -> str:
    """``value [low, high]``; a dash where it cannot be measured."""
    if not math.isfinite(estimate.value):
        return "–"
    form = f"{'+' if sign else ''}.{quantity.digits}f"
    value, low, high = (f"{quantity.scale * x:{form}}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]" if math.isfinite(estimate.low) else value


def markdown(
    config: StudyConfig,
    facts: dict[str, Any],
    cells: list[Cell],
    results: list[RowResult],
    uses: list[Use],
    pictures: dict[str, str],
) -> str:
    """The tables with their facts; ``pictures`` are addresses by title."""
    blocks = [
        _facts(facts),
        "**Held-out sectors** (value, 95 % interval)",
        _main(cells, results),
        f"**Held-out sectors, difference to '{config.row(config.baseline).title}'** (paired by seed and view; an interval "
        "that excludes zero is a difference)",
        _differences(cells, results, config.baseline),
    ]
    if config.generate.trained_every:
        blocks += ["**Held-out and trained sectors**", _trained(cells, results)]
    blocks += ["**Cost**", _cost(results)]
    if uses:
        blocks += ["**Use: classifiers on the real chips of the held-out sectors**", _use(uses)]
    blocks += [f"![{title}]({address})" for title, address in pictures.items()]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _table(head: list[str], lines: list[list[str]]) -> str:
    if not lines:
        return "No row is finished yet."
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _by_row(cells: list[Cell], kind: str) -> dict[str, dict[str, Cell]]:
    found: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        if cell.kind == kind:
            found.setdefault(cell.row, {})[cell.quantity.name] = cell
    return found


def _main(cells: list[Cell], results: list[RowResult]) -> str:
    known = _by_row(cells, VALUE)
    ceiling = known[CEILING_ROW][WITHIN.name].estimate.value
    lines = []
    for name in (CEILING_ROW, *(result.row.name for result in results)):
        of = known[name]
        title = next(iter(of.values())).title
        seeds = next(iter(of.values())).seeds
        share = of[WITHIN.name].estimate
        relative = f"{100 * share.value / ceiling:.0f}" if ceiling > 0 and name != CEILING_ROW else "–"
        values = [printed(of[q.name].estimate, q) if q.name in of else "–" for q in QUANTITIES]
        lines.append([title, str(len(seeds)) if seeds else "–", values[0], relative, *values[1:]])
    titles = [q.title for q in QUANTITIES]
    return _table(["row", "seeds", titles[0], "of the ceiling, %", *titles[1:]], lines)


def _differences(cells: list[Cell], results: list[RowResult], baseline: str) -> str:
    known = _by_row(cells, DIFFERENCE)
    lines = [
        [result.row.title, *(printed(known[result.row.name][q.name].estimate, q, True) for q in QUANTITIES)]
        for result in results
        if result.row.name != baseline and result.row.name in known
    ]
    return _table(["row", *(q.title for q in QUANTITIES)], lines)


def _trained(cells: list[Cell], results: list[RowResult]) -> str:
    held, trained = _by_row(cells, VALUE), _by_row(cells, TRAINED)
    head = ["row"]
    for quantity in TRAINED_QUANTITIES:
        head += [f"{quantity.title}: held out", "trained"]
    lines = []
    for result in results:
        line = [result.row.title]
        for quantity in TRAINED_QUANTITIES:
            line += [printed(of[result.row.name][quantity.name].estimate, quantity) for of in (held, trained)]
        lines.append(line)
    return _table(head, lines)


def _cost(results: list[RowResult]) -> str:
    lines = []
    for result in results:
        training = [measured["training"] for measured in result.measured.values()]
        minutes = [t["steps"] * t["seconds_per_step"] / 60.0 for t in training if t["seconds_per_step"] is not None]
        chips = [measured["seconds_per_chip"] for measured in result.measured.values()]
        mean = f"{sum(minutes) / len(minutes):.1f}" if minutes else "–"
        lines.append([result.row.title, str(training[0]["steps"]), mean, f"{sum(chips) / len(chips):.2f}"])
    return _table(["row", "steps", "training, minutes", "seconds per chip, loading included"], lines)


def _use(uses: list[Use]) -> str:
    shares = Quantity("", "", "share", "", scale=100.0, digits=1)
    lines = [
        [
            f"{use.setting.fraction:.0%}".replace("%", " %"),
            use.setting.title,
            str(use.real),
            str(use.synthetic),
            printed(use.accuracy, shares),
            "–" if use.gain is None else printed(use.gain, shares, True),
        ]
        for use in uses
    ]
    head = ["real chips", "trained on", "real", "generated", "accuracy, %", "over ordinary augmentation, points"]
    return _table(head, lines)


def _facts(facts: dict[str, Any]) -> str:
    targets = ", ".join(f"{name} {n[0]} and {n[1]}" for name, n in facts["chips_by_target"].items())
    lines = [
        f"- Split `{facts['split']['protocol']}`, sha256 `{facts['split']['sha256'][:16]}`; chips to train and "
        f"held out: {targets}.",
        f"- Generated per adapter: {facts['views']['held out']} views in held-out sectors, {facts['views']['trained']} in "
        f"trained ones, {facts['per_view']} chip(s) each.",
        f"- Data sha256 `{facts['data_sha256'][:16]}`, configuration sha256 `{facts['config_sha256'][:16]}`, base "
        f"`{facts['base']}` `{facts['base_hash'][:16]}`, geodiff-sar {facts['version']}.",
    ]
    if first := facts["first"]:
        lines.append(
            f"- Adapters go on from a first training of {' or '.join(first['lengths'])} on simulated chips of "
            f"{', '.join(first['targets'])} at azimuths {first['azimuths']}, which the seeds of a row share."
        )
    if facts["unfinished"]:
        lines.append(f"- Not finished yet: {'; '.join(facts['unfinished'])}.")
    return "\n".join(lines)
