"""The generation pipeline: text, geometry, reference image and pose to chips."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
from diffusers.utils import BaseOutput
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from geodiff_sar.conditioning.injection import default_fusion_scale
from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.core.console import progress_bar
from geodiff_sar.core.errors import NumericalError, OptionError
from geodiff_sar.data.image import to_grey8
from geodiff_sar.data.prior_maps import map_names
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.model.adapter import load_adapter
from geodiff_sar.model.adapter_files import resolve_adapter
from geodiff_sar.model.backbone import Backbone
from geodiff_sar.model.base import BaseModel, load_base
from geodiff_sar.model.base_files import BaseFiles
from geodiff_sar.sampling.branches import BranchBuilder, ChipRequest
from geodiff_sar.sampling.guidance import GuidanceOptions, guided_velocity
from geodiff_sar.sampling.solvers import SOLVERS, flow_sigmas


@dataclass
class GeoDiffSAROutput(BaseOutput):
    """Result of the pipeline.

    Attributes:
        images: grey pictures.
        amplitudes: the same before rounding, (H, W) float32 in the amplitude scale of the training chips.
    """

    images: list[Image.Image]
    amplitudes: list[np.ndarray]


class GeoDiffSARPipeline(DiffusionPipeline):
    """SD3 with a conditioning stack. Build it with ``from_pretrained`` or, from a base, with ``from_base``. Text encoders are
    the base's own affair: ``base.text`` loads them when a caption comes up, and ``base.text.release()`` frees them.

    Everything about one chip (text, fusion, noise, decoding) is computed apart from the others, only the transformer sees
    them as a batch; a seed therefore gives the same picture in any batch, up to rounding in the transformer.
    """

    _optional_components = ["conditioning"]  # noqa: RUF012

    def __init__(
        self,
        transformer: SD3Transformer2DModel,
        vae: AutoencoderKL,
        scheduler: FlowMatchEulerDiscreteScheduler,
        conditioning: ConditioningStack | None = None,
    ):
        super().__init__()
        self.register_modules(transformer=transformer, vae=vae, scheduler=scheduler, conditioning=conditioning)
        self.base: BaseModel
        self.remap: AmplitudeRemap
        self.t5_only = False

    @classmethod
    def from_pretrained(  # pyright: ignore
        cls,
        pretrained_model: str | BaseFiles = "mini",
        lora_weights: str | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> "GeoDiffSARPipeline":
        """Pipeline from files.

        Args:
            pretrained_model: "mini", a folder in diffusers' layout, or a single file.
            lora_weights: an adapter's folder, one of its files, or a glob; None: the base alone.
            dtype: number format of the base.
            device: where to put it; None: the CPU.

        Raises:
            GeodiffError: a part is missing, damaged, or does not match.
        """
        base = load_base(pretrained_model, dtype, device)
        if lora_weights is None:
            return cls.from_base(base)
        adapter = load_adapter(resolve_adapter(lora_weights), base.transformer, base.hash)
        if adapter.conditioning is not None:
            adapter.conditioning.to(base.transformer.device)
        return cls.from_base(base, adapter.conditioning, adapter.record.remap, adapter.record.shift)

    def save_pretrained(self, *_: Any, **__: Any) -> None:
        """Not offered: a base is a folder already, and an adapter is saved by training."""
        raise OptionError(
            "save_pretrained",
            "called",
            "a pipeline is a base folder and an adapter",
            "copy the base's folder and the adapter's",
        )

    @classmethod
    def from_base(
        cls,
        base: BaseModel,
        conditioning: ConditioningStack | None = None,
        remap: AmplitudeRemap | None = None,
        shift: float | None = None,
    ) -> "GeoDiffSARPipeline":
        """Pipeline over a loaded base.

        Args:
            base: the base model, with LoRA layers if there is an adapter.
            conditioning: the adapter's stack in eval mode, or None for text only.
            remap: amplitude to model values; None: the base's.
            shift: timestep shift; None: the base's.
        """
        scheduler = FlowMatchEulerDiscreteScheduler(shift=shift or base.settings.shift)
        pipeline = cls(base.transformer, base.vae.vae, scheduler, conditioning)
        pipeline.base, pipeline.remap = base, remap or base.settings.remap
        return pipeline

    @torch.no_grad()
    def __call__(
        self,
        requests: list[ChipRequest],
        width: int | None = None,
        height: int | None = None,
        steps: int = 30,
        solver: str = "euler",
        guidance: GuidanceOptions | None = None,
        fusion_scale: float | None = None,
        show_progress: bool = False,
    ) -> GeoDiffSAROutput:
        """Generate one chip per request, all in one batch.

        Args:
            requests: what to generate.
            width, height: pixels, multiples of the base's grain; None: the base's own.
            steps: solver steps.
            solver: name of a solver.
            guidance: strengths; None: those that suit the base.
            fusion_scale: strength of all injections, 0 is text only; None: FUSION_INJECTION_SCALE, or 1.
            show_progress: show a progress bar.

        Raises:
            OptionError: impossible size, steps, solver or block number.
            NumericalError: NaN or Inf in latents or pixels, naming prompt and seed.
        """
        settings = self.base.settings
        fusion_scale = default_fusion_scale() if fusion_scale is None else fusion_scale
        width, height = width or settings.resolution[0], height or settings.resolution[1]
        guidance = guidance or GuidanceOptions.suited(settings)
        for request in requests:
            check_request(self.base, self.conditioning, request, width, height, steps, solver, guidance)
        shape = (self.base.vae.latent_channels, height // self.base.vae.reduction, width // self.base.vae.reduction)
        backbone = Backbone(self.base.transformer, self.conditioning)
        builder = BranchBuilder(self.base, backbone, self.remap, (width, height), fusion_scale, self.t5_only)
        branches = builder.build(requests, guidance.branches)
        device = self.base.transformer.device
        x = torch.cat([initial_noise(request.seed, shape) for request in requests]).to(device)
        shift = float(self.scheduler.config["shift"])
        sigmas = flow_sigmas(steps, shift)
        method = SOLVERS.get(solver)(sigmas)
        with progress_bar(show_progress) as bar:
            line = bar.add_task(f"{len(requests)} chips", total=steps, note="")
            for index in range(steps):
                velocity = guided_velocity(backbone, x, method.sigmas[index], index / steps, branches, guidance)
                x = method.step(x, velocity, index)
                self._require_finite(x, requests, f"latents after step {index + 1}")
                bar.advance(line)
        amplitudes = []
        for row, request in enumerate(requests):
            model = self.base.vae.decode(x[row : row + 1])
            self._require_finite(model, [request], "decoded pixels")
            amplitudes.append(self.remap.to_amplitude(model[0, 0].cpu().numpy()))
        return GeoDiffSAROutput([Image.fromarray(to_grey8(a)) for a in amplitudes], amplitudes)

    def _require_finite(self, values: Tensor, requests: list[ChipRequest], what: str) -> None:
        bad = (~torch.isfinite(values)).flatten(1).any(dim=1)
        if bool(bad.any()):
            request = requests[int(bad.nonzero()[0])]
            raise NumericalError(
                what,
                f"NaN or Inf for prompt {request.prompt!r}, seed {request.seed}",
                "finite numbers",
                "use --dtype fp32, or lower --guidance_scale",
            )


def initial_noise(seed: int, shape: tuple[int, int, int]) -> Float[Tensor, "1 channel height width"]:
    """Standard normal noise of one chip: float32, drawn on the CPU, whatever the device."""
    return torch.randn((1, *shape), generator=torch.Generator("cpu").manual_seed(seed))


def check_request(
    base: BaseModel,
    conditioning: ConditioningStack | None,
    request: ChipRequest,
    width: int,
    height: int,
    steps: int,
    solver: str,
    guidance: GuidanceOptions,
) -> None:
    """Make sure that a chip can be generated, before anything is computed; the transformer need not be loaded.

    Raises:
        OptionError: impossible size, steps, solver or block number.
        DataError: a prior that the conditioning stack cannot take.
    """
    SOLVERS.get(solver)
    if conditioning is not None and request.prior is not None:
        conditioning.check_prior(request.prior, map_names(request.prior))
    grain, largest = base.vae.grain, base.largest_side
    for name, side in (("--width (--w)", width), ("--height (--h)", height)):
        if side % grain or not grain <= side <= largest:
            raise OptionError(
                name,
                f"{side} pixels",
                f"a multiple of {grain} from {grain} to {largest} for this base",
                "choose one",
            )
    if not 1 <= steps <= 1000:
        raise OptionError("--sample_steps", str(steps), "1 to 1000", "choose a number in this range")
    count = int(base.skeleton.config["num_layers"])
    if any(not 0 <= layer < count for layer in guidance.skip_layers):
        raise OptionError("--skip_layers", str(guidance.skip_layers), f"block numbers 0..{count - 1}", "correct them")
