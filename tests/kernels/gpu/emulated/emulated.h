// All that stands before the CUDA sources, in place of CUDA and of primitives.cuh.

#include "threads.h"

#include "builtins.h"

#include "primitives.h"

#include "launch.h"
