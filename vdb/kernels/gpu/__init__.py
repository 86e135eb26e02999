"""CuPy twins of the kernels in `vdb.kernels.cpu`: the same names and signatures.

The only home of cupy, behind one `is_available()`; chosen at run time, with results equal to the CPU's.
"""
