"""Chips, captions, point features: reading, checking, joining, splitting, caching."""
