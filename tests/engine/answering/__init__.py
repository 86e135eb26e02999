"""Answers in the engine: what is asked of them, what they are written from, what goes wrong."""
