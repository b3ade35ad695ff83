"""What holds for every process of pytest, whichever tests and notebooks it runs: its threads and its memory."""

import os

from oddlab.machine import KEEP_FREED

# Set before the worker processes and kernels start, which take it from here.
for name, value in KEEP_FREED.items():
    os.environ.setdefault(name, value)

if "PYTEST_XDIST_WORKER" in os.environ:
    # Two processes with a thread for each core would wait for each other at every operation.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
