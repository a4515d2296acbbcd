"""Rules of the published script for settings that hang on others."""

from geodiff_sar.workflows.importing.outcome import (
    Outcome,
    Rule,
    View,
    is_on,
    number_to,
    only_off,
    text_to,
    with_switch,
)
from geodiff_sar.workflows.importing.script import Setting


def fusion(setting: Setting, view: View) -> Outcome:
    """``$enable_3d_fusion``: the pooled vector, or text alone."""
    return Outcome({"inject": ["pooled"]} if is_on(setting.value) else {"inject": []})


def of_folder(rule: Rule) -> Rule:
    """A setting that the script passes only where no dataset configuration describes the data."""

    def passed(setting: Setting, view: View) -> Outcome:
        return Outcome(why="$dataset_config describes the data") if view.on("dataset_config") else rule(setting, view)

    return passed


def of_buckets(key: str) -> Rule:
    """A setting of the range of picture sizes."""
    return of_folder(with_switch("enable_bucket", number_to(f"data.buckets.{key}", whole=True)))


def resolution(setting: Setting, view: View) -> Outcome:
    """One side, or width and height."""
    value = setting.value
    parts = value if isinstance(value, list) else str(value).split(",")
    try:
        sides = [int(str(part)) for part in parts]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2):
        return Outcome(why="a side, or width and height", remedy='write it as "256,256"')
    return Outcome({"data.buckets.resolution": sides * 2 if len(sides) == 1 else sides})


def max_norm(setting: Setting, view: View) -> Outcome:
    """``$scale_weight_norms``, which goes with dropout."""
    if not is_on(setting.value):
        return Outcome(why="off")
    if not view.on("network_dropout"):
        return Outcome(why="the script passes it together with $network_dropout only")
    return number_to("lora.max_norm")(setting, view)


def accumulation(setting: Setting, view: View) -> Outcome:
    """Micro-batches per step; 0 is 1."""
    return number_to("train.accumulation", whole=True)(setting, view) if is_on(setting.value) else Outcome(why="off")


def precision(setting: Setting, view: View) -> Outcome:
    """Mixed precision; full half precision sets it as well."""
    full = _full(view)
    value = full or str(setting.value or "no")
    return Outcome({"train.precision": value}, f"by $full_{full}" if full and value != setting.value else "")


def save_precision(setting: Setting, view: View) -> Outcome:
    """Number format of the saved LoRA; full half precision sets it as well."""
    value = _full(view) or str(setting.value or "fp32")
    return Outcome({"save_precision": {"float": "fp32"}.get(value, value)})


def _full(view: View) -> str | None:
    return "fp16" if view.on("full_fp16") else "bf16" if view.on("full_bf16") else None


def full_switch(kind: str) -> Rule:
    """``$full_bf16`` or ``$full_fp16``."""

    def rule(setting: Setting, view: View) -> Outcome:
        if _full(view) != kind:
            return Outcome(why="off")
        why = "LoRA and conditioning weights stay in float32, which small updates need"
        return Outcome({"train.precision": kind, "save_precision": kind}, why)

    return rule


def loss(setting: Setting, view: View) -> Outcome:
    """Form of the loss."""
    value = str(setting.value or "l2")
    if value not in ("l2", "huber", "smooth_l1"):
        return Outcome(why="there are l2, huber and smooth_l1", remedy="choose one of these")
    return Outcome({"objective.loss": value}, "" if value == "l2" else "the published trainer fails with it on SD3")


def huber(setting: Setting, view: View) -> Outcome:
    """Width of the square part, of the losses that have one."""
    if view.text("loss_type", "l2") == "l2":
        return Outcome(why="not read with $loss_type = l2")
    return number_to("objective.huber_c")(setting, view)


def cached_text(setting: Setting, view: View) -> Outcome:
    """Caching of text, which the script forbids with ``$train_t5xxl``."""
    if view.on("train_t5xxl"):
        return Outcome(why="the script sets it to 0 with $train_t5xxl; text is always encoded once here")
    return only_off("the published trainer fails with it on SD3", "set it to 0: text is always encoded once here")(
        setting, view
    )


def lycoris(setting: Setting, view: View) -> Outcome:
    """LyCORIS, which the script switches off with dropout."""
    if view.on("network_dropout"):
        return Outcome(why="the script sets it to 0 with $network_dropout")
    return only_off("there is LoRA only", "set it to 0")(setting, view)


def network_module(setting: Setting, view: View) -> Outcome:
    """The kind of network."""
    if str(setting.value) not in ("networks.lora", "networks.lora_sd3"):
        return Outcome(why="there is LoRA only", remedy='set it to "networks.lora"')
    return Outcome({"train_base": "lora"}, "by peft")


def mode(setting: Setting, view: View) -> Outcome:
    """The kind of training."""
    if str(setting.value).lower() != "sd3_lora":
        return Outcome(why="only LoRA on Stable Diffusion 3 is trained here", remedy='set it to "sd3_lora"')
    return Outcome({"train_base": "lora"})


def data_folder(setting: Setting, view: View) -> Outcome:
    """The folder above the class folders."""
    return of_folder(text_to("data.root"))(setting, view)


def method_option(method: str, key: str) -> Rule:
    """A strength that one fusion method reads from the environment."""

    def rule(setting: Setting, view: View) -> Outcome:
        if not view.on("enable_3d_fusion"):
            return Outcome(why="not read while $enable_3d_fusion is off")
        if view.text("fusion_method", "concat") != method:
            return Outcome(why=f"the method {method} reads it, and another is chosen")
        return number_to(f"fusion.options.{key}")(setting, view)

    return rule


def push_target(setting: Setting, view: View) -> Outcome:
    """The cosine of ``hybrid_film_attn``; another variable may overwrite it."""
    if view.on("env:hyimgtgt"):
        return Outcome(why="the script overwrites it with HYIMGTGT")
    return method_option("hybrid_film_attn", "push_target")(setting, view)


def preview(rule: Rule) -> Rule:
    """A setting of previews, read while they are on."""
    return with_switch("enable_sample", rule)
