"""What every way of injecting conditions has to do, alone and together with the others."""

import os
import subprocess
import sys
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path

import pytest
import torch
from diffusers import SD3Transformer2DModel
from diffusers.models.attention_processor import JointAttnProcessor2_0, SD3IPAdapterJointAttnProcessor2_0
from peft.tuners.lora import LoraLayer

from geodiff_sar.conditioning.conditioned import Conditioned
from geodiff_sar.conditioning.fusion import FUSIONS
from geodiff_sar.conditioning.injection import GATE_GAIN
from geodiff_sar.conditioning.options import ConditioningOptions, ConditioningSizes, FusionOptions
from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.data.dataset import Batch
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.model.adapter import AdapterRecord, load_adapter, save_adapter
from geodiff_sar.model.adapter_files import resolve_adapter
from geodiff_sar.model.backbone import Backbone, backbone_sizes
from geodiff_sar.model.lora import LoraOptions, add_lora
from geodiff_sar.model.token_processor import remove_processors
from geodiff_sar.training.adapter_task import AdapterTask
from geodiff_sar.training.objective import ObjectiveOptions
from support import random_condition

PLACES = ("pooled", "tokens", "map")
SUBSETS = [list(chosen) for chosen in chain.from_iterable(combinations(PLACES, k) for k in range(4))]
FILLED = [subset for subset in SUBSETS if subset]
NAMES = ("illumination", "shadow", "height")
REDUCTION = 3
STRIDES = {2: 2 * REDUCTION, 4: 4 * REDUCTION}
NO_DROPOUT = {"joint_dropout": 0.0, "geometry_dropout": 0.0, "image_dropout": 0.0, "pose_dropout": 0.0}
everywhere = pytest.mark.parametrize("inject", SUBSETS, ids="+".join)
somewhere = pytest.mark.parametrize("inject", FILLED, ids="+".join)


def transformer(patch: int = 2, qk_norm: str | None = "rms_norm") -> SD3Transformer2DModel:
    """Latents of 8 x 8; the first of two blocks has a second attention."""
    torch.manual_seed(0)
    return SD3Transformer2DModel(
        sample_size=8, patch_size=patch, in_channels=16, out_channels=16, num_layers=2, num_attention_heads=2,
        attention_head_dim=8, joint_attention_dim=32, caption_projection_dim=16, pooled_projection_dim=16,
        pos_embed_max_size=8, qk_norm=qk_norm, dual_attention_layers=(0,),
    ).eval()  # fmt: skip


def condition_of(seed: int = 0):
    return random_condition(seed, size=8, maps=(len(NAMES), 8 * REDUCTION, 8 * REDUCTION))


def stack_of(model, inject, patch: int = 2, trained: bool = False, method: str = "hybrid_film_attn", **options):
    """A stack, or None for no injection; ``trained``: with random numbers where it starts at zero."""
    if not inject:
        return None
    torch.manual_seed(1)
    names = NAMES if "map" in inject else ()
    sizes = ConditioningSizes(16, 16, 64, 16, backbone_sizes(model, STRIDES[patch]), names, patch)
    settings = ConditioningOptions.model_validate({**NO_DROPOUT, "points": {"heads": 2}, **options})
    fusion = FusionOptions(method=method) if "pooled" in inject else None
    stack = ConditioningStack(sizes, settings, fusion, inject).eval()
    if trained:
        if stack.injection is not None and stack.injection.theta is not None:
            stack.injection.theta.data.fill_(0.7 / GATE_GAIN)
        for name, parameter in stack.named_parameters():
            if name.endswith("to_v.weight") or name.startswith(("maps.projection", "maps.null")):
                parameter.data.normal_(std=0.5)
    return stack


def answer(backbone: Backbone, condition, scale: float = 1.0, **options) -> torch.Tensor:
    g = torch.Generator().manual_seed(2)
    x, time = torch.randn(3, 16, 8, 8, generator=g), torch.tensor([10.0, 400.0, 990.0])
    with torch.no_grad():
        return backbone(x, time, condition.context, backbone.condition(condition, scale), **options)


