"""Matrix products in bfloat16: nearly the same losses and gradients, attention in float32."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from geodiff_sar.training.half_precision import AttentionInFloat32
from geodiff_sar.training.pretrain.options import PretrainOptions
from geodiff_sar.training.pretrain.transformer_stage import LatentBatch, TransformerTask, build_transformer
from support import TINY


def test_losses_and_gradients_are_nearly_those_of_float32():
    found = {}
    for precision in ("no", "bf16"):
        stage = {**TINY["train_transformer"], "precision": precision}
        options = PretrainOptions.model_validate({**TINY, "train_transformer": stage})
        torch.manual_seed(0)
        transformer = build_transformer(options)
        for parameter in transformer.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        task = TransformerTask(transformer, options.train_transformer, options.shift)
        torch.manual_seed(1)
        channels, side = (
            options.vae.latent_channels,
            options.resolution[0] // 2 ** (len(options.vae.block_out_channels) - 1),
        )
        width, pooled = options.text.clip_l_width + options.text.clip_g_width, 2 * options.text.projection
        batch = LatentBatch(
            torch.randn(4, channels, side, side),
            torch.full((channels,), 0.1),
            torch.randn(4, 6, width),
            torch.randn(4, pooled),
            [""] * 4,
        )
        with AttentionInFloat32(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss, _ = task.loss(batch)
        loss.backward()
        gradients = [p.grad for p in transformer.parameters() if p.grad is not None]
        assert all(gradient.dtype == torch.float32 for gradient in gradients)
        found[precision] = float(loss.detach()), torch.cat([gradient.flatten() for gradient in gradients])
    (exact, one), (half, other) = found["no"], found["bf16"]
    assert half != exact
    assert half == pytest.approx(exact, rel=0.02)
    assert float(torch.cosine_similarity(one, other, dim=0)) > 0.995


def test_attention_stays_in_float32():
    query = torch.randn(2, 2, 5, 8, requires_grad=True)
    layer = torch.nn.Linear(8, 8)

    def attend(rows: torch.Tensor) -> torch.Tensor:
        rows = layer(rows)
        assert rows.dtype == torch.bfloat16
        return scaled_dot_product_attention(rows, rows, rows, dropout_p=0.0, is_causal=False)

    with torch.autocast("cpu", torch.bfloat16):
        assert attend(query).dtype == torch.bfloat16
    with AttentionInFloat32(), torch.autocast("cpu", torch.bfloat16):
        assert attend(query).dtype == torch.float32


def test_outside_autocast_attention_is_as_it_was():
    """Captions that are encoded within the loop come out as those encoded before it."""
    layer = torch.nn.Linear(8, 8, dtype=torch.bfloat16)
    rows, mask = torch.randn(2, 2, 5, 8, dtype=torch.bfloat16), torch.zeros(2, 2, 5, 5, dtype=torch.bfloat16)
    with AttentionInFloat32():
        found = layer(scaled_dot_product_attention(rows, rows, rows, mask))
    assert torch.equal(found, layer(scaled_dot_product_attention(rows, rows, rows, mask)))


def test_fp16_is_for_gpus():
    with pytest.raises(ValueError, match="GPU only"):
        PretrainOptions.model_validate({"train_transformer": {"precision": "fp16"}})
    with pytest.raises(ValueError, match="does not use precision"):
        PretrainOptions.model_validate({"train_text": {"precision": "bf16"}})
