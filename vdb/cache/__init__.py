"""Semantic cache: answers found again by meaning, per tenant and category.

Will hold `semantic` (lookup and fill), `policy` (threshold, TTL, quota and error budget of a category) and `store`
(entries with their provenance, in an environment of their own). Source: arXiv 2510.26835.
"""
