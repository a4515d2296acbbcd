"""Parts of the pre-training workflow: chips, stages, latents, the written base and its report."""
