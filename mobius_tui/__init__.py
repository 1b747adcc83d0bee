"""MOBIUS: a terminal operations console for image libraries."""

__version__ = "0.1.0"
