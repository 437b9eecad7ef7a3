"""Every test: simulated kernels meet what hardware leaves open, by a seed that repeats (NPUFA_SIM_SHUFFLE)."""

import os

os.environ.setdefault("NPUFA_SIM_SHUFFLE", "1")
