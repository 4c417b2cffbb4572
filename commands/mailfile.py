"""Mail files (.eml, mbox, Maildir) as the payload of ``POST /api/v1/emails``: reads files, writes nothing."""

import os
import re
from base64 import b64decode, b64encode
from codecs import lookup
from collections.abc import Iterator
from datetime import UTC
from email.message import Message
from email.utils import parsedate_to_datetime, quote, unquote
from errno import EFBIG, EINVAL
from hashlib import sha256
from io import BufferedReader
from itertools import groupby
from pathlib import Path
from quopri import decodestring
from stat import S_ISDIR, S_ISREG
from typing import Any

__all__ = ["as_email", "messages"]

LARGEST = 150 * 2**20  # bytes; large providers take no larger mail, so what is larger is some other file
MOST_FIELDS = 10_000  # of a header; each is looked for from the beginning
DEEPEST = 10  # multiparts in one another that are taken apart; mail programs make four at most
LINE = re.compile(rb".*\n?")
FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
FROM_LINES = re.compile(rb"\A(?:>*From (?!\s*:).*\n)+")  # an mbox's, quoted or not
DELIMITER = re.compile(rb"\n--(.*)")
NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]+")
QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
# What says that a file is a mail and not, say, a Makefile, whose lines look like header fields too.
MAIL_FIELD = re.compile(
    rb"from|sender|to|cc|bcc|date|subject|message-id|received|return-path|delivered-to|mime-version|content-type", re.I
)
CONTENT_FIELD = re.compile(rb"content-.+", re.I)  # what a part may have

UNSTORABLE = re.compile("[\0\ud800-\udfff]")
# What a charset's name means in practice (encoding.spec.whatwg.org); "" are those that say nothing, or no charset.
MEANT = {
    "iso8859-1": "cp1252",
    "gb2312": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "ascii": "",
    "idna": "",
    "punycode": "",
    "unicode-escape": "",
    "raw-unicode-escape": "",
}

WORD = re.compile(r"=\?([^?\s]*)\?([bBqQ])\?([^?]*)\?=")
WORDS = re.compile(rf"{WORD.pattern}(?:\s*{WORD.pattern})*")  # white space between two is not part of the text
SPECIALS = re.compile(r'[][()<>:;@\\,."]')
# A comma or colon that counts, or something in which neither does: a quoted string, a comment, an angle address, a
# domain literal, an encoded word. A quote that is never closed is a character like any other.
ADDRESS_TOKEN = re.compile(
    r'"[^"\\]*(?:\\.[^"\\]*)*"|\([^()\\]*(?:\\.[^()\\]*)*\)|<[^<>]*>|\[[^][]*\]|=\?[^?\s]*\?[bBqQ]\?[^?]*\?=|\\.|[,:;]'
)


def messages(path: Path) -> Iterator[tuple[str, bytes | OSError]]:
    """Every message at a path, as ``(label, raw bytes)``, or ``(label, OSError)`` for what cannot be read.

    A folder is read in sorted order; in it .eml, .mbox, files without an extension and those of a Maildir count. A
    file that is named is always taken: an mbox (RFC 4155) if it begins with "From ", else one message. The label is
    the path, in an mbox "path#3". One message is held at a time; one over LARGEST is an OSError, and the next goes on.
    A link is followed where it is the path itself, never in a folder that is read: who may write there could have
    other people's files read. What is neither a file nor a folder (a FIFO, a device) is an OSError, and not waited for.
    """
    try:
        handle = os.open(path, _READ)
    except OSError as error:
        yield str(path), error
    else:
        yield from _messages(handle, path)


_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # NONBLOCK: a FIFO would have its opening wait


