"""Continuous batching over a paged cache for Hugging Face causal language models. See docs/serving.md.

    from npufa.serving import SamplingParams, ServingEngine
    engine = ServingEngine(model, num_blocks=512)
    completions = engine.generate(prompts, SamplingParams(max_new_tokens=64))
"""

import importlib.util

from .._autoload import guard_transformers

if importlib.util.find_spec("transformers") is None:
    raise ImportError("npufa.serving needs transformers: pip install npufa[serving]")
guard_transformers()
del guard_transformers, importlib

from .engine import ServingEngine  # noqa: E402
from .metrics import ServingMetrics  # noqa: E402
from .request import Completion, SamplingParams  # noqa: E402

__all__ = ["Completion", "SamplingParams", "ServingEngine", "ServingMetrics"]
