"""Solvers, guidance, prompts files, the generation pipeline, recipes inside the written pictures."""
