"""Objectives, optimizers, the resumable training loop, and the tasks it trains."""
