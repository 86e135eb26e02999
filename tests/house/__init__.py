"""Tests of the house rules: sizes, names, exports, imports and packaging."""
