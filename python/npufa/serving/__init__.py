"""Continuous batching over a paged cache for Hugging Face causal language models. See docs/serving.md.

    from npufa.serving import SamplingParams, ServingEngine
    engine = ServingEngine(model, num_blocks=512)
    completions = engine.generate(prompts, SamplingParams(max_new_tokens=64))
"""

from .engine import ServingEngine
from .metrics import ServingMetrics
from .request import Completion, SamplingParams

__all__ = ["Completion", "SamplingParams", "ServingEngine", "ServingMetrics"]
