"""Training a small base model from scratch: tokenizers, text encoders, VAE, transformer."""
