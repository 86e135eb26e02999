"""Backends that write answers: any server that speaks OpenAI's chat, and one built in that takes sentences."""
