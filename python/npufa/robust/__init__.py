"""Attention that degrades instead of failing."""
