"""Tests of backends: one suite for all kinds, faults of servers, counters of tokens, routing, and a real server."""
