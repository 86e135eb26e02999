"""The index whose posting lists lie on disk."""
