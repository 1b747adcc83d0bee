"""Neighbours, pairs, groups, keepers."""
