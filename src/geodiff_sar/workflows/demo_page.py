"""The demo's page: what was asked, what came out, and what the numbers mean, in one self-contained HTML file."""

import base64
import html
from pathlib import Path
from string import Template
from typing import Any

from geodiff_sar.core.files import atomic_write_text
from geodiff_sar.workflows.study.options import StudyConfig
from geodiff_sar.workflows.study.tables import CEILING_ROW, DIFFERENCE, VALUE

TEMPLATE = Path(__file__).with_name("demo.html")

MEANINGS = {
    "share_within_10_deg": (
        "azimuth right within 10 degrees, %",
        100.0,
        1,
        "a network that reads azimuths was trained on simulated chips and reads every generated one; 5.6 by chance",
    ),
    "median_error_deg": ("median azimuth error, degrees", 1.0, 1, "90 by chance"),
    "kid": ("KID", 1.0, 2, "distance between the two sets of pictures as a network sees them; 0 is perfect"),
    "ncc": ("likeness to the truth (NCC)", 1.0, 3, "correlation with the simulated chip of the same view; 1 is equal"),
    "ssim": (
        "structural similarity (SSIM)",
        1.0,
        3,
        "the same, by local contrast; speckle differs even in the best case",
    ),
    "f1_centres": ("bright points in common (F1)", 1.0, 3, "with the simulated chip of the same view"),
    "share_of_copies": ("copies of training chips, %", 100.0, 1, "0 is as it should be"),
}


def write_page(path: Path, config: StudyConfig, numbers: dict[str, Any], pictures: dict[str, Path]) -> Path:
    """Write the page; ``numbers`` is the study's ``study.json``, ``pictures`` are files by what they show."""
    facts = numbers["facts"]
    targets = sorted(facts["chips_by_target"])
    text, geometry = (html.escape(row.title) for row in config.rows[:2])
    page = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        targets=html.escape(" and ".join(targets)),
        text=text,
        geometry=geometry,
        prior=_image(pictures["prior"]),
        turns=_each(pictures, "turn", targets),
        sectors=_each(pictures, "sector", targets),
        sweeps=_each(pictures, "sweep", targets),
        views=facts["views"]["held out"],
        table=_table(config, numbers),
        folder=html.escape(str(path.parent)),
    )
    atomic_write_text(path, page)
    return path


def _table(config: StudyConfig, numbers: dict[str, Any]) -> str:
    cells = {(cell["row"], cell["kind"], cell["quantity"]): cell for cell in numbers["cells"]}
    first, second = config.rows[0], config.rows[1]
    columns = [
        (CEILING_ROW, VALUE, "best possible"),
        (first.name, VALUE, first.title),
        (second.name, VALUE, second.title),
        (second.name, DIFFERENCE, "difference"),
    ]
    head = "".join(f"<th>{html.escape(title)}</th>" for _, _, title in columns)
    lines = [
        f"<tr><td>{title}</td>"
        + "".join(f"<td>{_printed(cells.get((row, kind, name)), scale, digits, kind)}</td>" for row, kind, _ in columns)
        + f"<td>{meaning}</td></tr>"
        for name, (title, scale, digits, meaning) in MEANINGS.items()
    ]
    return f"<table><tr><th></th>{head}<th>what it is</th></tr>{''.join(lines)}</table>"


def _printed(cell: dict[str, Any] | None, scale: float, digits: int, kind: str) -> str:
    if cell is None or cell["value"] is None:
        return "–"
    form = f"{'+' if kind == DIFFERENCE else ''}.{digits}f"
    value = f"{scale * cell['value']:{form}}"
    if cell["low"] is None or cell["high"] is None:
        return value
    return f"{value}<br><small>{scale * cell['low']:{form}} to {scale * cell['high']:{form}}</small>"


def _each(pictures: dict[str, Path], name: str, targets: list[str]) -> str:
    return "".join(
        f"<h3>{html.escape(target)}</h3>{_image(pictures[f'{name} {number}'])}"
        for number, target in enumerate(targets, start=1)
    )


def _image(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img src="data:image/{path.suffix[1:]};base64,{data}" alt="{html.escape(path.stem)}">'
