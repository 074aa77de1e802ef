"""Several tests at a time: pytest-xdist's workers, one a core."""

import os

# A thread each, or the workers' threads wait for one another's cores. Before torch is imported, which reads it then.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
