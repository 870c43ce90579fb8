r"""How stretches of English text are read: a table of (pattern, handler), tried in its order.

A rule claims its match, or of it the group ``x``; the handler returns what is said for that, "" to
leave it out, or None to decline. A stretch that an earlier rule claimed is not claimed again, so
the specific stands before the general. Patterns see the whole clause: what only gives the context
stays outside of ``x``. Texts are short (a clause), which bounds what a pattern can cost.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

from stagewire_tts import english
from stagewire_tts.backends import hibari_numbers as say

Handler = Callable[[re.Match[str]], str | None]


def _any(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_LETTER = r"(?:[^\W\d_][\u0300-\u036f]*)"  # with combining accents
_MONTH_NAMES = list(dict.fromkeys(english.MONTHS.values()))
_MONTH = rf"(?:{_any([*_MONTH_NAMES, *map(str.capitalize, english.MONTHS)])})\b\.?"
_TLD = "com|org|net|edu|gov|io|co|uk|de|fr|eu|info|dev|app|ai|me|tv|us|ca|au|ch|at|nl|example"
_ROMAN = r"(?P<x>(?=[IVXLC])(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3}))\b(?!['’.]\w)"


def _fixed(words: str) -> Handler:
    return lambda match: words


def spell(letters: str) -> str:
    """Letters as the voice's lexicon spells them out: with periods between."""
    return ".".join(letters.upper())


def _address(match: re.Match[str]) -> str:
    text = re.sub(r"^(?:[a-z]+://|mailto:)?(?:www\.)?|[?#].*", "", match.group(), flags=re.I)
    names = {"@": "at", ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "+": "plus"}
    said = []
    for part in re.findall(r"[A-Za-z]+|\d+|[@./_+-]", text.rstrip("/")):
        if part in names:
            said.append(names[part])
        elif part.isdigit():
            said.append(say.number(part) if len(part) < 5 else say.digits(part))
        else:
            said.append(part.lower() if len(part) > 2 or part == "me" else spell(part))
    return " ".join(said)


def _iso_date(match: re.Match[str]) -> str | None:
    return _date(int(match["year"]), int(match["month"]), int(match["day"]))


def _us_date(match: re.Match[str]) -> str | None:
    month, day, year = int(match["month"]), int(match["day"]), int(match["year"])
    month, day = (month, day) if month <= 12 else (day, month)
    return _date(year if year > 99 else (1900 if year > 50 else 2000) + year, month, day)


def _date(year: int, month: int, day: int) -> str | None:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    return f"{_MONTH_NAMES[month - 1]} {say.ordinal(day)} {say.year(year)}"


def _day(match: re.Match[str]) -> str | None:
    day = int(match["n"])
    return say.ordinal(day) if 1 <= day <= 31 else None


def _day_of(match: re.Match[str]) -> str | None:
    words = _day(match)
    if words is None:
        return None
    the = "" if re.search(r"\bthe\s$", match.string[: match.start()], re.I) else "the "
    return f"{the}{words} of"


def _month(match: re.Match[str]) -> str:
    return english.MONTHS[match.group()[:3].lower()]


def _clock(match: re.Match[str]) -> str | None:
    hour, minute, second = int(match["h"]), int(match["m"]), match["s"]
    if hour > 24 or minute > 59:
        return None
    followed = re.match(r"\s?(?:[ap]\.?m\b|o'clock)", match.string[match.end() :], re.I)
    words = say.clock(hour, minute, bare=not followed and not second)
    return f"{words} and {say.cardinal(int(second))} seconds" if second else words


def _money(match: re.Match[str]) -> str:
    names = english.CURRENCIES[match["sign"]]
    size = match["size"] or english.MAGNITUDES.get(match["short"] or "")
    amount = f"{say.number(match['n'])} {size} {names[1]}" if size else say.money(match["n"], names)
    return f"minus {amount}" if match["minus"] else amount


def _unit(match: re.Match[str]) -> str:
    one, several = english.UNITS[match["x"]]
    return one if re.search(r"(?<![\d.,])1\s?$", match.string[: match.start("x")]) else several


