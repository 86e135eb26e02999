"""Collections with the shared index on: its life, damage to its files, and what searches answer meanwhile."""
