"""How a text is split into words for the full-text search, and how a search is read.  Pure functions.

One way for both databases, and for the look at what waits for the index: NFKC, case-folded, without accents, points and
invisible characters; the dotless i is an i, and a digit of any script a digit; letters and digits make words, and
everything else (emoji, symbols, punctuation) stands between them.
Scripts that are written without spaces (Chinese, Japanese, Thai …) are split into overlapping pairs of characters.

>>> split("Grüße, 東京都!")
['grusse', '東京', '京都', '都']
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple
from unicodedata import category, decimal, normalize

# Of an email's texts, what can be searched: to index more would hold the write lock for long. So many words have a
# million characters of English; in Chinese each character makes one.
MOST_CHARACTERS = 1_000_000
_MOST_INDEXED = 200_000  # words
MOST_WORDS = 32  # in a search
_LONGEST_WORD = 500  # characters; PostgreSQL takes 2,046 bytes

# Scripts without spaces between words: Thai to Myanmar, Khmer, kana, Han, Hangul.
_PAIRED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
_PAIRED += "\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
_ASCII_WORD = re.compile("[a-z0-9]+")
_WORD = re.compile(rf"[{_PAIRED}]+|[^\W_{_PAIRED}]+")
_IS_PAIRED = re.compile(f"[{_PAIRED}]")
# unicodedata.normalize takes time in the square of a run of combining marks; no word has more than a few.
_MANY_MARKS = re.compile(r"([^\x00-\u02ff\w]{8})[^\x00-\u02ff\w]+")
_PIECE = 10_000  # characters that are normalized at a time


class Phrase(NamedTuple):
    """Words that stand one behind the other; of the last, if `beginning`, only how it begins."""

    words: tuple[str, ...]
    beginning: bool = False


class Search(NamedTuple):
    """What an email must have, each somewhere in it, and what it must not."""

    wanted: tuple[Phrase, ...]
    unwanted: tuple[Phrase, ...] = ()


def split(text: str) -> list[str]:
    """The words of a text, in order. Takes linear time."""
    if text.isascii():
        return [word[:_LONGEST_WORD] for word in _ASCII_WORD.findall(text.lower())]
    words = []
    for run in _WORD.findall(_plain(text)):
        if _IS_PAIRED.match(run):
            words += [run[n : n + 2] for n in range(len(run))]  # the last character alone: each begins a word
        else:
            words.append(run[:_LONGEST_WORD])
    return words


def _plain(text: str) -> str:
    """A text in the form in which words are compared."""
    text = _MANY_MARKS.sub(r"\1", text)
    plain: list[str] = []
    room = max(MOST_CHARACTERS, len(text))
    for start in range(0, len(text), _PIECE):
        plain.append(_plain_piece(text[start : start + _PIECE]))
        room -= len(plain[-1])
        if room < 0:  # there are characters that stand for eighteen
            break
    return "".join(plain)


def _plain_piece(text: str) -> str:
    folded = normalize("NFD", normalize("NFKC", text).casefold())
    return normalize("NFC", "".join([c if c.isascii() else _plain_character(c) for c in folded]))


@lru_cache(4096)
def _plain_character(character: str) -> str:
    kind = category(character)
    if kind[0] == "M" or kind == "Cf":  # an accent, a vowel sign; a soft hyphen, a joiner
        return ""
    return "i" if character == "ı" else str(decimal(character)) if kind == "Nd" else character


def split_texts(texts: Iterable[str | None]) -> list[list[str]]:
    """The words of each of an email's texts; of all together, the first MOST_CHARACTERS and _MOST_INDEXED words."""
    room, left = MOST_CHARACTERS, _MOST_INDEXED
    words = []
    for text in texts:
        words.append(split((text or "")[:room])[:left])
        room -= min(len(text or ""), room)
        left -= len(words[-1])
    return words


def read_search(query: str) -> Search:
    """What somebody looks for: words, "phrases", beginnings* and -excluded ones; all must be found.

    Raises ValueError with the reason for what can't be searched for.
    """
    if query.count('"') % 2:
        raise ValueError("A quotation mark is not closed.")
    wanted: list[Phrase] = []
    unwanted: list[Phrase] = []
    for minus, quoted, plain in re.findall(r'(-?)(?:"([^"]*)"|([^\s"]+))', query):
        phrase = _phrase(quoted or plain, beginning=plain.endswith("*"))
        if phrase.words:
            (unwanted if minus else wanted).append(phrase)
    if not wanted:
        raise ValueError("There is no word to search for.")
    if sum(len(phrase.words) for phrase in wanted + unwanted) > MOST_WORDS:  # a phrase of thousands takes minutes
        raise ValueError(f"More than {MOST_WORDS} words.")
    return Search(tuple(wanted), tuple(unwanted))


def _phrase(text: str, beginning: bool) -> Phrase:
    words = split(text)
    if words and len(words[-1]) == 1 and _IS_PAIRED.match(words[-1]):  # what follows it in the text is not known
        return Phrase(tuple(words[:-1]), beginning) if len(words) > 1 else Phrase(tuple(words), True)
    return Phrase(tuple(words), beginning or bool(words) and len(words[-1]) == _LONGEST_WORD)


def for_fts5(texts: Iterable[str | None]) -> list[str]:
    """An email's texts as FTS5's tokenizer "ascii" finds the same words in them: of ASCII alone, as they are."""
    room = MOST_CHARACTERS
    found = []
    for text in texts:
        part = (text or "")[:room]
        room -= len(part)
        found.append(part if part.isascii() else " ".join(split(part)))
    return found


def joined(texts: Iterable[str | None]) -> list[str]:
    """The words of each of an email's texts with a space before and after each: a phrase is then a part of a text."""
    return [f" {' '.join(words)} " for words in split_texts(texts)]


def matches(search: Search, texts: Sequence[str]) -> bool:
    """Whether texts, as `joined` gives them, have all that is wanted and nothing that is unwanted."""

    def has(phrase: Phrase) -> bool:
        wanted = f" {' '.join(phrase.words)}" + ("" if phrase.beginning else " ")
        return any(wanted in text for text in texts)

    return all(map(has, search.wanted)) and not any(map(has, search.unwanted))
