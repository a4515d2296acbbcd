"""The demo: a small study on targets that the embedded base has never seen, and a page that says what came of it."""

from pathlib import Path

from geodiff_sar.core.config import load_options
from geodiff_sar.core.files import read_json
from geodiff_sar.workflows.demo_page import write_page
from geodiff_sar.workflows.demo_pictures import draw_pictures
from geodiff_sar.workflows.study.options import StudyConfig
from geodiff_sar.workflows.study.run import StudyRequest, study

STUDY = Path(__file__).with_name("demo.toml")


def demo_study(seed: int) -> StudyConfig:
    """The study of the demo; ``seed`` is that of training and of the noise that chips are made from."""
    return load_options(StudyConfig, STUDY, [f"seeds=[{seed}]"])


def demo(output_dir: Path, seed: int) -> str:
    """Run the demo; returns the lines to print at the end. Stopped and started again, it goes on where it was."""
    config = demo_study(seed)
    study(StudyRequest(config=config, out=output_dir))
    pictures = draw_pictures(config, output_dir)
    page = write_page(output_dir / "report.html", config, read_json(output_dir / "study.json"), pictures)
    adapters = sorted((output_dir / "runs").glob(f"*-seed{seed}-*/adapter"))
    lines = [f"report:   {page}", f"pictures: {output_dir / 'pictures'}"]
    return "\n".join([*lines, *(f"adapter:  {path}" for path in adapters)])
