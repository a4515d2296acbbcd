"""Cross-talk: what a radar of finite isolation lets through from the co-polar into the cross-polar channels.

First order of the usual distortion model (van Zyl 1990): HV' = HV + t VV + r HH for isolations t of the transmitting and
r of the receiving antenna. Both have the same magnitude here; the phase between them is an option, since it is seldom known:
90 degrees give the mean power over all phases. HV and VH get the same, so they stay reciprocal.
"""

from dataclasses import replace

import numpy as np

from geodiff_sar.geometry.hits import POLARISATION_COLUMN, Hits
from geodiff_sar.geometry.radar import RadarOptions


def leaked(hh: np.ndarray, vv: np.ndarray, radar: RadarOptions) -> np.ndarray:
    """What each cross-polar channel gets of HH and VV, each lowered by the cross-talk; complex64 of any shape."""
    if radar.cross_talk_db is None:
        return np.zeros(hh.shape, dtype=np.complex64)
    turn = np.complex64(np.exp(1j * np.radians(radar.cross_talk_phase_deg)))
    return (np.float32(10 ** (radar.cross_talk_db / 20)) * (hh + turn * vv)).astype(np.complex64)


def with_cross_talk(hits: Hits, radar: RadarOptions) -> Hits:
    """Hits as a radar of this isolation receives them; perfect isolation gives the hits themselves."""
    if radar.cross_talk_db is None:
        return hits
    hh, hv, vh, vv = (POLARISATION_COLUMN[name] for name in ("HH", "HV", "VH", "VV"))
    amplitude = hits.amplitude.copy()
    amplitude[:, [hv, vh]] += leaked(amplitude[:, hh], amplitude[:, vv], radar)[:, None]
    return replace(hits, amplitude=amplitude)
