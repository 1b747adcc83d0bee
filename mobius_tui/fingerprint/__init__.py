"""Decoding, dHash, confidence and the hashing pool."""
