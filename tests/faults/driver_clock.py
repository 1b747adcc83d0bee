"""A made-up clock; imported before the product, whose functions take some of these as defaults."""

import sys
import time
from pathlib import Path

from mobius_tui.system import clock

REAL_SLEEP, REAL_MONOTONIC = time.sleep, time.monotonic


class Clock:
    """A clock that a wait moves on: nothing waits, and nothing depends on how busy the machine is."""

    def __init__(self):
        self.at = time.time()
        self.passed = 0.0
        self.real = False

    def start(self, at):
        """Begin anew at a moment."""
        self.at, self.passed = at, 0.0

    def now(self):
        self.passed += 0.001
        return self.at + self.passed

    def monotonic(self):
        if self.real:
            return REAL_MONOTONIC()
        self.passed += 0.000_001
        return self.passed

    def sleep(self, seconds):
        if self.real:
            REAL_SLEEP(seconds)
        self.passed += max(0.0, seconds)


if Path(sys.argv[0]).name != "driver.py":
    raise ImportError("only the driver's own time is made up")
CLOCK = Clock()
clock.now = CLOCK.now
time.sleep = CLOCK.sleep
time.monotonic = CLOCK.monotonic
