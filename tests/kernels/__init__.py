"""What kernels do beyond what the contracts of `tests/contract` compare."""
