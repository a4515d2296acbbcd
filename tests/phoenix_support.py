"""Raw MSTAR chips as the collection writes them: a line feed, the header, big-endian magnitude and phase."""

from pathlib import Path

import numpy as np

HEADER = {
    "native_header_length": "0",
    "NumberOfColumns": "12",
    "NumberOfRows": "10",
    "TargetType": "t72_tank",
    "TargetSerNum": "s7",
    "TargetAz": "10.790657",
    "MeasuredDepression": "17.093750",
    "DesiredDepression": "17",
    "RadarPosition": "bottom",
    "Range3dBWidth": "0.301300",
    "CrossRange3dBWidth": "0.322900",
    "CenterFrequency": "9.60 GHz",
    "RangePixelSpacing": "0.202148",
    "CrossRangePixelSpacing": "0.203125",
    "Polarization": "HH",
}


def write_phoenix(
    path: Path,
    magnitude: np.ndarray,
    phase: np.ndarray | None = None,
    native: bytes = b"",
    extra: bytes = b"",
    **changes: str | None,
) -> Path:
    """Write a chip; ``changes`` replace fields of the header, None removes one."""
    rows, columns = magnitude.shape
    sizes = {"NumberOfRows": str(rows), "NumberOfColumns": str(columns), "native_header_length": str(len(native))}
    fields = {key: value for key, value in {**HEADER, **sizes, **changes}.items() if value is not None}
    text = "".join(f"{key}= {value}\n" for key, value in fields.items() if key != "PhoenixHeaderLength")
    body = f"PhoenixHeaderLength= {{}}\n{text}[EndofPhoenixHeader]\n"
    first = "\n[PhoenixHeaderVer01.04]\n"
    length = str(len(first + body.format("00000"))).zfill(5)
    head = first + body.format(fields.get("PhoenixHeaderLength", length))
    parts = [magnitude, np.zeros_like(magnitude) if phase is None else phase]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head.encode("latin-1") + native + b"".join(p.astype(">f4").tobytes() for p in parts) + extra)
    return path
