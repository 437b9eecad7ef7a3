"""The operators as documented functions: the schema's arguments and defaults, no semantics of their own."""

from . import atb, cache, combine, fusion, inference, rotary, step
from .atb import *  # noqa: F403
from .cache import *  # noqa: F403
from .combine import *  # noqa: F403
from .fusion import *  # noqa: F403
from .inference import *  # noqa: F403
from .rotary import *  # noqa: F403
from .step import *  # noqa: F403

__all__: list[str] = []
__all__ += atb.__all__
__all__ += cache.__all__
__all__ += combine.__all__
__all__ += fusion.__all__
__all__ += inference.__all__
__all__ += rotary.__all__
__all__ += step.__all__
