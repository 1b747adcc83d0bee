"""Widgets that paint lines and know neither the store nor each other."""
