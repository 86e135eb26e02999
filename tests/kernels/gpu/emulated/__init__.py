"""A driver that runs the CUDA sources on the CPU, thread by thread: what they compute, and faults a GPU would hide."""
