"""Preview pictures during training."""

from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import Field

from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import OptionError
from geodiff_sar.data.image import to_grey8
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.model.base import BaseModel
from geodiff_sar.sampling.guidance import GuidanceOptions
from geodiff_sar.sampling.pipeline import GeoDiffSARPipeline, check_request
from geodiff_sar.sampling.prompts import Prompt, load_prompts
from geodiff_sar.sampling.recipe import write_chip
from geodiff_sar.sampling.solvers import SOLVERS
from geodiff_sar.workflows.generation.requests import build_request


class PreviewOptions(Options):
    """Pictures that training draws; how often is set by train.preview_every_steps or _epochs."""

    prompts_file: str | None = Field(default=None, description="prompts file, the grammar of `geodiff-sar generate`")
    sample_steps: int = Field(default=20, ge=1, le=1000, description="solver steps")
    guidance_scale: float | None = Field(default=None, ge=0, description="None: the base's")
    solver: str = Field(default="euler", description="see `geodiff-sar list solvers`")


class Preview:
    """Draws the prompts of a file with the weights as they are; reads and checks the file at once."""

    def __init__(
        self,
        options: PreviewOptions,
        base: BaseModel,
        conditioning: ConditioningStack | None,
        shift: float,
        remap: AmplitudeRemap,
        folder: Path,
        name: str,
        resolution: tuple[int, int],
        pointcloud_dir: Path | None,
    ):
        self.resolution = resolution
        self.options, self.folder, self.name = options, folder / "samples", name
        self.prompts = [] if options.prompts_file is None else load_prompts(Path(options.prompts_file))
        self.base, self.conditioning, self.remap, self.shift = base, conditioning, remap, shift
        width = None if conditioning is None else conditioning.sizes.feature_dim
        self.requests = [
            build_request(prompt, number, width, folder=pointcloud_dir) for number, prompt in enumerate(self.prompts)
        ]
        if options.solver not in SOLVERS.names():
            raise OptionError(
                "preview.solver", repr(options.solver), f"a solver: {', '.join(SOLVERS.names())}", "choose one"
            )
        for prompt, request in zip(self.prompts, self.requests, strict=True):
            steps, guidance = self._steps(prompt), self._guidance(prompt)
            check_request(base, conditioning, request, *self._size(prompt), steps, options.solver, guidance)

    @property
    def wanted(self) -> bool:
        """Whether there is anything to draw."""
        return bool(self.prompts)

    @property
    def captions(self) -> list[str]:
        """All captions that it draws, or draws away from."""
        return [text for request in self.requests for text in (request.prompt, request.negative_prompt)]

    @cached_property
    def pipeline(self) -> GeoDiffSARPipeline:
        """The pipeline, on the transformer as it is trained."""
        return GeoDiffSARPipeline.from_base(self.base, self.conditioning, self.remap, self.shift)

    def _steps(self, prompt: Prompt) -> int:
        return prompt.sample_steps or self.options.sample_steps

    def _guidance(self, prompt: Prompt) -> GuidanceOptions:
        scale = self.options.guidance_scale if prompt.scale is None else prompt.scale
        return GuidanceOptions.suited(self.base.settings, scale)

    def _size(self, prompt: Prompt) -> tuple[int, int]:
        return prompt.width or self.resolution[0], prompt.height or self.resolution[1]

    def write(self, step: int) -> dict[str, np.ndarray]:
        """Draw all prompts into samples/; returns the grey pictures by name."""
        drawn = {}
        for number, (prompt, request) in enumerate(zip(self.prompts, self.requests, strict=True)):
            steps, guidance = self._steps(prompt), self._guidance(prompt)
            output = self.pipeline([request], *self._size(prompt), steps, self.options.solver, guidance, 1.0)
            recipe = {"kind": "preview", "prompt": request.prompt, "seed": request.seed, "training_step": step}
            path = self.folder / f"{self.name}_{step:08d}_{number:02d}.png"
            write_chip(path, output.amplitudes[0], recipe)
            drawn[f"preview/{number:02d}"] = to_grey8(output.amplitudes[0])
        return drawn
