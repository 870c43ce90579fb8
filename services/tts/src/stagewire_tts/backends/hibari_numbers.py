"""Numbers as words, in American English (num2words, LGPL-2.1, used as a library)."""

from __future__ import annotations

from num2words import num2words

_MOST_DIGITS = 15
_FRACTIONS = {2: "half", 4: "quarter"}
_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def _american(words: str) -> str:
    """Without the British "and" and without commas: one hundred five."""
    return words.replace(" and ", " ").replace(",", "")


def digits(text: str) -> str:
    """Digit by digit; everything else is left out."""
    return " ".join(_DIGITS[int(c)] for c in text if c in "0123456789")


def cardinal(number: int) -> str:
    """Such as "one thousand two hundred thirty-four"."""
    return _american(num2words(number))


def ordinal(number: int) -> str:
    """Such as "twenty-first"."""
    return _american(num2words(number, to="ordinal"))


def year(number: int) -> str:
    """Such as "nineteen ninety-nine", "two thousand five", "twenty twenty-four"."""
    return _american(num2words(number, to="year"))


def decade(number: int) -> str:
    """Such as "nineteen nineties" for 1990, "eighties" for 80."""
    words = year(number) if number > 99 else cardinal(number)
    return words[:-1] + "ies" if words.endswith("y") else words + "s"


def number(text: str) -> str:
    """A number as written: commas, a decimal point, leading zeros, years, any length."""
    whole, point, fraction = text.replace(",", "").partition(".")
    if len(whole) > _MOST_DIGITS or (len(whole) > 1 and whole.startswith("0")):
        words = digits(whole)
    elif not point and "," not in text and len(whole) == 4 and 1100 <= int(whole) <= 2099:
        words = year(int(whole))
    else:
        words = cardinal(int(whole or 0))
    return f"{words} point {digits(fraction)}" if fraction else words


def money(amount: str, names: tuple[str, str, str, str]) -> str:
    """An amount such as "12.50" with (dollar, dollars, cent, cents)."""
    one, several, cent, cents = names
    whole, _, fraction = amount.replace(",", "").partition(".")
    if len(fraction) not in (0, 2):
        return f"{number(amount)} {several}"
    hundredths = int(fraction or 0)
    parts = []
    if whole.strip("0") or not hundredths:
        words = digits(whole) if len(whole) > _MOST_DIGITS else cardinal(int(whole or 0))
        parts.append(f"{words} {one if words == 'one' else several}")
    if hundredths:
        parts.append(f"{cardinal(hundredths)} {cent if hundredths == 1 else cents}")
    return " and ".join(parts)


def fraction(above: int, below: int) -> str:
    """Such as "three quarters"; "3 over 50" where English has no easy word."""
    if not 2 <= below <= 20 or not 0 < above < 20:
        return f"{cardinal(above)} over {cardinal(below)}"
    name = _FRACTIONS.get(below) or ordinal(below)
    if above == 1:
        return f"one {name}"
    return f"{cardinal(above)} {'halves' if below == 2 else name + 's'}"


def clock(hour: int, minute: int, bare: bool) -> str:
    """A time of day; ``bare`` when no "pm" follows."""
    if minute:
        return f"{cardinal(hour)} {'oh ' if minute < 10 else ''}{cardinal(minute)}"
    if not bare:
        return cardinal(hour)
    return f"{cardinal(hour)} o'clock" if 1 <= hour <= 12 else f"{cardinal(hour)} hundred"


def roman(numeral: str) -> int:
    """The value of a Roman numeral."""
    values = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}[c] for c in numeral]
    later = [*values[1:], 0]
    return sum(-v if v < after else v for v, after in zip(values, later, strict=True))
