"""Figures and chips as inline PNG data."""

import base64
import io

import numpy as np
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

COLOURS = {
    "generated": "#d1495b",
    "real half": "#2e6f95",
    "reference": "#7a8794",
    "azimuth-shuffled": "#edae49",
    "class-shuffled": "#9c6644",
    "noise": "#555555",
    "clutter only": "#66a182",
}
"""One colour for a row, in every figure."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of ``width`` x ``height`` inches, with the report's type sizes."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def inline_figure(figure: Figure) -> str:
    """A figure as a ``data:`` address."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return _address(buffer.getvalue())


def shown(chip: Float[np.ndarray, "height width"], white: float) -> np.ndarray:
    """8-bit picture of a chip: square root of value over ``white``."""
    return np.round(255.0 * np.sqrt(np.clip(chip / white, 0.0, 1.0))).astype(np.uint8)


def inline_chip(chip: Float[np.ndarray, "height width"], white: float) -> str:
    """A chip as a ``data:`` address, shown as ``shown`` does."""
    buffer = io.BytesIO()
    Image.fromarray(shown(chip, white)).save(buffer, format="PNG")
    return _address(buffer.getvalue())


def white_of(amplitude: Float[np.ndarray, "chip height width"]) -> float:
    """The value that pictures show as white: the 99.8th percentile of all pixels of a set."""
    return max(float(np.percentile(amplitude[:: max(1, len(amplitude) // 100)], 99.8)), 1e-6)


def _address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
