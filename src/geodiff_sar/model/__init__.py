"""Base models and adapters: loading, text encoding, VAE, LoRA, what training saves and generation loads."""
