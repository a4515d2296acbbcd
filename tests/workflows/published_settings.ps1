# Every setting of the published training script under its own name, with the published values. Written for the tests:
# the blocks are short and only show what kinds of statements such a script has.
$train_mode = "sd3_lora"

$enable_3d_fusion = 1 # a remark with "quotation marks', one of them open
$pointcloud_dir = "./3d_features"
$fusion_method = "hybrid_film_attn"; $pointcloud_dim = 64; $image_feature_dim = 16

<# base, data
   and output #>
$pretrained_model = "./Stable-diffusion/SD3/sd3.5_medium.safetensors"
$vae = ""
$clip_l = "./clip/clip_l.safetensors"
$clip_g = "./clip/clip_g.safetensors"
$t5xxl = "./clip/t5xxl_fp16.safetensors"
$is_v2_model = 0; $v_parameterization = 1
$train_data_dir = "./train/data/train"
$reg_data_dir = ""	# behind a tabulator
$network_weights = ""; $network_multiplier = 1.0
$training_comment = "made by somebody's script"
$dataset_class = ""
#$dataset_config = "./toml/datasets.toml"
$disable_mmap_load_safetensors = 0

$effnet_checkpoint_path = "./VAE/effnet_encoder.safetensors"
$stage_c_checkpoint_path = "./Stable-diffusion/train/stage_c_bf16.safetensors"
$text_model_checkpoint_path = ""; $save_text_model = 1
$previewer_checkpoint_path = "./Stable-diffusion/train/previewer.safetensors"
$adaptive_loss_weight = 1

$t5xxl_device = "cuda"; $t5xxl_dtype = "bf16"; $text_encoder_batch_size = 16
$num_last_block_to_freeze = 0; $apply_t5_attn_mask = 1
$clip_l_dropout_rate = 0.0; $clip_g_dropout_rate = 0.0; $t5_dropout_rate = 0.0
$pos_emb_random_crop_rate = 0.0; $enable_scaled_pos_embed = 0; $use_t5xxl_cache_only = 1
$blockwise_fused_optimizers = 0; $blocks_to_swap = 0

$ae = $vae
$timestep_sampling = "flux_shift"; $discrete_flow_shift = 3.185; $sigmoid_scale = 1.0
$model_prediction_type = "raw"; $guidance_scale = 1.0; $cpu_offload_checkpointing = 0; $mem_eff_save = 1
$split_qkv = 1; $train_t5xxl = 1; $split_mode = 0
$base_weights = ""; $base_weights_multiplier = "1.0"

$resolution = "256,256"
$batch_size = 12
$max_train_epoches = 100
$save_every_n_epochs = 5
$gradient_checkpointing = 0; $gradient_accumulation_steps = 1; $optimizer_accumulation_steps = 0
$network_dim = 32
$network_alpha = 16
$train_unet_only = 1; $train_text_encoder_only = 0
$seed = 1026

$enable_lora_plus = 0; $loraplus_lr_ratio = 16; $loraplus_unet_lr_ratio = 16; $loraplus_text_encoder_lr_ratio = 4
$network_dropout = 0.1; $scale_weight_norms = 1.0; $rank_dropout = 0; $module_dropout = 0
$caption_dropout_every_n_epochs = 0; $caption_dropout_rate = 0.1; $caption_tag_dropout_rate = 0

$noise_offset = 0; $adaptive_noise_scale = 0; $noise_offset_random_strength = 0
$multires_noise_iterations = 0; $multires_noise_discount = 0; $min_snr_gamma = 5
$ip_noise_gamma = 0; $ip_noise_gamma_random_strength = 0; $debiased_estimation_loss = 0
$loss_type = "l2"; $huber_schedule = "snr"; $huber_c = 0.1; $immiscible_noise = 0

$lr = "1e-5"#directly behind the string
$unet_lr = "1e-3"; $text_encoder_lr = "2e-5"
$lr_scheduler = "cosine_with_min_lr"
$lr_warmup_steps = 0; $lr_decay_steps = 0.1; $lr_scheduler_num_cycles = 1
$lr_scheduler_timescale = 0; $lr_scheduler_min_lr_ratio = 0.1
$optimizer_type = "Prodigy"#PagedAdamW8bit before
$d_coef = "0.5"; $d0 = "1e-4"
$fused_backward_pass = 0; $fused_optimizer_groups = 0; $gradfilter_ema_alpha = 0; $gradfilter_ema_lamb = 2.0

$shuffle_caption = 1; $keep_tokens = 1; $prior_loss_weight = 1; $weighted_captions = 0
$secondary_separator = ";;;"; $keep_tokens_separator = "|||"; $enable_wildcard = 0
$caption_prefix = ""; $caption_suffix = ""; $alpha_mask = 0

$output_name = "sd35m-test-lora-1e-4"
$save_model_as = "safetensors"
$mixed_precision = "bf16"; $save_precision = "bf16"; $full_fp16 = 0; $full_bf16 = 1
$fp8_base = 0; $fp8_base_unet = 0
$save_state = 0; $resume = ""; $save_state_on_train_end = 0
$output_config = 0
$config_file = "./toml/" + $output_name + ".toml"
$enable_sample = 1; $sample_at_first = 0; $sample_every_n_epochs = 1
$sample_prompts = "./toml/qinglong.txt"; $sample_sampler = "euler_a"
$wandb_api_key = ""

