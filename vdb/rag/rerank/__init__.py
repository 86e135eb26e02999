"""Rerankers: what orders candidates anew, by their texts or by how alike they are."""
