"""The demo on a tiny base: a study, its pictures and a page that stands alone."""

import re

import pytest
from PIL import Image
from tracing_cases import command

from geodiff_sar.core.config import load_options, write_toml
from geodiff_sar.workflows import demo as workflow
from geodiff_sar.workflows.study.jobs import all_jobs
from geodiff_sar.workflows.study.options import StudyConfig


@pytest.fixture
def tiny_demo(tmp_path, tiny_base, monkeypatch):
    """The demo's own study with few small chips, few rays, few steps."""
    small = [
        'data.simulate.azimuths="0:360:10"',
        'data.simulate.radar_set=["rows=32","columns=32"]',
        "data.simulate.prior.trace.rays=2000",
        f'adapter.base="{tiny_base}"',
        "adapter.data.buckets.resolution=[32,32]",
        "adapter.train.max_steps=2",
        "generate.steps=1",
        "measure.encoder_steps=4",
        "measure.estimator_steps=4",
    ]
    path = tmp_path / "demo.toml"
    write_toml(path, load_options(StudyConfig, workflow.STUDY, small))
    monkeypatch.setattr(workflow, "STUDY", path)
    return tmp_path / "out"


def test_the_page_stands_alone_and_says_every_number(tiny_demo, monkeypatch, capsys):
    assert command(monkeypatch, "demo", "--output-dir", tiny_demo, "--seed", "5") == 0
    assert "report.html" in capsys.readouterr().out
    page = (tiny_demo / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert page.count("<img ") == 1 + 3 * 2
    assert "$" not in re.sub(r'"data:[^"]*"', "", page)
    table = page[page.index("<table>") : page.index("</table>")]
    assert table.count("<tr>") == 8
    assert "–" not in table
    with Image.open(tiny_demo / "pictures" / "sweep_1.gif") as animation:
        assert animation.n_frames > 10
        assert animation.size == (3 * 64, 64)
    stamp = (tiny_demo / "pictures" / "prior.png").stat().st_size
    assert stamp > 10_000


def test_seed_is_that_of_the_adapters():
    jobs = all_jobs(workflow.demo_study(5), workflow.STUDY.parent)
    assert {job.seed for job in jobs} == {5}
    assert [job.with_geometry for job in jobs] == [False, True]