def _messages(handle: int, path: Path) -> Iterator[tuple[str, bytes | OSError]]:
    """The messages of an open file or folder, which is closed.

    What is opened is what was looked at, and what is in a folder is opened through the folder itself: whatever takes
    the place of a name meanwhile, no link is followed.
    """
    with os.fdopen(handle, "rb") if S_ISREG(os.fstat(handle).st_mode) else _Folder(handle) as opened:
        names: list[str] = []
        try:
            if isinstance(opened, _Folder):
                names = opened.mail(path.name)
            elif opened.peek(5)[:5] == b"From ":
                for number, raw in enumerate(_mbox(opened), 1):
                    yield f"{path}#{number}", _not_too_large(raw)
            elif (raw := opened.read(LARGEST + 1)) or path.suffix.lower() not in ("", ".mbox"):  # else an empty mbox
                yield str(path), _not_too_large(raw)
        except OSError as error:
            yield str(path), error
        for name in names:
            try:
                child = os.open(name, _READ | os.O_NOFOLLOW, dir_fd=handle)
            except OSError as error:
                yield str(path / name), error
            else:
                yield from _messages(child, path / name)


class _Folder:
    """An open folder."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def __enter__(self) -> "_Folder":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.handle)

    def mail(self, name: str) -> list[str]:
        """The names of the files and folders in it that may hold mail, sorted; no links. It is itself called `name`."""
        if not S_ISDIR(os.fstat(self.handle).st_mode):
            raise OSError(EINVAL, "not a file")
        maildir = self._has_folder("cur")  # its own files are indexes, its tmp is mail that is still being delivered

        def holds_mail(child: os.DirEntry[str]) -> bool:
            hidden = child.name.startswith(".")
            if child.is_dir(follow_symlinks=False):
                if maildir and child.name == "tmp":
                    return False
                return not hidden or self._has_folder(f"{child.name}/cur")  # Maildir++ names them .Sent, .Drafts
            if hidden or maildir or not child.is_file(follow_symlinks=False):
                return False
            return name in ("cur", "new") or Path(child.name).suffix.lower() in ("", ".eml", ".mbox")

        with os.scandir(self.handle) as children:
            return sorted(child.name for child in children if holds_mail(child))

    def _has_folder(self, name: str) -> bool:
        try:
            return S_ISDIR(os.stat(name, dir_fd=self.handle).st_mode)
        except OSError:
            return False


def _mbox(stream: BufferedReader) -> Iterator[bytes]:
    """The messages of an mbox, without its "From " lines and quoting, each cut off where it passes LARGEST.

    The standard library's mailbox splits at any line that begins with "From ", and so cuts mail in two whose writer
    began a sentence that way. Here it must stand after an empty line (RFC 4155) and before a header field.
    """
    message, before, line = bytearray(), b"", b""
    stream.readline()
    while following := stream.readline(2**16):  # a limit, as a file need not have lines
        if line.startswith(b"From ") and before in (b"\n", b"\r\n") and FIELD.match(following):
            yield _unquoted(message)
            message.clear()
        elif len(message) <= LARGEST:
            message += line
        before, line = line, following
    yield _unquoted(message + line)


def _unquoted(message: bytearray) -> bytes:
    """A message without the empty line that ends it in an mbox and the ">" before a line that begins with "From "."""
    end = next((len(end) for end in (b"\r\n\r\n", b"\n\n") if message.endswith(end)), 0) // 2
    return QUOTED_FROM.sub(rb"\1", bytes(message[: len(message) - end]))


def _not_too_large(raw: bytes) -> bytes | OSError:
    return raw if len(raw) <= LARGEST else OSError(EFBIG, f"larger than {LARGEST} bytes")


class _Part(Message):
    """A mail or a part of it: its fields and its body. Whatever is wrong with it, what can be read of it is.

    The standard library's parser ends a header at the first line that is no field, and a multipart where one within it
    ends that has the same boundary; the packages that were tried (mail-parser, fast-mail-parser, mailparse-mailkite)
    lose as much, and some refuse a whole mail for one bad character of base64.
    """

    def __init__(self, data: bytes, known: re.Pattern[bytes] = MAIL_FIELD) -> None:
        super().__init__()
        self.data = data
        self.begin = self._read_fields(known)  # of the body, in data

    def _read_fields(self, known: re.Pattern[bytes]) -> int:
        """Read the fields; gives where the body begins.

        A line that is no field is left out where a `known` one follows it soon; else the body begins there, as the
        empty line is missing. Behind a semicolon or comma it goes on with the field before: its indent is missing.
        """
        fields: list[tuple[str, list[bytes]]] = []
        stray: tuple[int, int] | None = None  # after the last known field: how many fields came before, and where
        end = 0
        for line in LINE.finditer(self.data):
            text, end = line[0], line.end()
            if not text.strip(b"\r\n") or (stray and (text[:2] == b"--" or len(fields) > stray[0] + 100)):
                break
            field = FIELD.match(text)
            if fields and (text[:1] in b" \t" or (not field and fields[-1][1][-1].rstrip().endswith((b";", b",")))):
                fields[-1][1].append(text)
            elif field:
                fields.append((field[1].decode(), [text[field.end() :]]))
                stray = None if known.fullmatch(field[1]) else stray
            else:
                stray = stray or (len(fields), line.start())
                fields.append(("", [text]))
        number, begin = stray or (len(fields), end)
        for name, value in fields[: min(number, MOST_FIELDS)]:
            if name:  # unfolded (RFC 5322, 2.2.3); 8-bit in it is UTF-8 (RFC 6532), else windows-1252
                self[name] = _text(b"".join(value).translate(None, b"\r\n")).strip()
        return begin

    def parts(self) -> list["_Part"]:
        """What stands between the lines with its boundary; none where there is no such line."""
        boundary = str(self.get_param("boundary") or "").rstrip().encode()
        if not boundary or not self.mime_type().startswith("multipart/"):
            return []
        pieces, begin = [], -1  # of the part; -1 outside of one
        for line in DELIMITER.finditer(self.data, max(self.begin - 1, 0)):
            found = line[1].rstrip()
            if found in (boundary, boundary + b"--"):
                if begin >= 0:
                    pieces.append(self.data[begin : line.start()].removesuffix(b"\r"))
                begin = line.end() + 1 if found == boundary else -1
        if begin >= 0:
            pieces.append(self.data[begin:])
        parts = [_Part(piece, CONTENT_FIELD) for piece in filter(bytes.strip, pieces)] or [_Part(b"")] * bool(pieces)
        if self.mime_type() == "multipart/digest":
            for part in parts:
                part.set_default_type("message/rfc822")
        return parts

    def content(self) -> bytes:
        """The body without its transfer encoding."""
        body = self.data[self.begin :]
        encoding = self.get("content-transfer-encoding", "").partition("(")[0].strip(' \t;"').lower()
        if encoding == "base64":
            return _base64(body)
        del self["content-transfer-encoding"]
        self["content-transfer-encoding"] = encoding
        self.set_payload(body.decode("ascii", "surrogateescape"))
        return bytes(self.get_payload(decode=True))

    def mime_type(self) -> str:
        """The declared type in lower case, text/plain if there is none (RFC 2045, 5.2)."""
        return self.get_content_type().split()[0]  # some add text after it, without the semicolon

    def get_param(self, param: str, failobj: Any = None, header: str = "content-type", unquote: bool = True) -> Any:
        """A parameter as text (RFC 2231 decoded), or failobj where there is none that can be read."""
        field = self.get(header, "")
        if len(field) > 5_000 or field.count(";") > 100:  # the library's time grows with the product of these
            return failobj
        try:
            value = super().get_param(param, failobj, header, unquote)
        except (TypeError, ValueError):  # name*0 next to name*, or a number of 5000 digits
            return failobj
        if isinstance(value, tuple):
            charset, _, text = value
            return _text(text.encode("raw-unicode-escape"), charset)
        return value


def as_email(raw: bytes, mailbox_id: str | None = None) -> dict[str, Any]:
    """A message as the payload of ``POST /api/v1/emails``: None for a scalar that it has not, [] for a list.

    - msgId: mailbox_id; without one, and where the mail has no Message-ID either, "sha256:…" of the raw bytes, so
      that a file imported twice makes one record.
    - syncThreadId: the first id of References (the thread's root, RFC 5322, 3.6.4), else of In-Reply-To, else its own.
    - receivedAt: RFC 3339 in UTC, from the topmost Received field (the last server's clock), else Date.
    - textBody, htmlBody: all text/plain and text/html parts that are neither named nor attachments, joined in order;
      every other part is in attachments, a mail within the mail with its raw bytes.

    Raises ValueError, with a reason that quotes nothing of it, for bytes that are no mail. NUL and lone surrogates
    become U+FFFD.
    """
    if not raw.strip():
        raise ValueError("empty")
    text = FROM_LINES.sub(b"", raw.removeprefix(b"\xef\xbb\xbf").lstrip(), count=1)
    mail = _Part(text if b"\n" in text else text.replace(b"\r", b"\n"))
    if not FIELD.match(text) or not any(MAIL_FIELD.fullmatch(name.encode()) for name in mail):
        raise ValueError("no header field of a mail")
    own_id = mail.get("message-id", "")
    own_id = own_id if own_id.strip("<> \t") else ""
    parent = _first_id(mail.get("in-reply-to", ""))
    from_name, from_address = _sender(mail.get("from", ""))
    return {
        "rfc822MsgId": own_id or None,
        "msgId": mailbox_id or (None if own_id else f"sha256:{sha256(raw).hexdigest()}"),
        "syncThreadId": _first_id(mail.get("references", "")) or parent or own_id or None,
        "inReplyTo": parent,
        "receivedAt": _utc(mail.get("received", "").rpartition(";")[2]) or _utc(mail.get("date", "")),
        "subject": _decoded(mail.get("subject", "")) or None,
        "fromAddress": from_address or None,
        "fromName": from_name or None,
        "toAddresses": _addresses(mail, "to"),
        "ccAddresses": _addresses(mail, "cc"),
        "bccAddresses": _addresses(mail, "bcc"),
        **_content(mail),
    }


def _content(mail: _Part) -> dict[str, Any]:
    """The mail's textBody, htmlBody and attachments."""
    bodies: dict[str, list[str]] = {"text/plain": [], "text/html": []}
    attachments: list[dict[str, Any]] = []
    for part in _leaves(mail):
        mime_type, data = part.mime_type(), part.content()
        if mime_type.startswith("multipart/"):  # it could not be taken apart: better shown whole than lost
            if not data.strip():
                continue
            mime_type = "text/plain"
        disposition = part.get("content-disposition", "").partition(";")[0].strip().lower()
        name = part.get_param("filename", header="content-disposition") or part.get_param("name")
        if mime_type in bodies and disposition != "attachment" and not name:
            bodies[mime_type].append(_text(data, part.get_param("charset")))
            continue
        content_id = part.get("content-id", "").strip("<> \t")  # as a cid: URL has it (RFC 2392)
        attachment = {
            "id": str(len(attachments) + 1),
            "name": _decoded(name) if name else None,
            "mimeType": mime_type,
            "size": len(data),
            "inline": disposition == "inline" or (not disposition and bool(content_id)),
            "contentId": content_id or None,
            "contentLocation": part.get("content-location") or None,
            "content": b64encode(data).decode("ascii"),
        }
        attachments.append(attachment)
    text, html = ("\n".join(texts) or None for texts in bodies.values())
    return {"textBody": text, "htmlBody": html, "attachments": attachments}


def _leaves(part: _Part, depth: int = 0) -> Iterator[_Part]:
    """The parts that have no parts, in order."""
    parts = part.parts() if depth < DEEPEST else []
    for one in parts:
        yield from _leaves(one, depth + 1)
    if not parts:
        yield part


def _text(data: bytes, charset: str | None = None) -> str:
    """Bytes as text, whatever they are: as declared, else UTF-8, else as declared or windows-1252 with U+FFFD."""
    try:
        codec = lookup((charset or "ascii")[:40]).name  # each name that was asked for stays in memory
    except (LookupError, ValueError):
        codec = ""
    codec = MEANT.get(codec, codec)
    attempts = [(codec, "strict"), (codec, "replace")]
    if not data.isascii():  # damaged ISO-2022 is, and would pass for UTF-8
        attempts.insert(1, ("utf-8", "strict"))
    for name, errors in attempts:
        try:
            return UNSTORABLE.sub("\ufffd", data.decode(name, errors))
        except (LookupError, ValueError):
            continue
    return UNSTORABLE.sub("\ufffd", data.decode("cp1252", "replace"))


def _decoded(value: str, quoting: bool = False) -> str:
    """A field with its encoded words (RFC 2047) decoded; a word that cannot be stays as it is.

    With quoting, for addresses: a word that holds a comma or the like gets the quotes that it needs outside a word.
    """

    def run(match: re.Match[str]) -> str:
        # Neighbours are joined before they are decoded, as some mailers cut a character in two.
        words = groupby(WORD.findall(match[0]), key=lambda word: word[0].partition("*")[0].lower())
        try:
            text = "".join(_text(b"".join(map(_word, group)), charset) for charset, group in words)
        except ValueError:
            return match[0]
        return f'"{quote(text)}"' if quoting and SPECIALS.search(text) else text

    return WORDS.sub(run, value)


def _word(word: tuple[str, str, str]) -> bytes:
    _, encoding, text = word
    if encoding in "qQ":
        return decodestring(text.encode(), header=True)
    return b64decode(text.encode() + b"==")


def _base64(body: bytes) -> bytes:
    """What base64 means, without the prose around it; as it is where there is nothing but prose.

    Several may stand one behind the other, and each ends with padding. Of a damaged one the rest is read.
    """
    lines, ended = [], False
    for line in map(bytes.strip, body.splitlines()):
        if b" " not in line and not (ended and NOT_BASE64.search(line)):
            lines.append(line)
            ended = ended or line.endswith(b"=")
    runs = re.findall(rb"[^=]+", NOT_BASE64.sub(b"", b"".join(lines)))
    # A last digit that is left over means nothing.
    return b"".join(b64decode(run[: len(run) - (len(run) % 4 == 1)] + b"==") for run in runs) if runs else body


def _addresses(mail: _Part, field: str) -> list[str]:
    """The entries of all fields of that name, each as written, but for encoded words."""
    entries = (entry for value in mail.get_all(field, []) for entry in _entries(value))
    return [_decoded(entry, quoting='"' not in entry) for entry in entries]


def _entries(value: str) -> list[str]:
    """An address list (RFC 5322, 3.4) split at its commas, or at semicolons as Outlook has it; a group is one entry."""
    entries, start, in_group = [], 0, False
    last_semicolon = value.rfind(";")
    for token in ADDRESS_TOKEN.finditer(value):
        if token[0] == ":" and token.start() < last_semicolon:
            in_group = True
        elif token[0] == ";" or (token[0] == "," and not in_group):
            entries.append(value[start : token.end() if in_group else token.start()])
            start, in_group = token.end(), False
    entries.append(value[start:])
    return [entry.strip() for entry in entries if entry.strip()]


def _sender(value: str) -> tuple[str, str]:
    """Name and address of a From field: of its first entry that has an @, else of its first ("" for none)."""
    entries = _entries(value) or [""]
    entry = next((entry for entry in entries if "@" in entry), entries[0])
    name, bracket, address = entry.rpartition("<")
    if bracket:
        address = address.partition(">")[0]
    elif entry.endswith(")"):  # jane@example.com (Jane Doe), as it was written before RFC 2822
        address, _, name = entry[:-1].partition("(")
    return _decoded(unquote(name.strip())).strip(), address.strip()


def _first_id(value: str) -> str | None:
    """The first message id of a field, as written, or None; old mailers write prose around it."""
    tokens = value.replace("<", " <").replace(">", "> ").split()
    bracketed = [token for token in tokens if token.startswith("<") and len(token) > 2]
    return next(iter(bracketed or [token for token in tokens if "@" in token]), None)


def _utc(date: str) -> str | None:
    """A mail's date (RFC 5322, 3.3) as RFC 3339 in UTC, which it also is where it names no zone; None if unreadable."""
    try:
        moment = parsedate_to_datetime(date)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (IndexError, OverflowError, TypeError, ValueError):
        return None
    return moment.isoformat().replace("+00:00", "Z")
