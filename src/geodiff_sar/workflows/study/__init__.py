"""The study: rows of adapters trained, used and measured alike on held-out azimuth sectors."""
