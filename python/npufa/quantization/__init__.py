"""Quantised key/value caches: calibration, storage, the operators' arguments, and what quantising costs.

Example::

    quantized = quantize_kv(key, value, QuantConfig("int8", "token_head"))
    output, _ = npufa.npu_fused_infer_attention_score(
        query, **quantized.arguments(), num_heads=8, input_layout="BNSD", scale=64**-0.5)
    print(error_report(quantized, key, value, query))
"""

from .cache import QuantizedKV, QuantizedTensor, quantize_kv
from .config import QuantConfig
from .observer import KVObserver
from .report import ErrorReport, error_report

__all__ = [
    "ErrorReport",
    "KVObserver",
    "QuantConfig",
    "QuantizedKV",
    "QuantizedTensor",
    "error_report",
    "quantize_kv",
]
