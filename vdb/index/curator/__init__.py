"""The shared multi-tenant index: one clustering tree, one set of codes, a sparse reading of them per tenant."""
