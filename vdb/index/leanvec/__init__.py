"""LeanVec: projections learned from a sample, and LVQ codes of what they leave."""
