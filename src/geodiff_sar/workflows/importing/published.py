"""What becomes of every setting of the published training script; docs/published_settings.md is this table for readers.

Names are those of the script's variables, in lower case; ``env:`` stands before those of environment variables. Options
that have no variable go by their own names.
"""

from typing import Any

from geodiff_sar.workflows.importing import published_rules as rules
from geodiff_sar.workflows.importing.outcome import (
    Outcome,
    Rule,
    is_on,
    nothing,
    number_to,
    only_off,
    switch_to,
    text_to,
    with_switch,
)
from geodiff_sar.workflows.importing.published_optimizer import (
    MIN_RATIO,
    for_schedules,
    optimizer,
    prodigy_argument,
    rate_of_fusion,
    rate_of_lora,
    rate_of_rest,
    schedule,
    warmup,
)
from geodiff_sar.workflows.importing.published_unused import UNUSED

ALIASES = {
    "pretrained_model_name_or_path": "pretrained_model",
    "train_batch_size": "batch_size",
    "max_train_epochs": "max_train_epoches",
    "learning_rate": "lr",
    "network_train_unet_only": "train_unet_only",
    "network_train_text_encoder_only": "train_text_encoder_only",
    "persistent_data_loader_workers": "persistent_workers",
}
"""Option of the trainer -> variable of the script, where the names differ."""

FIXED: dict[str, Any] = {
    "train_base": "lora",
    "inject": ["pooled"],
    "save_precision": "fp32",
    "data.captions.dropout_rate": 0.0,
    "data.captions.keep_tokens": 0,
    "data.captions.keep_tokens_separator": "",
    "data.captions.secondary_separator": "",
    "lora.rank": 4,
    "lora.alpha": 1.0,
    "objective.density": "logit_normal",
    "objective.logit_mean": 0.0,
    "objective.logit_std": 1.0,
    "objective.weighting": "none",
    "objective.prediction_space": "x0",
    "objective.loss": "l2",
    "objective.shift": 3.0,
    "train.clip_norm": 1.0,
    "train.precision": "no",
}
"""What the published trainer does where a script states nothing else."""

FIXED_SIZES: dict[str, Any] = {
    "train.batch_size": 1,
    "data.buckets.enable_bucket": False,
    "data.buckets.bucket_reso_steps": 64,
}
"""The same for data that no dataset configuration describes."""

_ALWAYS, _ON_DEVICE = "always done here", "parts stay on the device here"
_CACHED = "everything is cached before the first step, so there are no loader processes"
_DEVICES = "left to accelerate launch"
_NOT_SD3 = "no effect there: the SD3 trainer does not use it"
_TEXT = "no effect there; text is encoded once, before training"
_GRAMMAR = "captions follow one grammar (docs/formats.md)"


