"""vdb as a client of VectorDBBench, in the files that the harness keeps for each database."""
