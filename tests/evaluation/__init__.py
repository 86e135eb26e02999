"""Tests of evaluation: files, metrics, reports, and what a server is asked."""
