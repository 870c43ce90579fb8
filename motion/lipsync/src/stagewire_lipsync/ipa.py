"""IPA symbols as ARPAbet."""

from __future__ import annotations

import unicodedata

_ARPABET = {
    **{"ɑ": "AA", "a": "AA", "ɒ": "AA", "æ": "AE", "ʌ": "AH", "ə": "AH", "ɐ": "AH", "ɔ": "AO"},
    **{"ɛ": "EH", "e": "EH", "ɝ": "ER", "ɚ": "ER", "ɜ": "ER", "ɪ": "IH", "ɨ": "IH", "i": "IY"},
    **{"o": "OW", "ʊ": "UH", "u": "UW", "ʉ": "UW", "aʊ": "AW", "aɪ": "AY", "eɪ": "EY"},
    **{"oʊ": "OW", "əʊ": "OW", "ɔɪ": "OY", "b": "B", "tʃ": "CH", "ʧ": "CH", "d": "D", "ð": "DH"},
    **{"f": "F", "ɡ": "G", "g": "G", "h": "HH", "dʒ": "JH", "ʤ": "JH", "k": "K", "l": "L"},
    **{"ɫ": "L", "m": "M", "n": "N", "ŋ": "NG", "p": "P", "ɹ": "R", "r": "R", "ɾ": "T", "s": "S"},
    **{"ʃ": "SH", "t": "T", "ʔ": "T", "θ": "TH", "v": "V", "w": "W", "j": "Y", "z": "Z", "ʒ": "ZH"},
}
_MARKS = "ˈˌːˑ"


def arpabet(symbol: str) -> str:
    """ARPAbet for one sound in IPA, without stress and length; ``sil`` for what is not known."""
    plain = "".join(
        c
        for c in unicodedata.normalize("NFD", symbol)
        if c not in _MARKS and not unicodedata.combining(c)
    )
    return _ARPABET.get(plain, "sil")
