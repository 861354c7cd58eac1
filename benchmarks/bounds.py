"""Bounds of the benchmarks' options: types for argparse, which refuse nonsense in a line."""

import argparse
import math

MOST = 2**31 - 1


def count(text: str) -> int:
    """A whole number from 1 up."""
    number = int(text)
    if not 1 <= number <= MOST:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1 to {MOST}")
    return number


def seconds(text: str) -> float:
    """A time, 0 or more."""
    number = float(text)
    if not (math.isfinite(number) and 0 <= number <= MOST):
        raise argparse.ArgumentTypeError(f"{text}: expected seconds from 0 to {MOST}")
    return number


def positive(text: str) -> float:
    """A number above 0."""
    number = float(text)
    if not (math.isfinite(number) and 0 < number <= MOST):
        raise argparse.ArgumentTypeError(f"{text}: expected a number above 0, at most {MOST}")
    return number
