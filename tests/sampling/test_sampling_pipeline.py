import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from geodiff_sar.conditioning.injection import GATE_GAIN
from geodiff_sar.conditioning.options import ConditioningOptions, ConditioningSizes, FusionOptions
from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.core.errors import FileError, NumericalError, OptionError
from geodiff_sar.core.types import Pose
from geodiff_sar.data.recipe import read_recipe
from geodiff_sar.model.base import load_base
from geodiff_sar.sampling.guidance import GuidanceOptions
from geodiff_sar.sampling.pipeline import ChipRequest, GeoDiffSARPipeline
from geodiff_sar.sampling.recipe import write_chip
from geodiff_sar.sampling.sheet import contact_sheet, sweep_gif
from support import random_prior

CAPTION = "SAR image,Cessna 208,Ku-band,High,HH-Polarization,0.0"


@pytest.fixture(scope="module")
def base(tiny_base):
    return load_base(str(tiny_base))


def stack_of(base, gate: float) -> ConditioningStack:
    torch.manual_seed(1)
    pooled = base.transformer.config["pooled_projection_dim"]
    stack = ConditioningStack(ConditioningSizes(pooled, 16, 64, 16), ConditioningOptions(), FusionOptions())
    assert stack.injection is not None
    assert stack.injection.theta is not None
    stack.injection.theta.data.fill_(gate / GATE_GAIN)
    return stack.eval()


def request(seed: int = 3, cloud: int = 1, **changes) -> ChipRequest:
    reference = np.random.default_rng(0).uniform(0, 255, (40, 40)).astype(np.float32)
    given = {"prior": random_prior(cloud), "reference": reference, "pose": Pose(0.0, 30.0), **changes}
    return ChipRequest(CAPTION, seed, **given)


def draw(base, stack, requests, steps=4, **options):
    return GeoDiffSARPipeline.from_base(base, stack)(requests, steps=steps, **options).amplitudes


def test_an_untrained_adapter_is_the_base_bit_for_bit(base):
    plain = draw(base, None, [request()])
    assert np.array_equal(draw(base, stack_of(base, 0.0), [request()])[0], plain[0])


def test_every_condition_changes_the_picture(base):
    stack = stack_of(base, 2.0)
    (first,) = draw(base, stack, [request()])
    assert np.array_equal(draw(base, stack, [request()])[0], first)
    reference = np.zeros((40, 40), np.float32)
    for other in (
        request(cloud=2),
        request(reference=reference),
        request(pose=Pose(90.0, 30.0)),
        request(prior=None),
        request(reference=None),
        request(seed=4),
    ):
        assert np.abs(draw(base, stack, [other])[0] - first).max() > 1e-3


def test_fusion_scale_zero_is_text_only(base):
    text = draw(base, None, [request()])
    assert np.array_equal(draw(base, stack_of(base, 2.0), [request()], fusion_scale=0.0)[0], text[0])


def test_guidance_identities(base):
    stack = stack_of(base, 2.0)

    def at(**scales):
        return draw(base, stack, [request()], guidance=GuidanceOptions(**scales))[0]

    together = at(guidance_scale=3.0)
    assert np.allclose(at(guidance_scale=3.0, geometry_scale=3.0), together, atol=1e-2)
    assert not np.allclose(at(guidance_scale=3.0, geometry_scale=0.0), together, atol=1e-2)
    unguided = at(guidance_scale=1.0)
    assert np.allclose(at(guidance_scale=1.0, geometry_scale=1.0), unguided, atol=1e-2)
    assert not np.allclose(unguided, together, atol=1e-2)


def test_a_kept_level_is_that_of_the_whole_condition(base, monkeypatch):
    """One step moves each channel's mean by the mean of the velocity: with the level kept, as if nothing were guided."""
    stack, decode, seen = stack_of(base, 2.0), base.vae.decode, []
    monkeypatch.setattr(base.vae, "decode", lambda latents: seen.append(latents.clone()) or decode(latents))

    def at(**given):
        draw(base, stack, [request()], steps=1, guidance=GuidanceOptions(**given))
        return seen[-1]

    plain = at(guidance_scale=1.0, keep_level=True)
    assert torch.equal(plain, at(guidance_scale=1.0))
    for scales in ({"guidance_scale": 4.0}, {"guidance_scale": 4.0, "geometry_scale": 2.0}):
        free, kept = at(**scales), at(**scales, keep_level=True)
        level = [latents.mean(dim=(2, 3)) for latents in (plain, free, kept)]
        assert torch.allclose(level[0], level[2], atol=1e-5)
        assert not torch.allclose(level[0], level[1], atol=1e-2)
        pattern = [latents - latents.mean(dim=(2, 3), keepdim=True) for latents in (plain, free, kept)]
        assert torch.allclose(pattern[1], pattern[2], atol=1e-5)
        assert not torch.allclose(pattern[0], pattern[1], atol=1e-2)


