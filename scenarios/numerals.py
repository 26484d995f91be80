"""Numerals: the one place for how a number is written for a person to read."""

from decimal import Decimal
from math import floor, isfinite, log10
from typing import Final

_MINUS: Final = "\N{MINUS SIGN}"
_MOST_DECIMALS: Final = 6
_LEAST: Final = 10.0**-_MOST_DECIMALS


def short(number: float) -> str:
    """Write a number with three significant digits, and what six decimals cannot show as such.

    Examples
    --------
    >>> short(1234.5), short(0.01234), short(0.0), short(float("nan")), short(3e-9)
    ('1,234', '0.0123', '0', 'none', '<0.000001')
    """
    if not isfinite(number):
        return "none"
    if 0 < abs(number) < _LEAST / 2:
        return f"<{_LEAST:f}" if number > 0 else f">{_MINUS}{_LEAST:f}"
    return _fixed(number, _decimals(number, significant=3))


def tick(number: float) -> str:
    """Write a number beside an axis, with no more digits than it has, and no power of ten.

    Examples
    --------
    >>> tick(12000.0), tick(0.25), tick(4e-6)
    ('12,000', '0.25', '0.000004')
    """
    text = f"{Decimal(f'{number:.10g}'):,f}" if isfinite(number) else str(number)
    return _MINUS + text[1:] if text.startswith("-") else text


def signed(number: float, *, decimals: int | None = None) -> str:
    """Write a change with its sign, and no sign for no change."""
    if not isfinite(number):
        return "none"
    places = _decimals(number, significant=3) if decimals is None else decimals
    return ("+" if number > 0 else "") + _fixed(number, places)


def change(mean: float, low: float, high: float) -> str:
    """Write a paired difference with its interval, to the digits that the interval supports.

    Examples
    --------
    >>> change(57.0019, 40.7817, 73.2222)
    '+57 [+41, +73]'
    >>> change(0.0, 0.0, 0.0), change(2.5, float("nan"), float("nan"))
    ('0 [0, 0]', '+2.50 [no interval]')
    >>> change(2e-9, -1e-9, 5e-9)
    'within ±0.000001'
    """
    if not isfinite(low) or not isfinite(high):
        return f"{signed(mean)} [no interval]" if isfinite(mean) else "none"
    if 0 < max(abs(mean), abs(low), abs(high)) < _LEAST / 2:
        return f"within ±{_LEAST:f}"
    half = (high - low) / 2
    places = _decimals(half if half > 0 else mean, significant=2 if half > 0 else 3)
    nearest = min(abs(low), abs(high))
    if low * high > 0:  # what excludes zero must not be written as if it touched it
        places = min(max(places, _decimals(nearest, significant=1)), places + 2)
    texts = [signed(number, decimals=places) for number in (mean, low, high)]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]"


def level(mean: float, low: float, high: float) -> str:
    """Write a mean with the half-width of its interval."""
    if not isfinite(low) or not isfinite(high):
        return short(mean)
    half = (high - low) / 2
    places = _decimals(half if half > 0 else mean, significant=2 if half > 0 else 3)
    return f"{_fixed(mean, places)} ± {_fixed(half, places)}"


def counted(n: int, thing: str) -> str:
    """Write how many there are of a thing.

    Examples
    --------
    >>> counted(1, "world"), counted(1200, "run")
    ('1 world', '1,200 runs')
    """
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {thing}s"


def unit_words(unit: str) -> str:
    """Write a unit of the tables as a reader knows it.

    Examples
    --------
    >>> unit_words("gpu_s/job"), unit_words("USD/gpu_h"), unit_words("core_s")
    ('GPU-s/job', 'USD/GPU-hour', 'core-s')
    """
    for short_form, words in (("gpu_h", "GPU-hour"), ("gpu_s", "GPU-s"), ("core_s", "core-s")):
        unit = unit.replace(short_form, words)
    return unit


def _decimals(number: float, *, significant: int) -> int:
    if number == 0:
        return 0
    return min(_MOST_DECIMALS, max(0, significant - 1 - floor(log10(abs(number)))))


def _fixed(number: float, decimals: int) -> str:
    text = f"{number:,.{decimals}f}"
    if text.startswith("-"):
        return text[1:] if not text.strip("-0.,") else _MINUS + text[1:]
    return text
