"""The CUDA kernels and their launchers, on a CPU that stands in for a GPU, and on a GPU where there is one."""
