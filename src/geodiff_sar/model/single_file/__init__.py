"""Base models as single .safetensors files in the published layout of Stable Diffusion 3 and 3.5."""
