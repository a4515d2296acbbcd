"""Which parts of a base model or an adapter are there, and whether they are intact."""

from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from safetensors import SafetensorError, safe_open

from geodiff_sar.core.errors import GeodiffError
from geodiff_sar.core.files import sha256_file
from geodiff_sar.core.tensors import mismatch
from geodiff_sar.model.adapter import load_conditioning, read_record
from geodiff_sar.model.adapter_files import AdapterFiles, plain_lora, resolve_adapter
from geodiff_sar.model.base import base_hash, open_base
from geodiff_sar.model.base_files import BaseFiles
from geodiff_sar.model.base_parts import PARTS, T5, BaseSource
from geodiff_sar.model.folder_base import (
    SETTINGS_FILE,
    base_folder,
    empty_part,
    expected_tensors,
    folder_tokenizers,
    tensor_shapes,
)
from geodiff_sar.model.folder_files import ignored_files, weight_files
from geodiff_sar.model.lora import add_lora, lora_state_dict
from geodiff_sar.model.single_file.recognise import transformer_title
from geodiff_sar.model.single_file.source import SingleFileBase
from geodiff_sar.model.tensor_file import non_finite
from geodiff_sar.workflows.check_plain_lora import check_plain_lora
from geodiff_sar.workflows.check_single_file import Findings, problem_line, single_file_findings


def check_weights(base: str | BaseFiles, lora_weights: str | None, with_t5: bool = True) -> tuple[str, bool]:
    """Report on a base, with T5 or without, and, if named, an adapter or a LoRA file without a record; returns the report and
    whether everything needed is intact.

    Every tensor is read, so a truncated or damaged file is found, and compared with what the configuration asks for.
    """
    parts = tuple(part for part in PARTS if with_t5 or part != T5)
    files, source = BaseFiles.of(base), open_base(base, parts)
    if isinstance(source, SingleFileBase):
        findings = single_file_findings(source)
        heading = f"base '{files.name}': {findings.model}\nsettings: those of SD3.5"
    else:
        folder = base_folder(files.name)
        findings = _folder_findings(folder, parts)
        settings = SETTINGS_FILE if (folder / SETTINGS_FILE).is_file() else "those of SD3.5"
        heading = f"base '{files.name}' in {folder}: {findings.model}\nsettings: {settings}"
    rows, problems = findings.rows, findings.problems
    if lora_weights is not None:
        plain = plain_lora(lora_weights)
        if plain is not None and plain.weights is not None:
            notes, wrong = check_plain_lora(plain.weights, source, with_t5)
            if notes:  # it could be read
                rows.append(_row("LoRA", plain.weights, problems))
            findings.notes += notes
            problems += wrong
        else:
            _check_adapter(lora_weights, files, source, parts, findings)
    table = Table("part", "file", "MB", "tensors", "number formats", "sha256", box=None)
    for row in rows:
        table.add_row(*row)
    console = Console(width=140)
    with console.capture() as captured:
        console.print(heading, markup=False, highlight=False, soft_wrap=True)
        console.print(table)
        for note in findings.notes:
            console.print(f"note: {note}", markup=False, soft_wrap=True)
        for problem in problems:
            console.print(f"PROBLEM  {problem}", markup=False, soft_wrap=True)
        console.print("everything needed is there and intact" if not problems else f"{len(problems)} problems")
    return captured.get().rstrip(), not problems


