"""Optimizer, learning rates and schedule of the published script."""

from typing import Any, get_args

from geodiff_sar.training.schedules import ScheduleName
from geodiff_sar.workflows.importing.outcome import Outcome, Rule, View, number_to
from geodiff_sar.workflows.importing.script import Setting

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "adamw": ("adamw", {"weight_decay": 0.01, "betas": [0.9, 0.95]}),
    "adamw8bit": ("adamw8bit", {}),
    "pagedadamw8bit": ("adamw8bit", {"weight_decay": 0.01, "betas": [0.9, 0.95]}),
    "adafactor": ("adafactor", {"scale_parameter": False, "warmup_init": False, "relative_step": False}),
    "adamwschedulefree": ("adamw_schedulefree", {"weight_decay": 0.08}),
    "prodigy": (
        "prodigy",
        {"weight_decay": 0.01, "betas": [0.9, 0.99], "decouple": True, "use_bias_correction": True},
    ),
}
"""Their name in lower case -> ours, with the arguments that the script gives it."""

MIN_RATIO = ("cosine_with_min_lr", "warmup_stable_decay")


def optimizer(setting: Setting, view: View) -> Outcome:
    """The optimizer and its fixed arguments."""
    name = str(setting.value or "").lower()
    if name not in OPTIMIZERS:
        return Outcome(
            why=f"no optimizer of this name here; there are {', '.join(OPTIMIZERS)}",
            remedy="choose one of these in the script; optimizer.name also takes a class such as torch.optim.RAdam",
        )
    ours, arguments = OPTIMIZERS[name]
    options: dict[str, Any] = {"optimizer.name": ours}
    options |= {f"optimizer.args.{key}": value for key, value in arguments.items()}
    if name == "prodigy" and view.on("lr_warmup_steps"):
        options["optimizer.args.safeguard_warmup"] = True
    return Outcome(options, "paged states save memory only" if name == "pagedadamw8bit" else "")


def prodigy_argument(key: str) -> Rule:
    """An argument that the script gives to Prodigy alone."""

    def rule(setting: Setting, view: View) -> Outcome:
        if not _is_prodigy(view):
            return Outcome(why="Prodigy's; another optimizer is chosen")
        return number_to(f"optimizer.args.{key}")(setting, view)

    return rule


def rate_of_lora(setting: Setting, view: View) -> Outcome:
    """``$unet_lr``: the rate of the LoRA."""
    if _is_prodigy(view):
        return Outcome({"optimizer.lr": 1.0}, "Prodigy finds the rate; the script passes 1")
    return number_to("optimizer.lr")(setting, view)


def rate_of_rest(setting: Setting, view: View) -> Outcome:
    """``$lr``: the rate of what has none of its own: the LoRA without ``$unet_lr``, conditioning without ``$fusion_lr``."""
    if _is_prodigy(view):
        return Outcome({"optimizer.lr": 1.0}, "Prodigy finds the rate; the script passes 1")
    keys = [] if view.on("unet_lr") else ["optimizer.lr"]
    keys += ["optimizer.conditioning_lr"] if view.on("enable_3d_fusion") and not view.on("fusion_lr") else []
    return Outcome({key: float(view.number("lr")) for key in keys}, "" if keys else "$unet_lr is set")


def rate_of_fusion(setting: Setting, view: View) -> Outcome:
    """``$fusion_lr``, which the published script leaves unset."""
    if not view.on("enable_3d_fusion"):
        return Outcome(why="not read while $enable_3d_fusion is off")
    if _is_prodigy(view):
        return Outcome(
            why="Prodigy takes one rate for all parts", remedy="remove $fusion_lr, or choose another optimizer"
        )
    return number_to("optimizer.conditioning_lr")(setting, view)


def schedule(setting: Setting, view: View) -> Outcome:
    """The schedule's name."""
    name = str(setting.value or "constant")
    if view.text("optimizer_type").lower().endswith("schedulefree"):
        return Outcome({"schedule.name": "constant"}, "schedule-free optimizers have none")
    if name not in get_args(ScheduleName):
        return Outcome(
            why="no schedule of this name here",
            remedy=f"choose one of {', '.join(get_args(ScheduleName))}",
        )
    return Outcome({"schedule.name": name})


def warmup(setting: Setting, view: View) -> Outcome:
    """Steps of warm-up; the script sets 100 for Adafactor unless the schedule is constant."""
    if view.text("optimizer_type").lower() == "adafactor" and view.text("lr_scheduler", "constant") != "constant":
        return Outcome({"schedule.warmup": 100.0}, "the script sets 100 for Adafactor")
    return number_to("schedule.warmup")(setting, view)


def for_schedules(names: tuple[str, ...], rule: Rule) -> Rule:
    """A setting that only some schedules read."""

    def read_or_not(setting: Setting, view: View) -> Outcome:
        chosen = view.text("lr_scheduler", "constant")
        return rule(setting, view) if chosen in names else Outcome(why=f"not used by the schedule '{chosen}'")

    return read_or_not


def _is_prodigy(view: View) -> bool:
    return view.text("optimizer_type").lower() == "prodigy"
