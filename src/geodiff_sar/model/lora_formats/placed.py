"""A LoRA in memory on a model: which modules are whose, whether they fit, and their tensors as PEFT names them."""

from collections.abc import Mapping

from torch import Tensor, nn

from geodiff_sar.core.errors import DataError, listed
from geodiff_sar.model.lora_formats.canonical import Factors, Lora


def of_part(lora: Lora, part: str) -> dict[str, Factors]:
    """The modules of one part of a base (transformer, text_encoder ...), by their names in it."""
    return {name.removeprefix(f"{part}."): f for name, f in lora.modules.items() if name.startswith(f"{part}.")}


def require_fit(model: nn.Module, lora: Lora, part: str, called: str) -> None:
    """Make sure that a model has every layer that a LoRA changes in this part; the model may be without weights.

    Args:
        model: the part.
        lora: the LoRA.
        part: its name in the LoRA.
        called: its name in messages.

    Raises:
        DataError: layers that are missing or have another shape.
    """
    modules = of_part(lora, part)
    wrong = [name for name, factors in modules.items() if not _fits(model, name, factors)]
    if wrong:
        raise DataError(
            lora.source,
            f"{len(wrong)} of {len(modules)} modules do not fit this base's {called}: {listed(wrong)}",
            "a LoRA is used on the base model it was trained on",
            "give that base by --pretrained_model",
        )


def peft_state(modules: Mapping[str, Factors]) -> dict[str, Tensor]:
    """PEFT's tensors, in float32."""
    state: dict[str, Tensor] = {}
    for name, factors in modules.items():
        state[f"{name}.lora_A.weight"] = factors.down.float().contiguous()
        state[f"{name}.lora_B.weight"] = factors.up.float().contiguous()
        if factors.dora is not None:
            state[f"{name}.lora_magnitude_vector"] = peft_magnitude(factors).float()
    return state


def peft_magnitude(factors: Factors) -> Tensor:
    """DoRA's lengths in the shape of PEFT: (out,), or (1, out, 1, 1) for a convolution (``_DoraConvNdLayer``)."""
    assert factors.dora is not None
    assert factors.dora.over == "changed"
    kernel = factors.down.ndim - 2
    shape = (1, -1, *[1] * kernel) if kernel else (-1,)
    return factors.dora.magnitude.reshape(shape).contiguous()


def _fits(model: nn.Module, name: str, factors: Factors) -> bool:
    try:
        layer = model.get_submodule(name)
    except AttributeError:
        return False
    weight = getattr(layer, "weight", None)
    if not isinstance(layer, nn.Linear | nn.Conv2d) or not isinstance(weight, Tensor):
        return False
    return tuple(weight.shape) == (factors.up.shape[0], *factors.down.shape[1:])
