"""Advice: what could be better about a call, which operator to choose, and which there are."""

from ._advise import advise
from ._finding import Finding
from .choice import Availability, available_operators, choose_operator, recommended_config
from .tables import HARDWARE, OPERATORS, HardwareEntry, OperatorEntry

__all__ = [
    "HARDWARE",
    "OPERATORS",
    "Availability",
    "Finding",
    "HardwareEntry",
    "OperatorEntry",
    "advise",
    "available_operators",
    "choose_operator",
    "recommended_config",
]