SETTINGS: dict[str, Rule] = {
    **{name: nothing(why) for name, why in UNUSED.items()},
    # base and output
    "train_mode": rules.mode,
    "pretrained_model": text_to("base"),
    **{part: text_to(part) for part in ("clip_l", "clip_g", "t5xxl", "vae")},
    "is_v2_model": only_off("the base is Stable Diffusion 3", "set it to 0"),
    "disable_mmap_load_safetensors": nothing("changes how files are read, not what"),
    "output_dir": text_to("output_dir"),
    "output_name": text_to("output_name"),
    "logging_dir": nothing("logs are in <output_dir>/<output_name>/logs, TensorBoard"),
    "wandb_api_key": nothing("logs are TensorBoard files"),
    "training_comment": nothing("the model card holds the resolved configuration"),
    "save_model_as": nothing("always safetensors"),
    "save_precision": rules.save_precision,
    "save_every_n_epochs": number_to("train.checkpoint_every_epochs", whole=True),
    "save_state": nothing("every checkpoint can be resumed"),
    "save_state_on_train_end": nothing("every checkpoint can be resumed"),
    "resume": only_off("its states are those of another program", "leave it empty; a run here resumes by itself"),
    "output_config": nothing("every run writes its configuration beside the weights"),
    "config_file": nothing("every run writes its configuration beside the weights"),
    # fusion
    "enable_3d_fusion": rules.fusion,
    "train_fusion": nothing("conditioning modules are always trained"),
    "pointcloud_dir": with_switch("enable_3d_fusion", text_to("data.pointcloud_dir")),
    "fusion_method": with_switch("enable_3d_fusion", text_to("fusion.method")),
    "pointcloud_dim": with_switch("enable_3d_fusion", number_to("data.pointcloud_dim", whole=True)),
    "image_feature_dim": nothing("the latent channels of the base, read from it"),
    "fusion_lr": rate_of_fusion,
    "env:hyimgtgt": rules.method_option("hybrid_film_attn", "push_target"),
    "env:hybrid_img_push_target": rules.push_target,
    "env:hybrid_img_push_max": rules.method_option("hybrid_film_attn", "push_max"),
    "env:hybrid_gamma_scale": rules.method_option("hybrid_film_attn", "gamma_scale"),
    "env:gentle_alpha": rules.method_option("gentle", "alpha"),
    "env:img_guide_cos_target": rules.method_option("image_guided", "cosine_target"),
    "env:img_guide_max_gamma": rules.method_option("image_guided", "max_gamma"),
    "env:fusion_injection_scale": nothing("acts at generation: --fusion_scale, whose default the variable sets"),
    "env:fusion_require_npz": nothing("an absent reference is the learned null embedding, a damaged one an error"),
    "env:fusion_weights_strict": nothing(_ALWAYS),
    # data
    "train_data_dir": rules.data_folder,
    "dataset_config": text_to("data.dataset_config"),
    "dataset_class": only_off("data are read by this package's readers", "leave it empty"),
    "reg_data_dir": only_off("there are no regularisation images in adapter training", "leave it empty"),
    "prior_loss_weight": nothing("weighs regularisation images, of which there are none"),
    "batch_size": rules.of_folder(number_to("train.batch_size", whole=True)),
    "resolution": rules.of_folder(rules.resolution),
    "enable_bucket": rules.of_folder(switch_to("data.buckets.enable_bucket")),
    "min_bucket_reso": rules.of_buckets("min_bucket_reso"),
    "max_bucket_reso": rules.of_buckets("max_bucket_reso"),
    "bucket_no_upscale": rules.of_folder(
        with_switch("enable_bucket", only_off("every chip is scaled until it fills its bucket", "set it to 0"))
    ),
    "caption_extension": only_off("captions of class folders end with .txt", "rename the captions", (".txt",)),
    "shuffle_caption": switch_to("data.captions.shuffle"),
    "keep_tokens": number_to("data.captions.keep_tokens", whole=True),
    "keep_tokens_separator": text_to("data.captions.keep_tokens_separator"),
    "secondary_separator": text_to("data.captions.secondary_separator"),
    "caption_dropout_rate": number_to("data.captions.dropout_rate"),
    "caption_dropout_every_n_epochs": number_to("data.captions.dropout_every_n_epochs", whole=True),
    "caption_tag_dropout_rate": only_off(_GRAMMAR, "set it to 0; $caption_dropout_rate drops whole captions"),
    "caption_prefix": only_off(_GRAMMAR, "leave it empty and write it into the captions"),
    "caption_suffix": only_off(_GRAMMAR, "leave it empty and write it into the captions"),
    "enable_wildcard": only_off(_GRAMMAR, "set it to 0"),
    "weighted_captions": only_off(_GRAMMAR, "set it to 0"),
    "alpha_mask": only_off("chips have no transparency", "set it to 0"),
    "cache_latents": nothing("always, keyed by content"),
    "cache_latents_to_disk": nothing("always, in cache/ of the run; data.cache.write_reference writes published files"),
    "vae_batch_size": nothing("chips are encoded one by one, so that a latent never depends on its neighbours"),
    "persistent_workers": nothing(_CACHED),
    "max_data_loader_n_workers": nothing(_CACHED),
    # text
    "clip_skip": nothing("no effect there; the penultimate layer is always used, as SD3 does"),
    "max_token_length": nothing("no effect there; the T5 length is the base's, in training and generation"),
    "apply_t5_attn_mask": nothing("no effect there"),
    **dict.fromkeys(("t5xxl_device", "t5xxl_dtype", "text_encoder_batch_size"), nothing(_TEXT)),
    "cache_text_encoder_outputs": rules.cached_text,
    "cache_text_encoder_outputs_to_disk": rules.cached_text,
    **dict.fromkeys(
        ("clip_l_dropout_rate", "clip_g_dropout_rate", "t5_dropout_rate"),
        only_off("the text is dropped as a whole", "set it to 0; $caption_dropout_rate drops captions"),
    ),
    # what is trained
    "network_module": rules.network_module,
    "network_dim": number_to("lora.rank", whole=True),
    "network_alpha": number_to("lora.alpha"),
    "network_dropout": number_to("lora.dropout"),
    "scale_weight_norms": rules.max_norm,
    "network_weights": only_off("its LoRA is not an adapter of this package", "leave it empty; see start_from"),
    "network_multiplier": only_off("the LoRA is trained at strength 1", "set it to 1.0", (1, 1.0)),
    "base_weights": only_off("no LoRA is merged into the base before training", "leave it empty"),
    "base_weights_multiplier": nothing("of $base_weights, which is empty"),
    "train_unet_only": lambda setting, view: (
        Outcome(why="always: the text encoders are not trained")
        if is_on(setting.value)
        else Outcome(why="the text encoders are not trained here", remedy="set it to 1")
    ),
    "train_text_encoder_only": only_off("the text encoders are not trained here", "set it to 0"),
    "split_qkv": nothing("always: q, k and v are separate modules"),
    "train_t5xxl": nothing("no effect there with $train_unet_only; the text encoders are not trained here"),
    "conv_dim": nothing("the transformer of SD3 has no convolution that LoRA adapts"),
    "conv_alpha": nothing("the transformer of SD3 has no convolution that LoRA adapts"),
    "enable_lora_plus": only_off("both factors of the LoRA have one learning rate", "set it to 0"),
    "enable_lycoris": rules.lycoris,
    **dict.fromkeys(("enable_dylora", "enable_lora_fa", "enable_oft"), only_off("there is LoRA only", "set it to 0")),
    "enable_block_weights": only_off("all blocks have one learning rate; lora.blocks chooses blocks", "set it to 0"),
    "num_last_block_to_freeze": only_off("lora.blocks chooses blocks", "set it to 0, and lora.blocks in the result"),
    "pos_emb_random_crop_rate": only_off("positions are cut from the centre", "set it to 0"),
    "enable_scaled_pos_embed": only_off("positions are cut from the centre", "set it to 0"),
    # optimisation
    "optimizer_type": optimizer,
    "d_coef": prodigy_argument("d_coef"),
    "d0": prodigy_argument("d0"),
    "lr": rate_of_rest,
    "unet_lr": rate_of_lora,
    "text_encoder_lr": nothing("the text encoders are not trained"),
    "lr_scheduler": schedule,
    "lr_warmup_steps": warmup,
    "lr_scheduler_num_cycles": number_to("schedule.cycles"),
    "lr_scheduler_min_lr_ratio": for_schedules(MIN_RATIO, number_to("schedule.min_lr_ratio")),
    "lr_decay_steps": for_schedules(("warmup_stable_decay",), number_to("schedule.decay")),
    "lr_scheduler_timescale": for_schedules(
        ("inverse_sqrt",), only_off("the schedule takes the steps of the warm-up", "set it to 0")
    ),
    "max_train_epoches": number_to("train.max_epochs", whole=True),
    "max_train_steps": lambda setting, view: (
        Outcome(why="$max_train_epoches says when to stop")
        if view.on("max_train_epoches")
        else number_to("train.max_steps", whole=True)(setting, view)
    ),
    "seed": number_to("train.seed", whole=True),
    "gradient_accumulation_steps": rules.accumulation,
    "optimizer_accumulation_steps": only_off("gradients are summed by train.accumulation", "set it to 0"),
    "max_grad_norm": number_to("train.clip_norm"),
    "gradient_checkpointing": switch_to("train.gradient_checkpointing"),
    "mixed_precision": rules.precision,
    "full_bf16": rules.full_switch("bf16"),
    "full_fp16": rules.full_switch("fp16"),
    "fp8_base": only_off("the base is not stored in 8-bit numbers here", "set it to 0"),
    "fp8_base_unet": only_off("the base is not stored in 8-bit numbers here", "set it to 0"),
    "fused_backward_pass": nothing("saves memory only"),
    "fused_optimizer_groups": nothing("saves memory only"),
    "gradfilter_ema_alpha": only_off("gradients are not filtered", "set it to 0"),
    "gradfilter_ema_lamb": nothing("of $gradfilter_ema_alpha, which is off"),
    # loss
    "loss_type": rules.loss,
    "huber_c": rules.huber,
    **dict.fromkeys(
        (
            *("huber_schedule", "min_snr_gamma", "debiased_estimation_loss", "immiscible_noise"),
            *("noise_offset", "adaptive_noise_scale", "noise_offset_random_strength", "ip_noise_gamma"),
            *("ip_noise_gamma_random_strength", "multires_noise_iterations", "multires_noise_discount"),
        ),
        nothing(_NOT_SD3),
    ),
    # previews
    "enable_sample": nothing("switches the settings below"),
    "sample_at_first": rules.preview(nothing("the first preview follows the first epoch; the weights are the same")),
    "sample_every_n_epochs": rules.preview(number_to("train.preview_every_epochs", whole=True)),
    "sample_prompts": rules.preview(text_to("preview.prompts_file")),
    "sample_sampler": rules.preview(nothing("no effect there (Euler is used); preview.solver")),
    # processes and machine
    **dict.fromkeys(
        (
            *("multi_gpu", "deepspeed", "zero_stage", "offload_optimizer_device", "num_processes", "num_machines"),
            *("main_process_port", "num_cpu_threads_per_process", "rdzv_backend"),
        ),
        nothing(_DEVICES),
    ),
    "fp16_master_weights_and_gradients": nothing("of DeepSpeed; trained weights are float32 here"),
    **dict.fromkeys(
        ("ddp_timeout", "ddp_gradient_as_bucket_view", "ddp_static_graph"),
        nothing("gradients are averaged without DDP's wrapper"),
    ),
    "highvram": nothing(_ON_DEVICE),
    "sdpa": nothing("always: PyTorch's attention"),
    "env:cuda_visible_devices": nothing(_DEVICES),
    **dict.fromkeys(
        ("env:hf_home", "env:hf_endpoint", "env:xformers_force_disable_triton"),
        nothing(
            "files of one's own touch no network; for a base on the hub they hold if they stand in the environment"
        ),
    ),
    **dict.fromkeys(("laungh_script", "ext_args", "launch_args"), nothing("part of the script's own working")),
}