def test_a_seed_gives_the_same_picture_in_any_batch(base):
    stack = stack_of(base, 2.0)
    requests = [request(seed) for seed in range(5)]
    together = draw(base, stack, requests)
    for alone, (amplitude,) in zip(together, (draw(base, stack, [r]) for r in requests), strict=True):
        assert np.abs(np.round(alone) - np.round(amplitude)).max() <= 1


def test_skip_layer_guidance_acts_inside_its_interval(base):
    def at(**options):
        guidance = GuidanceOptions(guidance_scale=2.0, **options)
        return draw(base, None, [request()], guidance=guidance)[0]

    plain = at()
    assert np.array_equal(at(skip_layers=[1], skip_layer_start=0.9, skip_layer_stop=1.0), plain)
    assert not np.array_equal(at(skip_layers=[1], skip_layer_start=0.1, skip_layer_stop=1.0), plain)
    with pytest.raises(OptionError, match="--skip_layers"):
        at(skip_layers=[9])


def test_guidance_acts_inside_its_interval_and_costs_nothing_outside(base, monkeypatch):
    stack, counts = stack_of(base, 2.0), []
    forward = base.transformer.forward
    monkeypatch.setattr(
        base.transformer, "forward", lambda **given: counts.append(len(given["hidden_states"])) or forward(**given)
    )

    def at(**options):
        counts.clear()
        return draw(base, stack, [request()], guidance=GuidanceOptions(guidance_scale=3.0, **options))[0]

    whole = at()
    assert counts == [2, 2, 2, 2]
    part = at(guidance_start=0.25, guidance_stop=0.75)
    assert counts == [1, 2, 2, 1]
    at(geometry_scale=2.0, guidance_stop=0.5)
    assert counts == [3, 3, 1, 1]
    assert np.array_equal(at(guidance_start=0.0, guidance_stop=1.0), whole)
    assert not np.array_equal(part, whole)
    never = at(guidance_start=0.8, guidance_stop=0.9)  # between the last two of four steps
    assert counts == [1, 1, 1, 1]
    assert np.allclose(never, draw(base, stack, [request()], guidance=GuidanceOptions(guidance_scale=1.0))[0])
    with pytest.raises(ValidationError, match="not below"):
        GuidanceOptions(guidance_start=0.5, guidance_stop=0.5)


@pytest.mark.parametrize("solver", ["euler", "dpmpp_2m"])
def test_size_and_solver(base, solver):
    amplitudes = draw(base, None, [request()], width=48, height=32, solver=solver)
    assert amplitudes[0].shape == (32, 48)
    assert np.isfinite(amplitudes[0]).all()


@pytest.mark.parametrize("options", [{"width": 40}, {"height": 4096}])
def test_impossible_sizes(base, options):
    with pytest.raises(OptionError, match="a multiple of 16"):
        draw(base, None, [request()], **options)


def test_nan_names_prompt_and_seed(tiny_base):
    broken = load_base(str(tiny_base))
    broken.transformer.proj_out.bias.data.fill_(float("nan"))
    with pytest.raises(NumericalError, match=r"Cessna 208.*seed 3"):
        draw(broken, None, [request()])


def test_recipe_round_trip(tmp_path):
    grey = np.random.default_rng(0).uniform(0, 300, (8, 6)).astype(np.float32)
    write_chip(tmp_path / "a.png", grey, {"seed": 3, "text": "Größe"})
    assert read_recipe(tmp_path / "a.png") == {"seed": 3, "text": "Größe"}
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "L"
        assert np.array_equal(np.asarray(picture), np.round(grey.clip(0, 255)).astype(np.uint8))
    write_chip(tmp_path / "b.png", grey, {}, rgb=True)
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.mode == "RGB"


def test_pictures_without_recipe(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "plain.png")
    with pytest.raises(FileError, match="no 'geodiff_sar' text chunk"):
        read_recipe(tmp_path / "plain.png")
    (tmp_path / "text.png").write_text("x")
    with pytest.raises(FileError, match="not a readable picture"):
        read_recipe(tmp_path / "text.png")


def test_sheet_and_animation(tmp_path):
    pictures = [np.full((16, 16), 40 * k, np.uint8) for k in range(5)]
    contact_sheet(tmp_path / "s.png", pictures, [str(k) for k in range(5)], columns=3)
    sweep_gif(tmp_path / "s.gif", pictures)
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.size == (3 * 18, 2 * (16 + 14 + 2))
    with Image.open(tmp_path / "s.gif") as animation:
        assert animation.n_frames == 5
