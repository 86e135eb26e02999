"""vdb as an algorithm of ann-benchmarks: `module.py` has the constructors that `config.yml` names."""
