"""The versions that belong together; pyproject.toml takes the first from here."""

__version__ = "0.1.0"
TORCH_VERSION = "2.13.0"
