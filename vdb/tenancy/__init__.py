"""Tenants, keys, access rules and quotas: who asks, what they may do, how much they may own."""
