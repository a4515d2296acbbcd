"""Simulated chips with their priors, for what changes both."""

import pytest

from geodiff_sar.data.readers import read_samples
from geodiff_sar.workflows.simulate import SimulateRequest, simulate
from geodiff_sar.workflows.tracing import TraceConfig

TRACED = {
    "targets": [{"source": "tank:1"}],
    "azimuths": "20,100,200,290",
    "radar": "compact-ku",
    "radar_set": ["rows=48", "columns=48"],
    "prior": {"trace": {"rays": 20_000}},
}


@pytest.fixture(scope="session")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirror") / "chips"
    simulate(SimulateRequest(TraceConfig.model_validate(TRACED), folder, 1))
    return read_samples(folder)
