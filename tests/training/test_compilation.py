"""Compiled blocks are the same function, under the same names."""

import pytest
import torch
from torch._inductor import config as inductor

from geodiff_sar.core.errors import OptionError
from geodiff_sar.model.base import load_base
from geodiff_sar.model.lora import LoraOptions, add_lora
from geodiff_sar.training.compilation import compile_blocks
from geodiff_sar.training.pretrain.options import PretrainOptions
from geodiff_sar.training.pretrain.transformer_stage import build_transformer

SMALL = {
    "resolution": (32, 32),
    "vae": {"block_out_channels": [8, 16], "latent_channels": 4, "norm_groups": 8},
    "text": {"clip_l_width": 16, "clip_g_width": 16, "projection": 8},
    "transformer": {"layers": 2, "heads": 2, "head_width": 8, "dual_attention_layers": [0], "max_grid": 16},
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_same_loss_and_gradients():
    options = PretrainOptions.model_validate(SMALL)
    torch.manual_seed(0)
    transformer = build_transformer(options)
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    names = list(transformer.state_dict())
    inputs = {
        "hidden_states": torch.randn(2, 4, 16, 16),
        "timestep": torch.tensor([100.0, 700.0]),
        "encoder_hidden_states": torch.randn(2, 5, 32),
        "pooled_projections": torch.randn(2, 16),
    }

    def gradients() -> tuple[torch.Tensor, list[torch.Tensor]]:
        transformer.zero_grad()
        output = transformer(**inputs, return_dict=False)[0]
        output.square().mean().backward()
        return output.detach(), [p.grad.clone() for p in transformer.parameters() if p.grad is not None]

    eager, wanted = gradients()
    compile_blocks(transformer.transformer_blocks, "compile")
    compiled, found = gradients()
    assert list(transformer.state_dict()) == names
    assert eager.abs().mean() > 0.01
    torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-5)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_lora_with_dropout_on_the_embedded_base():
    """The same masks of dropout, so the same loss and gradients, for whole and for smaller batches."""
    base = load_base("mini", torch.float32, torch.device("cpu"))
    transformer = base.transformer
    add_lora(transformer, LoraOptions(rank=4, dropout=0.25), seed=3)
    trained = {name: p for name, p in transformer.named_parameters() if p.requires_grad}
    torch.manual_seed(0)
    for parameter in trained.values():
        torch.nn.init.normal_(parameter, std=0.05)
    transformer.train()
    context, pooled = base.text.encode(["a tank", "an aircraft seen from the side", "a truck"])
    latents = torch.randn(3, transformer.config["in_channels"], 32, 32)

    def step(rows: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        transformer.zero_grad()
        torch.manual_seed(7)
        output = transformer(
            hidden_states=latents[:rows],
            timestep=torch.tensor([100.0, 500.0, 900.0])[:rows],
            encoder_hidden_states=context[:rows],
            pooled_projections=pooled[:rows],
            return_dict=False,
        )[0]
        output.square().mean().backward()
        return output.detach(), {name: p.grad.clone() for name, p in trained.items() if p.grad is not None}

    wanted = [step(3), step(2)]
    transformer.eval()
    without, _ = step(3)
    transformer.train()
    assert (without - wanted[0][0]).abs().max() > 0.01  # dropout does something
    compile_blocks(transformer.transformer_blocks, "train.compile")
    for rows, (output, gradients) in zip((3, 2), wanted, strict=True):
        compiled, found = step(rows)
        torch.testing.assert_close(compiled, output, rtol=1e-4, atol=1e-4)
        assert found.keys() == gradients.keys() == trained.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max()) + 1e-7)


@inductor.patch({"cpp.cxx": ("no-such-compiler",)})
def test_without_a_compiler():
    with pytest.raises(OptionError, match="C\\+\\+ compiler"):
        compile_blocks([torch.nn.Linear(2, 2)], "train_transformer.compile")
