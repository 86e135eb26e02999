"""LMDB environments, key and value layouts, and the stores that read and write them inside a given transaction.

Only `env.py` imports lmdb. Stores take a transaction and never open one (the engine does). Layouts are documented in
docs/storage-format.md and kept by tests/golden.
"""