def plain(model, condition) -> torch.Tensor:
    g = torch.Generator().manual_seed(2)
    with torch.no_grad():
        return model(
            hidden_states=torch.randn(3, 16, 8, 8, generator=g), timestep=torch.tensor([10.0, 400.0, 990.0]),
            encoder_hidden_states=condition.context, pooled_projections=condition.pooled,
        ).sample  # fmt: skip


def task_of(inject, checkpointing: bool = False, **options) -> AdapterTask:
    model = transformer()
    stack = stack_of(model, inject, **options)
    add_lora(model, LoraOptions(rank=2), seed=0)
    if checkpointing:
        model.enable_gradient_checkpointing()
    return AdapterTask(Backbone(model, stack), ObjectiveOptions(), 3.0, torch.device("cpu"))


def batch_of(condition) -> Batch:
    g = torch.Generator().manual_seed(3)
    mean = torch.randn(3, 16, 8, 8, generator=g)
    return Batch(["a", "b", "c"], ["x", "y", "z"], mean, torch.zeros_like(mean), condition)


def loss_of(task: AdapterTask, condition) -> torch.Tensor:
    g = torch.Generator().manual_seed(2)
    latents, noise = torch.randn(3, 16, 8, 8, generator=g), torch.randn(3, 16, 8, 8, generator=g)
    return task.losses(condition, latents, noise, torch.tensor([0.2, 0.5, 0.8]))[0].sum()


@everywhere
@pytest.mark.parametrize("patch", [2, 4])
@pytest.mark.parametrize("qk_norm", ["rms_norm", None])
def test_an_untrained_adapter_is_the_base_bit_for_bit(inject, patch, qk_norm):
    model, condition = transformer(patch, qk_norm), condition_of()
    expected = plain(model, condition)
    backbone = Backbone(model, stack_of(model, inject, patch))
    add_lora(model, LoraOptions(rank=2), seed=0)
    for given in (condition, condition.without(geometry=True, image=True, pose=True)):
        assert torch.equal(answer(backbone, given), expected)
        assert torch.equal(answer(backbone, given, 0.4), expected)


@pytest.mark.parametrize("patch", [2, 4])
def test_untrained_maps_without_forecast_are_the_base_bit_for_bit(patch):
    model, condition = transformer(patch), condition_of()
    backbone = Backbone(model, stack_of(model, ["map"], patch, maps={"encoder": "patch"}))
    assert torch.equal(answer(backbone, condition), plain(model, condition))


@somewhere
def test_strength_zero_is_the_base_and_strength_matters(inject):
    model, condition = transformer(), condition_of()
    backbone = Backbone(model, stack_of(model, inject, trained=True))
    full = answer(backbone, condition)
    assert torch.equal(answer(backbone, condition, 0.0), plain(model, condition))
    half = answer(backbone, condition, 0.5)
    assert (half - plain(model, condition)).abs().max() > 1e-4
    assert (half - full).abs().max() > 1e-4


def test_the_published_form_of_the_attention_would_not_equal_the_base():
    """Why TokenAttention is not diffusers' own: with values of zero, its second attention still sees the image's values."""
    attention = transformer().transformer_blocks[0].attn2
    x = torch.randn(1, 4, 16)
    theirs = SD3IPAdapterJointAttnProcessor2_0(16, 16, 8, timesteps_emb_dim=16, scale=1.0)
    torch.nn.init.zeros_(theirs.to_v_ip.weight)
    given = {"ip_hidden_states": torch.randn(1, 3, 16), "temb": torch.randn(1, 16)}
    with torch.no_grad():
        difference = theirs(attention, x, **given) - JointAttnProcessor2_0()(attention, x)
    assert difference.abs().max() > 1e-3


