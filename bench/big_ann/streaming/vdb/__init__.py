"""vdb in the streaming track: `vdb.py` has the class that `config.yaml` names."""
