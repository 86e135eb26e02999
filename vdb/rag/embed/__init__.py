"""Embedders: what makes vectors of texts. `base` is their protocol; `lexical` is built in, the others ask a model."""