@everywhere
def test_gradients_reach_everything_that_is_trained_within_two_steps(inject):
    task = task_of(inject)
    there = torch.tensor([True, False, True])
    absent = dict.fromkeys(("has_geometry", "has_maps", "has_image", "has_azimuth", "has_depression"), there)
    batch = batch_of(replace(condition_of(), **absent))
    parameters = [p for group in task.parameter_groups() for p in group["params"]]
    assert len({id(p) for p in parameters}) == len(parameters)
    optimizer = torch.optim.SGD(parameters, lr=0.5)
    reached: dict[str, float] = {}
    for step in range(3):
        torch.manual_seed(step)
        optimizer.zero_grad()
        task.loss(batch)[0].backward()
        for part, module in task.modules().items():
            for name, parameter in module.named_parameters():
                if parameter.requires_grad:
                    assert parameter.grad is not None, name
                    reached[f"{part}.{name}"] = max(
                        reached.get(f"{part}.{name}", 0.0), float(parameter.grad.abs().max())
                    )
        if step == 0:
            opened = {
                "pooled": "conditioning.injection.theta",
                "tokens": "conditioning.tokens.attentions.0_attn2.to_v.weight",
                "map": "conditioning.maps.projection.weight",
            }
            assert all(reached[opened[place]] > 0 for place in inject)
        optimizer.step()
    stack = {name: size for name, size in reached.items() if name.startswith("conditioning.")}
    dead = [name for name, size in stack.items() if size == 0.0 and "in_proj_bias" not in name]
    assert dead == []


@somewhere
def test_another_geometry_changes_the_loss(inject):
    task, condition = task_of(inject, trained=True), condition_of()
    other = condition_of(seed=5)
    changes = {"maps": {"maps": other.maps}} if "map" in inject else {}
    if inject != ["map"]:
        changes |= {
            "features": {"features": other.features},
            "coordinates": {"coordinates": other.coordinates},
            "pose": {"azimuth_deg": condition.azimuth_deg + 40},
            "reference": {"reference": other.reference},
        }
    before = loss_of(task, condition)
    for name, change in changes.items():
        assert (loss_of(task, replace(condition, **change)) - before).abs() > 1e-5, name
    assert (loss_of(task, condition.without(geometry=True)) - before).abs() > 1e-5


@somewhere
def test_order_of_points_and_padding_do_not_matter(inject):
    model, condition = transformer(), condition_of()
    backbone = Backbone(model, stack_of(model, inject, trained=True))
    expected = answer(backbone, condition)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    points = ("features", "coordinates", "point_mask")
    moved = replace(condition, **{name: getattr(condition, name)[:, order] for name in points})
    torch.testing.assert_close(answer(backbone, moved), expected, atol=1e-5, rtol=1e-5)
    longer = replace(
        condition,
        features=torch.cat([condition.features, torch.full((3, 4, 64), torch.nan)], dim=1),
        coordinates=torch.cat([condition.coordinates, torch.full((3, 4, 3), torch.inf)], dim=1),
        point_mask=torch.cat([condition.point_mask, torch.zeros(3, 4, dtype=torch.bool)], dim=1),
    )
    torch.testing.assert_close(answer(backbone, longer), expected, atol=1e-5, rtol=1e-5)


@somewhere
def test_values_of_absent_modalities_do_not_leak(inject):
    model, condition = transformer(), condition_of().without(geometry=True, image=True)
    backbone = Backbone(model, stack_of(model, inject, trained=True))
    spoiled = replace(
        condition,
        **{
            n: torch.full_like(getattr(condition, n), torch.nan)
            for n in ("features", "coordinates", "reference", "maps")
        },
    )
    assert torch.equal(answer(backbone, spoiled), answer(backbone, condition))


@somewhere
def test_rows_do_not_depend_on_their_batch(inject):
    model, condition = transformer(), condition_of()
    stack = stack_of(model, inject, trained=True)
    together = stack(condition)
    alone = Conditioned.join([stack(condition.rows([row])) for row in range(3)])
    for name in ("pooled", "tokens", "maps"):
        if getattr(together, name) is not None:
            torch.testing.assert_close(getattr(alone, name), getattr(together, name), atol=1e-5, rtol=1e-5)


