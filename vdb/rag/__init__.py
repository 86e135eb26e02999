"""Cited answers: chunking, sparse retrieval, fusion, context packing, prompts and generation backends.

Will hold `base` (the backend interface), `chunk`, `sparse` (BM25 per tenant), `fuse`, `pack` (context under a token
budget), `prompt`, and one module per backend.
"""
