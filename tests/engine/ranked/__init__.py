"""Searches by text: both legs in one snapshot, fused, ranked anew, grouped."""