@somewhere
def test_gradient_checkpointing_gives_the_same_gradients(inject):
    found = []
    for checkpointing in (False, True):
        task = task_of(inject, checkpointing, trained=True)
        for module in task.modules().values():
            module.eval()
        loss_of(task, condition_of()).backward()
        found.append(
            {
                f"{part}.{name}": parameter.grad
                for part, module in task.modules().items()
                for name, parameter in module.named_parameters()
                if parameter.grad is not None
            }
        )
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-6, rtol=1e-5)


@somewhere
def test_left_out_layers(inject):
    model, condition = transformer(), condition_of()
    backbone = Backbone(model, stack_of(model, inject, trained=True))
    whole = answer(backbone, condition)
    without = answer(backbone, condition, skip_layers=[0])
    assert without.isfinite().all()
    assert not torch.equal(whole, without)
    assert torch.equal(answer(backbone, condition), whole)


COMPILED = """
import torch
from test_contract_inject import PLACES, Backbone, answer, condition_of, stack_of, transformer

model, condition = transformer(), condition_of()
backbone = Backbone(model, stack_of(model, list(PLACES), trained=True))
expected, text = answer(backbone, condition), answer(backbone, condition, 0.0)
for block in model.transformer_blocks:
    block.compile(backend="eager", fullgraph=True)
torch.testing.assert_close(answer(backbone, condition), expected)
torch.testing.assert_close(answer(backbone, condition, 0.0), text)
"""


