"""Tests of vdb behind the interfaces of other libraries."""
