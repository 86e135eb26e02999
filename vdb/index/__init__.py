"""Indexes over the points a tenant may see: `flat` is exact and has no structure beside its arrays."""