def test_blocks_can_be_compiled_whole():
    """Regional compilation: each block is one graph. In a process of its own, since shape checks cannot be compiled."""
    folders = os.pathsep.join(str(Path(__file__).resolve().parents[k]) for k in (0, 1))
    done = subprocess.run(
        [sys.executable, "-c", COMPILED], env={**os.environ, "PYTHONPATH": folders}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


@somewhere
def test_the_base_keeps_its_own_parameters_and_several_adapters_share_it(inject):
    model, condition = transformer(), condition_of()
    before, keys = plain(model, condition), set(model.state_dict())
    one = Backbone(model, stack_of(model, inject, trained=True))
    first = answer(one, condition)
    other_stack = stack_of(model, inject, trained=True)
    for parameter in other_stack.parameters():
        parameter.data.mul_(1.5)
    two = Backbone(model, other_stack)
    assert not torch.equal(answer(two, condition), first)
    assert torch.equal(answer(one, condition), first)
    assert torch.equal(plain(model, condition), before)
    assert torch.equal(answer(Backbone(model), condition), before)
    assert set(model.state_dict()) == keys
    assert not {id(p) for p in model.parameters()} & {id(p) for p in one.conditioning.parameters()}
    add_lora(model, LoraOptions(rank=2), seed=0)
    assert all(p.requires_grad for p in one.conditioning.parameters())
    assert not any(isinstance(module, LoraLayer) for module in one.conditioning.modules())
    remove_processors(model)
    assert all(isinstance(p, JointAttnProcessor2_0) for p in model.attn_processors.values())
    assert torch.equal(plain(model, condition), before)


def test_a_failed_call_leaves_no_hook():
    model, condition = transformer(), condition_of()
    backbone = Backbone(model, stack_of(model, ["map"], trained=True))
    smaller = replace(condition, maps=condition.maps[:, :, :12, :12])
    with pytest.raises(DataError, match="give"):
        answer(backbone, smaller)
    assert not model.pos_embed._forward_hooks


@everywhere
def test_saved_adapter_comes_back_bit_for_bit(inject, tmp_path):
    model, condition = transformer(), condition_of()
    stack = stack_of(model, inject, trained=True)
    add_lora(model, LoraOptions(rank=2), seed=0)
    record = AdapterRecord(
        base="mini", base_hash="h" * 64, shift=2.0, remap=AmplitudeRemap(), resolution=(32, 32), t5_length=8,
        lora=LoraOptions(rank=2), conditioning=None if stack is None else stack.header(), inject=inject,
    )  # fmt: skip
    save_adapter(tmp_path / "run", "run", model, stack, record)
    assert (tmp_path / "run" / "run_fusion_weights.safetensors").exists() == bool(inject)
    fresh = transformer()
    loaded = load_adapter(resolve_adapter(str(tmp_path / "run")), fresh, "h" * 64)
    assert loaded.record == record
    assert (loaded.conditioning is None) == (stack is None)
    if stack is not None and loaded.conditioning is not None:
        assert loaded.conditioning.header() == stack.header()
        stack.requires_grad_(False)  # as a loaded one: torch's attention has another path for it, with other last bits
    expected = answer(Backbone(model, stack), condition)
    assert torch.equal(answer(Backbone(fresh, loaded.conditioning), condition), expected)


@pytest.mark.parametrize("method", FUSIONS.names())
@pytest.mark.parametrize("inject", [["pooled", "tokens"], ["pooled", "map"], list(PLACES)], ids="+".join)
def test_every_fusion_method_works_beside_the_others(method, inject):
    task = task_of(inject, method=method)
    loss, values = task.loss(batch_of(condition_of()))
    loss.backward()
    assert loss.isfinite()
    assert values["gate/max"] == 0.0


@pytest.mark.parametrize("modalities", [["pose"], ["geometry"], ["image"], ["geometry", "pose"]], ids="+".join)
@pytest.mark.parametrize("inject", [["pooled"], ["tokens"], ["pooled", "tokens"]], ids="+".join)
def test_a_modality_left_out_is_never_seen(modalities, inject):
    model, condition, other = transformer(), condition_of(), condition_of(seed=7)
    stack = stack_of(model, inject, trained=True, modalities=modalities)
    fields = {
        "geometry": ("features", "coordinates", "has_geometry"),
        "image": ("reference", "has_image"),
        "pose": ("azimuth_deg", "depression_deg", "has_azimuth"),
    }
    expected = answer(Backbone(model, stack), condition)
    for modality, names in fields.items():
        for name in names:
            value = getattr(other, name)
            value = ~value if value.dtype == torch.bool else value + 25.0
            same = torch.equal(answer(Backbone(model, stack), replace(condition, **{name: value})), expected)
            assert same == (modality not in modalities), name
    built = {name: getattr(stack, attribute) is not None for name, attribute in
             {"geometry": "points", "image": "image", "pose": "pose"}.items()}  # fmt: skip
    assert built == {name: name in modalities for name in fields}


def test_maps_alone_build_no_vector_encoders():
    stack = stack_of(transformer(), ["map"])
    assert {name.split(".")[0] for name in stack.state_dict()} == {"maps"}
    assert (stack.needs.clouds, stack.needs.maps, stack.needs.image, stack.needs.pose) == (False, True, False, False)


def test_what_does_not_fit_is_refused():
    model = transformer()
    with pytest.raises(OptionError, match="maps carry geometry"):
        stack_of(model, ["map"], modalities=["pose"])
    with pytest.raises(OptionError, match=r"conditioning\.tokens\.heads"):
        stack_of(model, ["tokens"], tokens={"heads": 3})
    with pytest.raises(OptionError, match="nothing about the transformer"):
        ConditioningStack(ConditioningSizes(16, 16, 64, 16), ConditioningOptions(), None, ["tokens"])
    stack = stack_of(model, ["tokens"])
    with pytest.raises(DataError, match="this base has"):
        Backbone(transformer(patch=2, qk_norm=None).__class__.from_config({**model.config, "num_layers": 1}), stack)
    with pytest.raises(DataError, match="prior maps"):
        stack_of(model, ["map"])(replace(condition_of(), maps=torch.zeros(3, 2, 24, 24)))
