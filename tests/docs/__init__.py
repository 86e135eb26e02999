"""The documents are tested: their code runs, their tables are complete, their links lead somewhere."""