$enable_bucket = 1; $min_bucket_reso = 128; $max_bucket_reso = 512; $bucket_no_upscale = 0; $bucket_reso_steps = 32
$persistent_workers = 1; $vae_batch_size = 4; $clip_skip = 2; $cache_latents = 1; $cache_latents_to_disk = 1
$torch_compile = 0; $dynamo_backend = "inductor"
$TORCHINDUCTOR_FX_GRAPH_CACHE = 1; $TORCHINDUCTOR_CACHE_DIR = "./torch_compile_cache"

$enable_lycoris = 0; $conv_dim = 0; $conv_alpha = 0; $algo = "lokr"; $dropout = 0; $preset = "attn-mlp"; $factor = 8
$decompose_both = 0; $block_size = 4; $use_tucker = 0; $use_scalar = 0; $train_norm = 0; $dora_wd = 1; $full_matrix = 0
$bypass_mode = 0; $rescaled = 1; $constrain = 0; $enable_dylora = 0; $unit = 4; $enable_lora_fa = 0; $enable_oft = 0
$enable_block_weights = 0; $down_lr_weight = "1,0.2,1"; $mid_lr_weight = "1"; $up_lr_weight = "1,1,1"
$block_lr_zero_threshold = 0; $enable_block_dim = 0; $block_dims = "128,128"; $block_alphas = "16,16"
$conv_block_dims = "32,32"; $conv_block_alphas = "1,1"; $enable_block_lr = 0; $block_lr = "0,$lr,$lr,0"
$enable_flux_block_dim = 0; $img_attn_dim = $network_dim; $txt_attn_dim = $network_dim; $img_mlp_dim = $network_dim
$txt_mlp_dim = $network_dim; $img_mod_dim = 0; $txt_mod_dim = 0; $single_dim = $network_dim; $single_mod_dim = 0
$in_dims = "$network_dim,0,0,0,$network_dim"; $enable_flux_block = 0
$train_single_block_indices = "all"; $train_double_block_indices = "all"

$min_timestep = 0; $max_timestep = 1000; $cache_text_encoder_outputs = 0; $cache_text_encoder_outputs_to_disk = 0
$no_half_vae = 0; $stop_text_encoder_training = 0; $no_token_padding = 0; $diffusers_xformers = 0; $train_text_encoder = 0
$learning_rate_te1 = "5e-8"; $learning_rate_te2 = "5e-8"; $learning_rate_te3 = "5e-8"
$controlnet_model_name_or_path = ""; $conditioning_data_dir = ""; $cond_emb_dim = 32; $masked_loss = 0

$multi_gpu = 1; $highvram = 1; $deepspeed = 0; $zero_stage = 2; $offload_optimizer_device = ""
$fp16_master_weights_and_gradients = 0; $ddp_timeout = 120; $ddp_gradient_as_bucket_view = 1; $ddp_static_graph = 1

$Env:CUDA_VISIBLE_DEVICES = "1,2"
$Env:HF_HOME = "huggingface"; $Env:HF_ENDPOINT = "https://hf-mirror.com"; $Env:XFORMERS_FORCE_DISABLE_TRITON = "1"
$Env:FUSION_INJECTION_SCALE = "1.0"
$Env:HYIMGTGT = "0.92"; if ($Env:HYIMGTGT) { $Env:HYBRID_IMG_PUSH_TARGET = $Env:HYIMGTGT } else { $Env:HYBRID_IMG_PUSH_TARGET = "0.5" }
$Env:HYBRID_IMG_PUSH_MAX = "0.7"; $Env:HYBRID_GAMMA_SCALE = "0.5"
$Env:FUSION_REQUIRE_NPZ = "1"; $Env:FUSION_WEIGHTS_STRICT = "1"

$network_module = "networks.lora"
$ext_args = [System.Collections.ArrayList]::new()
$launch_args = [System.Collections.ArrayList]::new()
$laungh_script = "train_network"
if ($train_mode -ieq "sd3_lora") {
  $network_module = $network_module + "_sd3"
  if ($split_qkv -ne 0 -or $train_t5xxl -ne 0) {
    [void]$ext_args.Add("--network_args")
  }
}
elseif ($train_mode -ilike "*db") {
  # never so: }
  $lr = "0}"
}
foreach ($name in @("a", "b")) { $launch_args += "--$name" }
if ($fusion_lr) { [void]$ext_args.Add("--fusion_lr=$fusion_lr") }
try {
  $kept = @{
    enable_3d_fusion = [bool]$enable_3d_fusion
    name             = $output_name
  }
  ($kept | ConvertTo-Json -Depth 3) | Out-File -FilePath ("./output/" + $output_name + "_fusion.json")
}
catch {
  Write-Warning ("not written: " + $_)
}

python -m accelerate.commands.launch --num_cpu_threads_per_process=8 --main_process_port=29501 $launch_args "./train.py" `
  --output_dir="./output" `
  --logging_dir="./logs" `
  --max_train_epochs=$max_train_epoches `
  --learning_rate=$lr `
  --output_name=$output_name `
  --seed=$seed  `
  --max_token_length=225 `
  --caption_extension=".txt" `
  --vae_batch_size=$vae_batch_size `
  $ext_args

Write-Output "done"
