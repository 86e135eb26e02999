"""vdb in the filter track: `vdb.py` has the class that `config.yaml` names."""
