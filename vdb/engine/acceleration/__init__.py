"""Searches on an accelerator: which go there, how they are put together, what of collections lies there."""
