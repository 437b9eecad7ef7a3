"""pytest plugin: runs tests although their file skips them.

torch_npu's own tests skip what the CANN of their build machines lacks; npufa does not need that CANN.
"""

import unittest


def _keep(reason):
    return lambda test: test


unittest.skip = _keep