def _fraction(match: re.Match[str]) -> str:
    words = say.fraction(int(match["a"]), int(match["b"]))
    return f"{say.cardinal(int(match['whole']))} and {words}" if match["whole"] else words


def _range(match: re.Match[str]) -> str:
    return f"{say.number(match['a'])} to {say.number(match['b'])}"


def _weekday(match: re.Match[str]) -> str:
    return english.DAYS[match["n"].lower()]


def _vowelless(match: re.Match[str]) -> str | None:
    return None if match.group() in english.VOWELLESS else spell(match.group())


def _word(match: re.Match[str]) -> str:
    """A plain word in the letters that the voice knows; nothing for other scripts."""
    plain = unicodedata.normalize("NFKC", match.group()).replace("’", "'")
    return plain if all(c in "'-" or "LATIN" in unicodedata.name(c, "") for c in plain) else ""


_MARKUP_AND_NAMES: list[tuple[str, Handler]] = [
    (r"</?[A-Za-z][^<>]{0,200}>", _fixed("")),  # a tag
    (r"(?<=\])\([^()\s]*\)", _fixed("")),  # the target of a Markdown link
    (r"(?m)^\s*(?:[-*•]|#{1,6}|>)\s", _fixed("")),  # a bullet, a heading, a quotation
    (rf"(?<!\w)(?:{_any(english.NAMES)})(?!\w)", lambda m: english.NAMES[m[0]]),
]
_ADDRESSES: list[tuple[str, Handler]] = [
    (r"(?i)\b(?:https?|ftp)://[^\s<>()\"]*[\w/]", _address),
    (r"(?i)(?:mailto:)?[\w.+-]+@[\w-]+(?:\.[\w-]+)+", _address),
    (rf"(?i)\b(?:[a-z0-9-]+\.)+(?:{_TLD})\b(?:/[\w./?=&%-]*\w)?", _address),
]
_DATES_AND_TIMES: list[tuple[str, Handler]] = [
    (r"\b(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})\b", _iso_date),
    (r"\b(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4}|\d{2})\b", _us_date),
    (rf"\b{_MONTH}\s(?P<x>(?P<n>\d{{1,2}})(?:st|nd|rd|th)?\b)(?![:%]|\.\d)", _day),
    (rf"\b(?P<x>(?P<n>\d{{1,2}})(?:st|nd|rd|th)?(?:\sof)?)\s{_MONTH}", _day_of),
    (rf"\b{_MONTH}(?=\s\d)", _month),
    (rf"(?<=\d\s){_MONTH}|(?<=\d(?:st|nd|rd|th)\s){_MONTH}", _month),
    (rf"\b(?P<n>{_any(map(str.capitalize, english.DAYS))})\.", _weekday),
    (r"\b(?P<h>\d{1,2}):(?P<m>\d{2})(?::(?P<s>\d{2}))?(?!\d|:)", _clock),
    (r"(?i)(?<=\d)\s?(?P<x>a\.m\b\.?|am\b)", _fixed("A.M")),
    (r"(?i)(?<=\d)\s?(?P<x>p\.m\b\.?|pm\b)", _fixed("P.M")),
    (
        r"(?<![\w.-])(?:\+?1[ -])?(?:\(\d{3}\) ?|\d{3}-)?\d{3}-\d{4}(?![\w-])",
        lambda m: ", ".join(map(say.digits, re.findall(r"\d+", m[0]))),
    ),
]
_AMOUNTS: list[tuple[str, Handler]] = [
    (
        rf"(?P<minus>-)?(?P<sign>[{''.join(english.CURRENCIES)}])\s?(?P<n>{_NUMBER})"
        r"(?:\s?(?P<size>(?:hundred|thousand|million|billion|trillion)\b)"
        rf"|(?P<short>(?:{_any(english.MAGNITUDES)})\b))?",
        _money,
    ),
    (r"(?<![\w.])(?P<n>\d{1,15})(?:st|nd|rd|th)\b", lambda m: say.ordinal(int(m["n"]))),
    (r"(?<![\w.])(?P<n>\d{3}0)['’]?s\b", lambda m: say.decade(int(m["n"]))),
    (r"(?<!\w)['’]?(?P<n>[2-9]0)['’]?s\b", lambda m: say.decade(int(m["n"]))),
    (rf"(?<=\d)\s?(?P<x>{_any(english.UNITS)})(?![\w/])", _unit),
    (
        r"(?<![\w./])(?:(?P<whole>\d{1,3}) )?(?P<a>\d{1,2})/(?P<b>\d{1,3})(?![\w/])",
        _fraction,
    ),
    (r"(?<![\w.])\d+(?:\.\d+){2,}", lambda m: " point ".join(map(say.number, m[0].split(".")))),
    (rf"(?<![\w.-])(?P<a>{_NUMBER})\s?[-–]\s?(?P<b>{_NUMBER})(?![\w-]|\.\d)", _range),
    (r"(?<![\w.])(?P<a>\d+):(?P<b>\d+)(?![\w:])", _range),
    (r"\b(?P<n>No)\.(?=\s?\d)", _fixed("number")),
    (r"(?<!\w)#(?=\d)", _fixed("number")),
    (r"(?<!\w)#(?=[A-Za-z])", _fixed("hashtag")),
    (
        rf"\b(?:{english.ROMAN_AFTER_NUMBERED})\s{_ROMAN}",
        lambda m: say.cardinal(say.roman(m["x"])),
    ),
    (
        rf"\b(?:{english.ROMAN_AFTER_RULER})\s{_ROMAN}",
        lambda m: f"the {say.ordinal(say.roman(m['x']))}",
    ),
]
_ABBREVIATED: list[tuple[str, Handler]] = [
    (rf"\b(?P<n>{_any(english.TITLES)})\.?(?=\s[A-Z])", lambda m: english.TITLES[m["n"]]),
    (
        rf"(?<![\w.])(?:{_any(english.ABBREVIATIONS)})(?!\w)",
        lambda m: english.ABBREVIATIONS[m[0]],
    ),
    (r"\b(?:[A-Za-z]\.){2,}", lambda m: spell(m[0].replace(".", ""))),
    (r"\b(?P<n>[A-HJ-Z])\.(?=\s[A-Z])", lambda m: m["n"]),  # an initial: J. Smith
    (r"(?<![\w'’])[b-df-hj-np-tv-xz]{2,5}(?![\w'’])", _vowelless),
    (r"(?<=\d)[b-df-hj-np-tv-xz]{2,3}\b|\b[b-df-hj-np-tv-xz]{2,3}(?=\d)", _vowelless),
]
_SIGNS: list[tuple[str, Handler]] = [
    (r"(?<=\d\s)[xX](?=\s\d)|(?<=\d)[xX](?=\d)", _fixed("by")),
    (r"(?<=\d)\s?(?P<x>\*)\s?(?=\d)", _fixed("times")),
    (r"(?<=\w\s)<(?=\s\w)", _fixed("less than")),
    (r"(?<=\w\s)>(?=\s\w)", _fixed("greater than")),
    (r"(?<![\w)])[-−](?=\.?\d)", _fixed("minus")),
    (r"(?<=[a-z0-9])\.(?=[a-z])", _fixed("dot")),
    (r"(?<!\w)\.(?P<n>\d+)", lambda m: f"point {say.digits(m['n'])}"),
    (rf"(?P<n>{_NUMBER})", lambda m: say.number(m["n"])),
    (f"[{re.escape(''.join(english.SYMBOLS))}]", lambda m: english.SYMBOLS[m[0]]),
]
_WORDS: list[tuple[str, Handler]] = [
    (rf"{_LETTER}+(?:['’-]{_LETTER}+)*(?:(?<=s)['’](?!\w))?", _word),
]

RULES: tuple[tuple[re.Pattern[str], Handler], ...] = tuple(
    (re.compile(pattern), handler)
    for pattern, handler in (
        *_MARKUP_AND_NAMES,
        *_ADDRESSES,
        *_DATES_AND_TIMES,
        *_AMOUNTS,
        *_ABBREVIATED,
        *_SIGNS,
        *_WORDS,
    )
)
