"""What a base model in single files holds, and what is wrong with it."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from geodiff_sar.core.errors import GeodiffError
from geodiff_sar.model.single_file.fitting import check_fit
from geodiff_sar.model.single_file.layout import TITLES, PartFile
from geodiff_sar.model.single_file.read import part_digest
from geodiff_sar.model.single_file.recognise import transformer_title
from geodiff_sar.model.single_file.source import SingleFileBase

BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4, "I8": 1, "U8": 1}


@dataclass
class Findings:
    """What a check found: which model it is, a row of the table per part, notes and problems."""

    model: str
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def single_file_findings(source: SingleFileBase) -> Findings:
    """Every part, compared with its class; every tensor is read once for its hash."""
    findings = Findings("unknown", problems=[problem_line(problem) for problem in source.problems])
    whole = True
    for part in (part for part in source.needed if part in source.parts):
        try:
            source.check(part)
            if part == "transformer":
                findings.model = transformer_title(source.config(part))
        except GeodiffError as error:
            findings.problems.append(problem_line(error))
            whole = False
        try:
            findings.rows.append(_row(source.parts[part]))
        except GeodiffError as error:
            findings.problems.append(problem_line(error))
            whole = False
    checks: list[Callable[[], object]] = [source.tokenizers]
    if whole and not source.problems:
        checks.append(lambda: check_fit(source.parts, {part: source.config(part) for part in source.needed}))
    for check in checks:
        try:
            check()
        except GeodiffError as error:
            findings.problems.append(problem_line(error))
    if source.leftovers:
        findings.notes.append(f"{len(source.leftovers)} tensors belong to no part: {source.leftovers[:3]}")
    return findings


def _row(file: PartFile) -> tuple[str, ...]:
    formats = Counter(entry.format for entry in file.entries.values())
    size = sum(math.prod(entry.shape) * BYTES.get(entry.format, 0) for entry in file.entries.values())
    kinds = ", ".join(f"{count} {name}" for name, count in formats.most_common())
    title = TITLES[file.part].removeprefix("the ")
    return (title, file.path.name, f"{size / 1e6:.2f}", str(len(file.entries)), kinds, part_digest(file)[:16])


def problem_line(error: GeodiffError) -> str:
    """An error in one line of the report, with its rule: where files are missing, that lists the wanted ones."""
    return f"{error.subject}: {error.found}; rule: {error.rule}; remedy: {error.remedy}"
