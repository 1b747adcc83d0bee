"""How likely so many failures are by chance, exactly and with the standard library alone."""

from __future__ import annotations

import math
from collections.abc import Callable

_NEGLIGIBLE = 1e-17
"""A term of this share of the sum, when they shrink, adds nothing to it any more."""


def chance_of(failures: int, samples: int, rate: float) -> float:
    """The chance of so many failures or more among so many samples.

    Args:
        failures: How many were seen.
        samples: Of how many, each failing by itself.
        rate: Fraction 0..1 of samples that fail.

    Returns:
        The binomial upper tail P(X >= failures), 0..1.
    """
    if failures <= 0:
        return 1.0
    if failures > samples or rate <= 0.0:
        return 0.0
    if rate >= 1.0:
        return 1.0
    odds = rate / (1.0 - rate)

    def chance(count: int) -> float:
        return math.exp(_choices(samples, count) + count * math.log(rate) + (samples - count) * math.log1p(-rate))

    if failures > samples * rate:
        return _sum(chance(failures), failures, samples, lambda k: odds * (samples - k) / (k + 1))
    rest = samples - failures + 1
    return 1.0 - _sum(chance(failures - 1), rest, samples, lambda k: (samples - k) / (odds * (k + 1)))


def chance_unchanged(failures: int, samples: int, before: int, samples_before: int) -> float:
    """The chance that so many of all failures, or more, are among the later samples when nothing has changed.

    Fisher's exact test, one-sided. It needs no true rate, so it holds for a baseline of few samples too.

    Args:
        failures: How many of the later samples failed.
        samples: How many later samples there are.
        before: How many of the earlier samples failed.
        samples_before: How many earlier samples there are.

    Returns:
        The hypergeometric upper tail, 0..1.
    """
    failed, total = failures + before, samples + samples_before
    if failures <= failed * samples / total:
        return 1.0 - _hypergeometric(before + 1, samples_before, failed, total) if before < samples_before else 1.0
    return _hypergeometric(failures, samples, failed, total)


def _hypergeometric(count: int, drawn: int, failed: int, total: int) -> float:
    most = min(drawn, failed)
    if count > most:
        return 0.0
    others = total - drawn
    first = math.exp(_choices(drawn, count) + _choices(others, failed - count) - _choices(total, failed))
    return _sum(first, count, most, lambda k: (drawn - k) / (k + 1) * (failed - k) / (others - failed + k + 1))


def _sum(term: float, first: int, last: int, ratio: Callable[[int], float]) -> float:
    total = term
    for k in range(first, last):
        factor = ratio(k)
        term *= factor
        total += term
        if factor < 1.0 and term < total * _NEGLIGIBLE:
            break
    return min(1.0, total)


def _choices(of: int, count: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(count + 1) - math.lgamma(of - count + 1)
