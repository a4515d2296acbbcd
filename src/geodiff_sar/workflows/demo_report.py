"""The demo's report: one self-contained HTML page."""

import base64
import html
from pathlib import Path

from geodiff_sar.core.files import atomic_write_text

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>geodiff-sar demo</title><style>
body {{ font: 16px/1.5 sans-serif; max-width: 1150px; margin: 2em auto; padding: 0 1em; }}
img {{ max-width: 100%; image-rendering: pixelated; border: 1px solid #ccc; }}
td, th {{ border: 1px solid #ccc; padding: .2em .8em; text-align: right; }} td:first-child {{ text-align: left; }}
table {{ border-collapse: collapse; }} code {{ background: #eee; }}</style></head><body>
<h1>geodiff-sar demo</h1>
<p>An adapter was trained on the embedded base model with simulated chips of four aircraft at azimuths 0, 10 ... 350
degrees, half of the time under a caption without azimuth. The chips below are generated at azimuths in between (5, 50, 95
...), each from its caption, its own point cloud and a reference chip of the same aircraft at a neighbouring azimuth. The
radar is on the left; azimuth 0 is nose towards the radar. All pictures on this page show the square root of the amplitude;
the PNG files hold the amplitude.</p>
<h2>Generated chips</h2><img src="{generated}" alt="generated chips, one row per aircraft">
<h2>What the simulator shows at the same angles</h2><img src="{simulated}" alt="simulated chips">
<h2>Under different conditions</h2><p>One view of each aircraft, with the same seed, from left to right: the caption alone;
with the point cloud; with a reference chip; with both; and a <i>short</i> caption, which names no azimuth, alone and with the
point cloud. With the short caption, only the cloud tells from where the aircraft is seen.</p>
<img src="{conditions}" alt="conditions compared">
<h2>A turn of {first}</h2><img src="{sweep}" alt="animation of a sweep over azimuth">
<h2>Are they right?</h2>
<p>Each generated chip is compared with simulated chips by the correlation of smoothed amplitudes. <b>Azimuth</b>: among eight
azimuths of the right aircraft, how often the requested one is the most similar (chance 12.5 %). <b>Target</b>: among the four
aircraft at the right azimuth, how often the requested one is the most similar (chance 25 %). The last row is the ceiling: the
simulator itself with other clutter.</p>
<table><tr><th>condition</th><th>azimuth</th><th>target</th><th>correlation</th></tr>{rows}</table>
<p>The short caption alone cannot know the azimuth; what the point cloud adds to it is what geometry does.</p>
<p>The chips, the point clouds and this check come from one ray tracer and from parametric models of the aircraft: this shows
that the parts work together, not how closely real chips would be met. The base model is text-conditioned and has seen all
azimuths of these aircraft.</p>
<p>Adapter: <code>{adapter}</code>. Every PNG carries its recipe: <code>geodiff-sar show FILE</code>.</p></body></html>
"""


def write_report(folder: Path, scores: dict[str, dict[str, float]], adapter: Path) -> Path:
    """Write ``report.html`` with the pictures of ``folder/pictures`` inside it; returns its path."""
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{row['azimuth']:.0%}</td><td>{row['target']:.0%}</td>"
        f"<td>{row['correlation']:.3f}</td></tr>"
        for name, row in scores.items()
    )
    pictures = {name: _inline(folder / "pictures" / f"{name}.png") for name in ("generated", "simulated", "conditions")}
    page = PAGE.format(
        **pictures,
        sweep=_inline(folder / "pictures" / "sweep.gif"),
        rows=rows,
        adapter=html.escape(str(adapter)),
        first="the Cessna 208",
    )
    path = folder / "report.html"
    atomic_write_text(path, page)
    return path


def _inline(path: Path) -> str:
    return f"data:image/{path.suffix[1:]};base64,{base64.b64encode(path.read_bytes()).decode()}"
