"""The wire: request and answer shapes, the table of operations, strict decoding, and the binary body.

Server, SDK and in-process use read the same definitions, so that a shape is written down once. Depends on msgspec and
numpy only (ADR 0002).
"""