def _folder_findings(folder: Path, parts: tuple[str, ...]) -> Findings:
    """Every part of a folder in diffusers' layout, compared with its configuration."""
    findings = Findings(_folder_title(folder))
    problems = findings.problems
    for part in parts:
        files: list[Path] = []
        if not (folder / part / "config.json").is_file():
            problems.append(f"{folder / part / 'config.json'}: missing")
        try:
            files, ignored = weight_files(folder, part), ignored_files(folder, part)
            if ignored:
                findings.notes.append(f"{folder / part}: not read: {', '.join(ignored)}")
        except GeodiffError as error:
            problems.append(problem_line(error))
        before = len(problems)
        for file in files:
            findings.rows.append(_row(part, file, problems))
        if files and len(problems) == before and (folder / part / "config.json").is_file():
            problems += _tensor_problems(folder, part, files)
    try:
        folder_tokenizers(folder, with_t5=T5 in parts)
    except GeodiffError as error:
        problems.append(problem_line(error))
    return findings


def _folder_title(folder: Path) -> str:
    try:  # by its class, which knows what a configuration leaves out
        return transformer_title(empty_part(folder, "transformer").config)
    except GeodiffError:
        return "unknown"


def _tensor_problems(folder: Path, part: str, files: list[Path]) -> list[str]:
    """Tensors that the part's configuration asks for and the files lack, and the other way round."""
    try:
        wanted = expected_tensors(folder, part)
    except GeodiffError as error:
        return [f"{error.subject}: {error.found}"]
    problems = mismatch(wanted, _shapes(files))
    return [f"{folder / part}: {problems}"] if problems else []


def _check_adapter(
    named: str, files: BaseFiles, source: BaseSource, parts: tuple[str, ...], findings: Findings
) -> None:
    """Add an adapter's files to the findings, and where nothing is wrong so far, its record and tensors against the base."""
    rows, problems, others = findings.rows, findings.problems, tuple(part for part in PARTS if part != T5)
    try:
        found = resolve_adapter(named)
        if found.weights is not None:
            rows.append(_row("adapter weights", found.weights, problems))
        if found.fusion_weights is not None:
            rows.append(_row("adapter conditioning", found.fusion_weights, problems))
        if not problems:  # the record and every tensor of the conditioning, against this base
            load_conditioning(found, base_hash(files, parts), base_hash(files, others))
            problems += _adapter_problems(source, found)
    except GeodiffError as error:
        problems.append(str(error))


def _adapter_problems(source: BaseSource, files: AdapterFiles) -> list[str]:
    """Tensors that the adapter's record asks for and its weights lack, and the other way round."""
    record = read_record(files)
    if record.lora is None and not record.full:
        return []
    if files.weights is None:
        return [f"{files.record}: the weights beside it are missing"]
    if record.lora_format is not None:
        return check_plain_lora(files.weights, source, with_t5=False)[1]  # nothing of an adapter is in T5
    if record.full:
        wanted: dict[str, Any] = dict(tensor_shapes(source.empty("transformer")))
    else:
        transformer = source.empty("transformer")
        add_lora(transformer, record.lora, seed=0)  # pyright: ignore
        wanted = dict(lora_state_dict(transformer))
    problems = mismatch(wanted, _shapes([files.weights]))
    return [f"{files.weights}: {problems}"] if problems else []


def _shapes(files: list[Path]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            found |= {key: tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118
    return found


def _row(part: str, file: Path, problems: list[str]) -> tuple[str, ...]:
    size = f"{file.stat().st_size / 1e6:.2f}"
    try:
        with safe_open(file, framework="pt") as tensors:
            formats, wrong = Counter[str](), list[str]()
            for key in tensors.keys():  # noqa: SIM118
                tensor = tensors.get_tensor(key)
                formats[str(tensor.dtype).removeprefix("torch.")] += 1
                wrong += non_finite({key: tensor})
    except (SafetensorError, OSError, ValueError) as error:
        problems.append(f"{file}: truncated or damaged ({error})")
        return (part, file.name, size, "-", "damaged", "-")
    if wrong:
        problems.append(f"{file}: NaN or Inf in {len(wrong)} of its tensors, first in {wrong[0]}")
    kinds = ", ".join(f"{count} {name}" for name, count in formats.most_common())
    return (part, file.name, size, str(sum(formats.values())), kinds, sha256_file(file)[:16])
