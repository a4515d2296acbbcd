"""Settings of the published script that its mode ``sd3_lora`` does not pass to the trainer."""

_OF = {
    "Stable Cascade": "effnet_checkpoint_path stage_c_checkpoint_path text_model_checkpoint_path save_text_model"
    " previewer_checkpoint_path adaptive_loss_weight",
    "FLUX": "ae timestep_sampling discrete_flow_shift sigmoid_scale model_prediction_type guidance_scale guidance_rescale"
    " split_mode enable_flux_block_dim img_attn_dim txt_attn_dim img_mlp_dim txt_mlp_dim img_mod_dim txt_mod_dim single_dim"
    " single_mod_dim in_dims enable_flux_block train_single_block_indices train_double_block_indices torch_compile"
    " dynamo_backend torchinductor_fx_graph_cache torchinductor_cache_dir",
    "SDXL": "min_timestep max_timestep no_half_vae diffusers_xformers enable_block_lr block_lr",
    "full fine-tuning": "blockwise_fused_optimizers blocks_to_swap cpu_offload_checkpointing mem_eff_save"
    " use_t5xxl_cache_only stop_text_encoder_training no_token_padding train_text_encoder learning_rate_te"
    " learning_rate_te1 learning_rate_te2 learning_rate_te3",
    "ControlNet": "controlnet_model_name_or_path conditioning_data_dir cond_emb_dim masked_loss",
    "Stable Diffusion 2": "v_parameterization",
    "LyCORIS": "algo dropout preset factor decompose_both block_size use_tucker use_scalar train_norm dora_wd full_matrix"
    " bypass_mode rescaled constrain",
    "DyLoRA": "unit rank_dropout module_dropout",
    "block weights": "down_lr_weight mid_lr_weight up_lr_weight block_lr_zero_threshold enable_block_dim block_dims"
    " block_alphas conv_block_dims conv_block_alphas",
    "LoRA+": "loraplus_lr_ratio loraplus_unet_lr_ratio loraplus_text_encoder_lr_ratio",
}

UNUSED: dict[str, str] = {
    name: f"not passed in mode sd3_lora: a setting of {of}" for of, names in _OF.items() for name in names.split()
} | {"bucket_reso_steps": "not passed in mode sd3_lora: the trainer's 64 holds"}
"""Variable in lower case -> why it has no effect."""
