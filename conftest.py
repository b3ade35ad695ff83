"""How many threads each process of pytest has, whichever tests and notebooks it runs."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Two processes with a thread for each core would wait for each other at every operation.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
