"""What is sent to ``/ws`` and what must come: the cases of the Autobahn test suite, and more.

Ids up to 13 are Autobahn's. Its server is an echo; ticker's is not, so where a case needs an answer
to a text, the text is a message of ticker's that has one: a `ping`, padded to length, or a
`subscribe` to a board that does not exist, whose name is repeated in the error. Ids from 20 on are
ours. Rules are sections of RFC 6455; those of RFC 7692 are marked D.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.conformance.wire import (
    BINARY,
    CONT,
    KEY,
    PING,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    close,
    deflated,
    fragments,
    frame,
    in_one_window,
    request,
)
from ticker.deflate import TAIL

MAX_MESSAGE = 70_000
"""`server.max_message` here; the default is below Autobahn's 65,536 octets."""

STAYS = -1
"""The connection goes on: a close with 1000 is then answered by one."""

UNNAMED = 0
"""A close frame without a code."""


@dataclass(frozen=True)
class Pong:
    """A pong frame must come; ``maybe`` it need not."""

    payload: bytes = b""
    maybe: bool = False


@dataclass(frozen=True)
class Said:
    """A message of ticker's must come that has these members; ``maybe`` it need not."""

    members: dict[str, Any]
    maybe: bool = False


def said(kind: str, **members: Any) -> Said:
    """Return a message of ``kind`` that must come."""
    return Said({"type": kind, **members})


Step = bytes | Pong | Said
Steps = tuple[Step, ...]


@dataclass(frozen=True)
class Case:
    """A conversation: octets are sent, each in a segment of its own; the rest must come.

    ``chop`` cuts what is sent into segments of so many octets. ``ends`` is the code of the close
    frame that comes then, after which the server ends the TCP connection. ``differs`` says how it
    is otherwise than Autobahn has it.
    """

    id: str
    rule: str
    says: str
    steps: Steps
    ends: int = STAYS
    chop: int = 0
    offer: str = ""
    differs: str = ""

    def __str__(self) -> str:
        return self.id


ASK = b'{"type":"ping"}'
ANSWER = said("pong")
PERHAPS_PONG = Pong(maybe=True)
PERHAPS = Said({"type": "pong"}, maybe=True)
BAD = (said("error", code="bad_message"),)
WORDS = b"Hello, world!"
OCTETS = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"


def text(payload: bytes = ASK, **how: Any) -> bytes:
    """Return a text frame."""
    return frame(TEXT, payload, **how)


def more(payload: bytes = b"", **how: Any) -> bytes:
    """Return a continuation frame."""
    return frame(CONT, payload, **how)


def ping(payload: bytes = b"", **how: Any) -> bytes:
    """Return a ping frame."""
    return frame(PING, payload, **how)


def padded(size: int) -> bytes:
    """Return a ping of ticker's of ``size`` octets: JSON may have spaces around it."""
    return ASK.ljust(size)


def asking(name: bytes) -> bytes:
    """Return a subscription to a board of that name."""
    return b'{"type":"subscribe","board":"' + name + b'"}'


def repeated(name: bytes) -> Said:
    """Return the error that repeats the name of a board that there is not."""
    return said("error", code="unknown_board", board=json.loads(b'"' + name + b'"'))


NO_ECHO = "ticker ends whoever sends bytes: an error, close 4500"


def framing() -> Iterator[Case]:
    """1: messages of every length of length."""
    empty = "no JSON, so close 4500"
    yield Case("1.1.1", "5.6", "an empty text", (text(b""), *BAD), 4500, differs=empty)
    for number, size in enumerate([125, 126, 127, 128, 65_535, 65_536], 2):
        yield Case(f"1.1.{number}", "5.2", f"a text of {size}", (text(padded(size)), ANSWER))
    says = "a text of 65536 in segments of 997"
    yield Case("1.1.8", "5.2", says, (text(padded(65_536)), ANSWER), chop=997)
    sizes = [0, 125, 126, 127, 128, 65_535, 65_536, 65_536]
    for number, size in enumerate(sizes, 1):
        chop = 997 if number == 8 else 0
        says = f"bytes, {size} of them" + (" in segments of 997" if chop else "")
        steps = (frame(BINARY, b"\xfe" * size), *BAD)
        yield Case(f"1.2.{number}", "5.6", says, steps, 4500, chop, differs=NO_ECHO)


def pings() -> Iterator[Case]:
    """2: pings and pongs."""
    full = b"\xfe" * 125
    yield Case("2.1", "5.5.2", "an empty ping", (ping(), Pong()))
    yield Case("2.2", "5.5.2", "a ping with text", (ping(WORDS), Pong(WORDS)))
    yield Case("2.3", "5.5.2", "a ping with octets that are no text", (ping(OCTETS), Pong(OCTETS)))
    yield Case("2.4", "5.5", "a ping of 125", (ping(full), Pong(full)))
    yield Case("2.5", "5.5", "a ping of 126", (ping(b"\xfe" * 126),), 1002)
    says = "a ping of 125, octet by octet"
    yield Case("2.6", "5.5.2", says, (ping(full), Pong(full)), chop=1)
    steps: Steps
    pong = frame(0xA), frame(0xA, b"unasked")
    yield Case("2.7", "5.5.3", "an empty pong that nobody asked for", (pong[0], text(), ANSWER))
    yield Case("2.8", "5.5.3", "a pong with text that nobody asked for", (pong[1], text(), ANSWER))
    steps = (pong[1], ping(WORDS), Pong(WORDS))
    yield Case("2.9", "5.5.3", "a pong that nobody asked for, then a ping", steps)
    ten = [b"ping %d" % i for i in range(10)]
    answers = tuple(map(Pong, ten))
    yield Case("2.10", "5.5.2", "ten pings", (b"".join(map(ping, ten)), *answers))
    steps = (b"".join(map(ping, ten)), *answers)
    yield Case("2.11", "5.5.2", "ten pings, octet by octet", steps, chop=1)


ONCE = "what breaks the rules is sent once the text before it is answered"
SEGMENT = "a message right before a violation, in one segment with it, may go unanswered"


def reserved_bits() -> Iterator[Case]:
    """3: bits that nobody agreed upon."""
    steps: Steps
    yield Case("3.1", "5.2", "a text with RSV3", (text(rsv=RSV3),), 1002)
    steps = (text() + text(rsv=RSV2) + ping(), PERHAPS)
    yield Case("3.2", "5.2", "a text, one with RSV2, a ping", steps, 1002, differs=SEGMENT)
    steps = (text(), ANSWER, text(rsv=RSV2 | RSV3), ping())
    yield Case(
        "3.3", "5.2", "the same with RSV2 and RSV3, frame by frame", steps, 1002, differs=ONCE
    )
    steps = (text(), ANSWER, text(rsv=RSV1), ping())
    yield Case("3.4", "5.2", "the same with RSV1, octet by octet", steps, 1002, 1, differs=ONCE)
    yield Case("3.5", "5.2", "bytes with RSV1, 3", (frame(BINARY, OCTETS, rsv=RSV1 | RSV3),), 1002)
    yield Case("3.6", "5.2", "a ping with RSV1, 2", (ping(WORDS, rsv=RSV1 | RSV2),), 1002)
    every = RSV1 | RSV2 | RSV3
    yield Case("3.7", "5.2", "a close with all three", (frame(0x8, rsv=every),), 1002)


def opcodes() -> Iterator[Case]:
    """4: opcodes that mean nothing."""
    for number, first in [("1", 0x3), ("2", 0xB)]:
        empty, full, third, fourth, fifth = (first + i for i in range(5))
        kind = "data" if number == "1" else "control"
        yield Case(f"4.{number}.1", "5.2", f"{kind} opcode {empty}, empty", (frame(empty),), 1002)
        says = f"{kind} opcode {full}, with a payload"
        yield Case(f"4.{number}.2", "5.2", says, (frame(full, WORDS),), 1002)
        for case, opcode, payload in [(3, third, b""), (4, fourth, WORDS), (5, fifth, WORDS)]:
            steps = (text(), ANSWER, frame(opcode, payload), ping())
            says = f"a text, {kind} opcode {opcode}, a ping" + ", octet by octet" * (case == 5)
            chop = 1 if case == 5 else 0
            yield Case(f"4.{number}.{case}", "5.2", says, steps, 1002, chop, differs=ONCE)


def fragmentation() -> Iterator[Case]:
    """5: messages in fragments."""
    steps: Steps
    one, two = ASK[:6], ASK[6:]
    pieces = (text(one, fin=False), more(two))
    whole = b"".join(pieces)
    yield Case("5.1", "5.5", "a ping in two", (ping(one, fin=False) + more(two),), 1002)
    yield Case("5.2", "5.5", "a pong in two", (frame(0xA, one, fin=False) + more(two),), 1002)
    yield Case("5.3", "5.4", "a text in two", (whole, ANSWER))
    yield Case("5.4", "5.4", "a text in two, frame by frame", (*pieces, ANSWER))
    yield Case("5.5", "5.4", "a text in two, octet by octet", (whole, ANSWER), chop=1)
    asked = (pieces[0], ping(WORDS), pieces[1])
    answers = (Pong(WORDS), ANSWER)
    yield Case("5.6", "5.4", "a text in two, a ping inside", (b"".join(asked), *answers))
    yield Case("5.7", "5.4", "the same, frame by frame", (*asked, *answers))
    yield Case("5.8", "5.4", "the same, octet by octet", (*asked, *answers), chop=1)
    for number, fin in [(9, True), (12, False)]:
        says = f"a continuation of nothing, {'' if fin else 'not '}final, then a text"
        steps = (more(WORDS, fin=fin), text())
        yield Case(f"5.{number}", "5.4", says, (b"".join(steps),), 1002)
        yield Case(f"5.{number + 1}", "5.4", f"{says}, frame by frame", steps, 1002)
        yield Case(f"5.{number + 2}", "5.4", f"{says}, octet by octet", steps, 1002, chop=1)
    steps = (whole, ANSWER, more(WORDS, fin=False) + text())
    yield Case(
        "5.15", "5.4", "a text in two, a continuation of nothing, a text", steps, 1002, differs=ONCE
    )
    for number, fin in [(16, False), (17, True)]:
        says = f"twice: a continuation of nothing, {'' if fin else 'not '}final, a text in two"
        yield Case(f"5.{number}", "5.4", says, ((more(WORDS, fin=fin) + whole) * 2,), 1002)
    says = "a text in two, both with the opcode of text"
    yield Case("5.18", "5.4", says, (text(one, fin=False) + text(two),), 1002)
    parts = [ASK[i : i + 3] for i in range(0, 15, 3)]
    first = text(parts[0], fin=False), more(parts[1], fin=False), ping(b"1")
    rest = more(parts[2], fin=False), more(parts[3], fin=False), ping(b"2"), more(parts[4])
    says = "a text in five, pings inside, the first answered before the rest is sent"
    steps = (b"".join(first), Pong(b"1"), b"".join(rest), Pong(b"2"), ANSWER)
    yield Case("5.19", "5.4", says, steps)
    steps = (*first, Pong(b"1"), *rest, Pong(b"2"), ANSWER)
    yield Case("5.20", "5.4", f"{says}, frame by frame", steps)


GREEK = "κ\u1f79σμε".encode()
MIXED = "Hello-µ@ßöäüàá-UTF-8!!".encode()
LATE = "checked when the message is complete, not at the first wrong octet"

VALID = {
    "6.5": ["hello$world", "hello¢world", "hello€world", "hello\U00024b62world", GREEK.decode()],
    "6.7": ["\x00", "\x80", "\u0800", "\U00010000"],
    "6.9": ["\x7f", "\u07ff", "\uffff", "\U0010ffff"],
    "6.11": ["\ud7ff", "\ue000", "\ufffd", "\U0010ffff"],
    "6.22": [*(chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF))],
    "6.23": [chr(0xFFF9 + i) for i in range(7)],
}
"""Texts that are UTF-8 (RFC 3629), by Autobahn's groups: borders of lengths, noncharacters."""

LEADS = [(0xC0, 0xDF), (0xE0, 0xEF), (0xF0, 0xF7), (0xF8, 0xFB), (0xFC, 0xFD)]
CUT_OFF = "c0 e080 f08080 f8808080 fc80808080 df efbf f7bfbf fbbfbfbf fdbfbfbfbf"
INVALID = {
    "6.8": "f888808080 fc8480808080",
    "6.10": "f7bfbfbf fbbfbfbfbf fdbfbfbfbfbf",
    "6.12": "80 bf 80bf 80bf80 80bf80bf 80bf80bf80 80bf80bf80bf " + bytes(range(128, 191)).hex(),
    "6.13": " ".join(bytes(range(*lead)).hex("-").replace("-", "20") + "20" for lead in LEADS),
    "6.14": CUT_OFF,
    "6.15": CUT_OFF.replace(" ", ""),
    "6.16": "fe ff fefeffff",
    "6.17": "c0af e080af f08080af f8808080af fc80808080af",
    "6.18": "c1bf e09fbf f08fbfbf f887bfbfbf fc83bfbfbfbf",
    "6.19": "c080 e08080 f0808080 f880808080 fc8080808080",
    "6.20": "eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf",
    "6.21": "eda080edb080 eda080edbfbf edadbfedb080 edadbfedbfbf "
    "edae80edb080 edae80edbfbf edafbfedb080 edafbfedbfbf",
}
"""Octets that are none, in hexadecimal: too long, cut off, out of range, surrogates."""

BEYOND = bytes.fromhex("f4908080")


def utf8() -> Iterator[Case]:
    """6: texts and octets that are none."""
    steps: Steps
    ask = asking(MIXED)
    yield Case("6.1.1", "5.6", "an empty text", (text(b""), *BAD), 4500, differs="as 1.1.1")
    nothing = text(b"", fin=False) + more(fin=False)
    says = "an empty text in three"
    yield Case("6.1.2", "5.4", says, (nothing + more(), *BAD), 4500, differs="as 1.1.1")
    steps = (text(b"", fin=False) + more(ASK, fin=False) + more(), ANSWER)
    yield Case("6.1.3", "5.4", "a text in three, the first and last empty", steps)
    yield Case("6.2.1", "8.1", "a text of more than ASCII", (text(ask), repeated(MIXED)))
    cut = len(asking(b"")) + 5
    steps = (text(ask[:cut], fin=False) + more(ask[cut:]), repeated(MIXED))
    yield Case("6.2.2", "8.1", "the same in two, cut between characters", steps)
    for number, name in [(3, MIXED), (4, GREEK)]:
        says = "a text of more than ASCII in frames of one octet"
        yield Case(f"6.2.{number}", "8.1", says, (fragments(asking(name), 1), repeated(name)))
    wrong = asking(GREEK + bytes.fromhex("eda080") + b"edited")
    yield Case("6.3.1", "8.1", "a surrogate in a text", (text(wrong),), 1007)
    yield Case("6.3.2", "8.1", "the same in frames of one octet", (fragments(wrong, 1),), 1007)
    for number, bad in [(1, BEYOND), (2, BEYOND[:2])]:
        first, last = asking(GREEK)[:-2], BEYOND[len(bad) :] + b'edited"}'
        steps = (text(first, fin=False), more(bad, fin=False), ping(), Pong(), more(last))
        says = "octets above U+10FFFF in the second of three frames"
        yield Case(f"6.4.{number}", "8.1", says, steps, 1007, differs=LATE)
        whole = text(first + bad + last)
        end = len(whole) - len(last)
        start = end - len(bad)
        steps = (whole[:start], whole[start:end], whole[end:])
        says = "the same in three segments of one frame"
        yield Case(f"6.4.{number + 2}", "8.1", says, steps, 1007, differs=LATE)
    for group, texts in VALID.items():
        for number, valid in enumerate(texts, 1):
            yield _valid(f"{group}.{number}", valid.encode())
    for size in range(1, len(GREEK) + 1):
        prefix = GREEK[:size]
        whole_too = prefix.decode(errors="ignore").encode() == prefix
        case = f"6.6.{size}"
        yield _valid(case, prefix) if whole_too else _invalid(case, prefix)
    yield _invalid("6.11.5", BEYOND)
    for group, octets in INVALID.items():
        for number, hexadecimal in enumerate(octets.split(), 1):
            yield _invalid(f"{group}.{number}", bytes.fromhex(hexadecimal))


def _valid(case: str, name: bytes) -> Case:
    if name == b"\x00":  # JSON has it only escaped
        why = "in JSON no control character may stand, so close 4500, and not 1007"
        return Case(case, "8.1", "a text with 00", (text(asking(name)), *BAD), 4500, differs=why)
    says = f"a text with {name.hex(' ')}"
    return Case(case, "8.1", says, (text(asking(name)), repeated(name)))


def _invalid(case: str, octets: bytes) -> Case:
    shown = octets.hex(" ") if len(octets) < 12 else f"{octets[:8].hex(' ')} and so on"
    return Case(case, "8.1", f"octets {shown} as text", (text(asking(octets)),), 1007)


ALLOWED = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
FORBIDDEN = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999]


def closes() -> Iterator[Case]:
    """7: the closing handshake."""
    steps: Steps
    bye, longest = close(1000), b"*" * 123
    yield Case("7.1.1", "5.5.1", "a text, then a close", (text(), ANSWER, bye), 1000)
    yield Case("7.1.2", "5.5.1", "two closes", (bye + close(),), 1000)
    yield Case("7.1.3", "5.5.1", "a close, then a ping", (bye + ping(),), 1000)
    yield Case("7.1.4", "5.5.1", "a close, then a text", (bye + text(),), 1000)
    steps = (text(ASK[:6], fin=False) + bye + more(ASK[6:]),)
    why = "1002 where Autobahn expects 1000: so the library websockets has it, on purpose"
    yield Case("7.1.5", "5.5.1", "a close inside a message", steps, 1002, differs=why)
    steps = (text(padded(MAX_MESSAGE)) + text() + bye + ping(), PERHAPS, PERHAPS)
    says = "a message as long as may be, another, a close and a ping at once"
    yield Case("7.1.6", "5.5.1", says, steps, 1000, differs="70,000 octets, not 262,144")
    yield Case("7.3.1", "5.5.1", "a close without a code", (close(),), UNNAMED)
    yield Case("7.3.2", "5.5.1", "a close of one octet", (frame(0x8, b"a"),), 1002)
    yield Case("7.3.3", "5.5.1", "a close with a code", (bye,), 1000)
    yield Case("7.3.4", "5.5.1", "a close with a reason", (close(1000, WORDS),), 1000)
    yield Case("7.3.5", "5.5", "the longest reason, 123", (close(1000, longest),), 1000)
    yield Case("7.3.6", "5.5", "one longer, 124", (close(1000, longest + b"*"),), 1002)
    wrong = GREEK + bytes.fromhex("eda080") + b"edited"
    yield Case("7.5.1", "8.1", "a reason that is not UTF-8", (close(1000, wrong),), 1007)
    for number, code in enumerate(ALLOWED, 1):
        yield Case(f"7.7.{number}", "7.4", f"a close with {code}", (close(code),), code)
    for number, code in enumerate(FORBIDDEN, 1):
        yield Case(f"7.9.{number}", "7.4", f"a close with {code}", (close(code),), 1002)
    yield Case("7.13.1", "7.4.2", "a close with 5000", (close(5000),), 1002)
    steps = (frame(0x8, struct.pack("!I", 65_536)),)
    says = "a close with 65536, which its two octets cannot hold: code 1 and octets that are text"
    yield Case("7.13.2", "7.4.2", says, steps, 1002)


def limits() -> Iterator[Case]:
    """9: what is long, or comes in very many pieces."""
    steps: Steps
    most = padded(MAX_MESSAGE)
    differs = "up to `max_message`, and one octet more; Autobahn's 64 KB to 16 MB are for an echo"
    yield Case("9.1", "10.4", "the longest message", (text(most), ANSWER), differs=differs)
    yield Case("9.1.more", "7.4.1", "one octet more", (text(most + b" "),), 1009, differs=differs)
    long = frame(BINARY, most)
    yield Case("9.2", "10.4", "the same in bytes", (long, *BAD), 4500, differs=NO_ECHO)
    long = frame(BINARY, most + b" ")
    yield Case("9.2.more", "7.4.1", "one octet more in bytes", (long,), 1009, differs=differs)
    for number, size in enumerate([64, 256, 1_024, 4_096, 16_384, 65_536], 1):
        says = f"the longest message in frames of {size}"
        yield Case(f"9.3.{number}", "5.4", says, (fragments(most, size), ANSWER), differs=differs)
        steps = (fragments(most, size, BINARY), *BAD)
        says = f"the same in bytes, in frames of {size}"
        yield Case(f"9.4.{number}", "5.4", says, steps, 4500, differs=NO_ECHO)
    steps = (fragments(most + b" ", 1_024),)
    says = "one octet more, in frames of 1024"
    yield Case("9.3.more", "7.4.1", says, steps, 1009, differs=differs)
    for number, chop in enumerate([64, 128, 256, 512, 1_024, 2_048], 1):
        says = f"the longest message in segments of {chop}"
        yield Case(f"9.5.{number}", "5.2", says, (text(most), ANSWER), chop=chop, differs=differs)
        steps = (frame(BINARY, most), *BAD)
        says = f"the same in bytes, in segments of {chop}"
        yield Case(f"9.6.{number}", "5.2", says, steps, 4500, chop, differs=NO_ECHO)
    why = "100 times, not 1,000 (`messages_per_second` is off for it)"
    for number, size in enumerate([15, 16, 64, 256, 1_024, 4_096], 1):
        steps = (text(padded(size)), ANSWER) * 100
        says = f"a message of {size} again and again, each once the one before is answered"
        yield Case(f"9.7.{number}", "5.2", says, steps, differs=why)
    steps = (frame(BINARY, OCTETS) + text(), *BAD)
    says = "9.7 in bytes: the first of them ends it"
    yield Case("9.8", "5.2", says, steps, 4500, differs=NO_ECHO)


def sizes() -> Iterator[Case]:
    """10: frames of 1300."""
    steps = (fragments(padded(65_536), 1_300), ANSWER)
    yield Case("10.1.1", "5.4", "a text of 65536 in frames of 1300", steps)


OFFERS = {
    "12.1": "permessage-deflate; client_max_window_bits",
    "13.1": "permessage-deflate",
    "13.2": "permessage-deflate; server_no_context_takeover",
    "13.3": "permessage-deflate; server_max_window_bits=9",
    "13.4": "permessage-deflate; server_max_window_bits=15",
    "13.5": "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
    "13.6": "permessage-deflate; server_no_context_takeover; server_max_window_bits=15",
    "13.7": "permessage-deflate; server_no_context_takeover; server_max_window_bits=9,"
    " permessage-deflate; server_no_context_takeover, permessage-deflate",
}
"""What a viewer may ask for. Compressed answers to each are in `test_conformance`."""


def compressed(payload: bytes = ASK, size: int = 0, **how: Any) -> bytes:
    """Return a compressed text, in frames of ``size`` octets where that is given."""
    data = deflated(payload, **how)
    return fragments(data, size or len(data), rsv=RSV1)


CUTS = [
    *((size, 0) for size in [16, 64, 256, 1_024, 4_096, 8_192, 16_384, 32_768, 65_536, 65_536]),
    *((size, 256) for size in [8_192, 16_384, 32_768, 65_536, 65_536]),
    *((65_536, cut) for cut in [1_024, 4_096, 32_768]),
]
"""Lengths of compressed texts, and of the frames that they come in, 0 for one frame."""


def noisy(size: int) -> bytes:
    """Return a ping of ticker's of ``size`` octets that does not become much shorter."""
    head, end = b'{"type":"ping","x":"', b'"}'
    if size < len(head) + len(end):
        return padded(size)
    return head + Random(size).randbytes(size).hex().encode()[: size - len(head) - len(end)] + end


FEWER = "10 messages of at most 65,536 octets, not 1,000 of at most 131,072"


def deflate() -> Iterator[Case]:
    """12, 13: compressed messages, by what was offered."""
    messages = [compressed(noisy(size), cut) for size, cut in CUTS]
    for group, offer in OFFERS.items():
        for number, ((size, cut), message) in enumerate(zip(CUTS, messages, strict=True), 1):
            frames = f", in frames of {cut}" if cut else ""
            says = f"compressed texts of {size}{frames}"
            steps = (message, ANSWER) * 10
            yield Case(f"{group}.{number}", "D 7.2", says, steps, offer=offer, differs=FEWER)


def deflate_more() -> Iterator[Case]:
    """20: what else may and may not be compressed."""
    data = deflated(ASK)
    together = [frame(TEXT, part, rsv=RSV1) for part in in_one_window(ASK, ASK)]
    blocks = b"".join(in_one_window(ASK[:5], ASK[5:], between=TAIL))
    offer = OFFERS["13.1"]
    # fmt: off
    table: list[tuple[str, str, Steps, int]] = [
        ("D 6", "a text that is not compressed", (text(), ANSWER), STAYS),
        ("D 6", "plain and compressed in turns", (text() + compressed() + text(), *[ANSWER] * 3),
         STAYS),
        ("D 6.1", "a compressed text in two", (compressed(ASK, 9), ANSWER), STAYS),
        ("D 6.1", "the same, a ping inside",
         (fragments(data, 9, rsv=RSV1, between=ping()), Pong(), ANSWER), STAYS),
        ("D 6.1", "fragments of one octet, pings inside",
         (fragments(data, 1, rsv=RSV1, between=ping()), *[Pong()] * (len(data) - 1), ANSWER),
         STAYS),
        ("D 6.1", "an empty last fragment",
         (frame(TEXT, data, rsv=RSV1, fin=False) + more(), ANSWER), STAYS),
        ("D 6.1", "RSV1 on a continuation of a compressed text",
         (frame(TEXT, data[:5], rsv=RSV1, fin=False) + more(data[5:], rsv=RSV1),), 1002),
        ("D 6.1", "RSV1 on a continuation of a plain text",
         (text(ASK[:5], fin=False) + more(deflated(ASK[5:]), rsv=RSV1),), 1002),
        ("D 6.1", "RSV1 on a ping", (ping(data, rsv=RSV1),), 1002),
        ("D 6.1", "RSV1 on a close", (frame(0x8, struct.pack("!H", 1000), rsv=RSV1),), 1002),
        ("D 6", "RSV2 on a compressed text", (frame(TEXT, data, rsv=RSV1 | RSV2),), 1002),
        ("D 7.2.2", "octets that are no deflate", (frame(TEXT, b"\xff" * 9, rsv=RSV1),), 1002),
        ("D 7.2.3.1", "an empty compressed text", (frame(TEXT, b"\x00", rsv=RSV1), *BAD), 4500),
        ("D 7.2.3.3", "a stored block", (frame(TEXT, deflated(ASK, level=0), rsv=RSV1), ANSWER),
         STAYS),
        ("D 7.2.3.4", "a block with BFINAL",
         (frame(TEXT, deflated(ASK, final=True), rsv=RSV1), ANSWER), STAYS),
        ("D 7.2.3.5", "two blocks", (frame(TEXT, blocks, rsv=RSV1), ANSWER), STAYS),
        ("8.1", "compressed octets that are not UTF-8", (compressed(asking(b"\xff")),), 1007),
        ("D 8", "a message of `max_message` when inflated",
         (compressed(padded(MAX_MESSAGE)), ANSWER), STAYS),
        ("D 8", "one octet more when inflated", (compressed(padded(MAX_MESSAGE + 1)),), 1009),
        ("D 8", "a bomb of 10 MB", (frame(TEXT, deflated(bytes(10_000_000)), rsv=RSV1),), 1009),
        ("D 8", "a bomb in frames of 10", (fragments(deflated(bytes(1_000_000)), 10, rsv=RSV1),),
         1009),
        ("5.6", "compressed bytes", (frame(BINARY, data, rsv=RSV1), *BAD), 4500),
        ("D 7.1.1.2", "context carried on, though the server forbade it",
         (together[0], ANSWER, together[1]), 1002),
    ]
    # fmt: on
    for number, (rule, says, steps, ends) in enumerate(table, 1):
        yield Case(f"20.{number}", rule, says, steps, ends, offer=offer)


LENGTHS = "accepted, though a sender must use the shortest: websockets leaves it at that"
LENIENT = {
    "a text whose length is said in eight octets though seven bits do": LENGTHS,
    "a ping whose length is said in two octets though seven bits do": LENGTHS,
    "a 64-bit length whose first bit is set": "1009, not 1002: too long before it is wrong",
    "what is not UTF-8, then a close, in one segment": "the close is answered, nothing else",
}
"""Where RFC 6455 would have it otherwise, or does not say."""


def more_framing() -> Iterator[Case]:
    """21: what else of framing is right or wrong."""
    whole = text()
    segments = [step for i in range(1, len(whole)) for step in (whole[:i], whole[i:], ANSWER)]
    halves = [
        step
        for i in range(len(ASK) + 1)
        for step in (text(ASK[:i], fin=False) + more(ASK[i:]), ANSWER)
    ]
    empty = text(b"", fin=False) + more(b"", fin=False) * 50 + more(ASK)
    huge = struct.pack("!BBQ", 0x81, 0xFF, 1 << 63)
    # fmt: off
    table: list[tuple[str, str, Steps, int]] = [
        ("5.4", "a frame cut in two segments, at each of its octets", tuple(segments), STAYS),
        ("5.4", "a message cut in two frames, at each of its octets", tuple(halves), STAYS),
        ("5.4", "a message after 51 empty fragments", (empty, ANSWER), STAYS),
        ("5.2", "twenty messages in one segment", (whole * 20, *[ANSWER] * 20), STAYS),
        ("5.1", "a text without a mask", (text(mask=None),), 1002),
        ("5.1", "a ping without a mask", (ping(WORDS, mask=None),), 1002),
        ("5.1", "a close without a mask", (frame(0x8, mask=None),), 1002),
        ("5.3", "a mask of zeros", (text(mask=bytes(4)), ANSWER), STAYS),
        ("5.3", "another mask for each frame",
         tuple(s for i in range(5) for s in (text(mask=bytes([i * 50] * 4)), ANSWER)), STAYS),
        ("5.2", "a 64-bit length whose first bit is set", (huge + bytes(4),), 1009),
        ("7.4.1", "a length that is too long, and no octet of it", (text(b"", size=1 << 40),),
         1009),
        ("5.2", "a text whose length is said in eight octets though seven bits do",
         (text(length_in=8), ANSWER), STAYS),
        ("5.5", "a ping whose length is said in two octets though seven bits do",
         (ping(WORDS, length_in=2), Pong(WORDS)), STAYS),
        ("7.4.1", "much more than the longest message", (text(padded(5_000_000)),), 1009),
        ("8.1", "what is not UTF-8, then a ping, in one segment",
         (text(asking(b"\xff")) + ping(), PERHAPS_PONG), 1007),
        ("8.1", "what is not UTF-8, then a close, in one segment",
         (text(asking(b"\xff")) + close(1000),), 1000),
        ("8.1", "what is not UTF-8, twice", (text(asking(b"\xff")) * 2,), 1007),
        ("5.5.1", "a close, then a violation", (close(1000) + frame(0x3),), 1000),
        ("5.5.1", "bytes, then a text that comes too late", (frame(BINARY, OCTETS), *BAD, text()),
         4500),
        ("5.6", "text that is no JSON", (text(b"hello"), *BAD), 4500),
        ("5.6", "a message that is not of the protocol", (text(b'{"type":"nonsense"}'), BAD[0]),
         STAYS),
    ]
    # fmt: on
    for number, (rule, says, steps, ends) in enumerate(table, 1):
        yield Case(f"21.{number}", rule, says, steps, ends, differs=LENIENT.get(says, ""))


@dataclass(frozen=True)
class Handshake:
    """A request to open a WebSocket, and the status and headers of what must come."""

    id: str
    says: str
    sends: bytes
    status: int
    has: dict[str, str] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.id


def handshakes() -> Iterator[Handshake]:
    """30: the opening handshake (RFC 6455, 4.2)."""
    refused = {"upgrade": "websocket", "sec-websocket-version": "13"}  # 4.4
    accept = {"sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}  # of RFC 6455, 1.3
    opened = accept | {"upgrade": "websocket", "connection": "Upgrade"}
    unoffered = ("sec-websocket-protocol", "sec-websocket-extensions")
    key, deflate_key = "Sec-WebSocket-Key", "Sec-WebSocket-Extensions: permessage-deflate"
    protocol = "Sec-WebSocket-Protocol"
    mine = {protocol.lower(): "ticker.v1"}
    old = "GET {path} HTTP/1.0"
    post, head = "POST {path} HTTP/1.1", "HEAD {path} HTTP/1.1"
    # fmt: off
    table: list[tuple[str, bytes, int, dict[str, str], tuple[str, ...]]] = [
        ("the key of the RFC's example", request(), 101, opened, unoffered),
        ("headers in other letters", request("UPGRADE: WebSocket", "CONNECTION: upgrade"), 101,
         opened, ()),
        ("Connection with more in it", request("Connection: keep-alive, Upgrade"), 101, opened, ()),
        ("POST", request(start=post), 405, {"allow": "GET"}, ("upgrade",)),
        ("HEAD", request(start=head), 405, {"allow": "GET"}, ()),
        ("HTTP/1.0", request(start=old), 505, {}, ()),
        ("no Host", request(host=None), 400, {}, ()),
        ("two Hosts", request("Host: x", "Host: y"), 400, {}, ()),
        ("no Upgrade", request("Upgrade:"), 404, {}, ()),
        ("another Upgrade", request("Upgrade: h2c"), 404, {}, ()),
        ("no Connection", request("Connection:"), 404, {}, ()),
        ("Connection without Upgrade", request("Connection: keep-alive"), 404, {}, ()),
        ("no key", request(f"{key}:"), 400, {}, ()),
        ("an empty key", request(f"{key}: "), 400, {}, ()),
        ("a key of 15 octets", request(f"{key}: AAAAAAAAAAAAAAAAAAAA"), 400, {}, ()),
        ("a key of 17 octets", request(f"{key}: AAAAAAAAAAAAAAAAAAAAAAA="), 400, {}, ()),
        ("a key that is no base64", request(f"{key}: !!!!!!!!!!!!!!!!!!!!!!=="), 400, {}, ()),
        ("two keys", request(f"{key}: {KEY}", f"{key}: {KEY}"), 400, {}, ()),
        ("no version", request("Sec-WebSocket-Version:"), 426, refused, ()),
        ("version 8", request("Sec-WebSocket-Version: 8"), 426, refused, ()),
        ("version 14", request("Sec-WebSocket-Version: 14"), 426, refused, ()),
        ("version 013", request("Sec-WebSocket-Version: 013"), 426, refused, ()),
        ("version +13", request("Sec-WebSocket-Version: +13"), 426, refused, ()),
        ("two versions", request("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"), 400, {},
         ()),
        ("our sub-protocol", request(f"{protocol}: ticker.v1"), 101, mine, ()),
        ("ours among others", request(f"{protocol}: a, ticker.v1, b"), 101, mine, ()),
        ("ours in a second header", request(f"{protocol}: a", f"{protocol}: ticker.v1"), 101, mine,
         ()),
        ("only others", request(f"{protocol}: ticker.v2, a"), 101, opened, unoffered),
        ("a sub-protocol that is no token", request(f"{protocol}: a b"), 400, {}, ()),
        ("an unknown extension", request("Sec-WebSocket-Extensions: x-none; a=1"), 101, opened,
         unoffered),
        ("deflate", request(deflate_key), 101,
         {"sec-websocket-extensions": "permessage-deflate; client_no_context_takeover"}, ()),
        ("deflate twice: one answer", request(deflate_key, deflate_key), 101,
         {"sec-websocket-extensions": "permessage-deflate; client_no_context_takeover"}, ()),
        ("deflate with a window of 8 bits, declined",
         request(f"{deflate_key}; server_max_window_bits=8"), 101, opened, unoffered),
        ("an extension that cannot be read", request("Sec-WebSocket-Extensions: =;"), 400, {}, ()),
        ("our own Origin", request("Origin: http://x"), 101, opened, ()),
        ("an Origin elsewhere", request("Origin: http://evil.example"), 403, {}, ("upgrade",)),
        ("Origin null", request("Origin: null"), 403, {}, ()),
        ("two Origins", request("Origin: http://x", "Origin: http://x"), 400, {}, ()),
        ("another path", request(path="/nowhere"), 403, {}, ("upgrade",)),
        ("the path of a page", request(path="/"), 403, {}, ("upgrade",)),
        ("a whole URL", request(path="http://x/ws"), 101, opened, ()),
        ("a whole URL with parameters", request(path="http://x/ws?board=b"), 101, opened, ()),
        ("a whole URL without a path", request(path="http://x"), 403, {}, ()),
        ("a star", request(path="*"), 403, {}, ()),
        ("a host and port", request(path="x:80", start="CONNECT {path} HTTP/1.1"), 400, {}, ()),
        ("a header of 9 KB", request("X: " + "x" * 9_000), 431, {}, ()),
        ("an address of 9 KB", request(path="/ws?" + "x" * 9_000), 414, {}, ()),
        ("a body", request("Content-Length: 2") + b"{}", 400, {}, ()),
        ("a body in chunks", request("Transfer-Encoding: chunked") + b"0\r\n\r\n", 400, {}, ()),
    ]
    # fmt: on
    for number, (says, sends, status, has, lacks) in enumerate(table, 1):
        yield Handshake(f"30.{number}", says, sends, status, has, lacks)


GROUPS: list[Callable[[], Iterator[Case]]] = [
    framing, pings, reserved_bits, opcodes, fragmentation, utf8, closes, limits, sizes, deflate,
    deflate_more, more_framing,
]  # fmt: skip

CASES = [case for group in GROUPS for case in group()]
HANDSHAKES = list(handshakes())

FEW = 8
"""So many cases are named one by one."""


def table() -> Iterator[str]:
    """Yield the lines of the table in docs/conformance.md."""
    yield "| cases | about | number | otherwise than Autobahn has them |"
    yield "|---|---|---|---|"
    every: list[Callable[[], Iterator[Case | Handshake]]] = [*GROUPS, handshakes]
    for group in every:
        cases = list(group())
        ids, _, about = (group.__doc__ or "").partition(": ")
        otherwise = sum(isinstance(case, Case) and bool(case.differs) for case in cases)
        yield f"| {ids} | {about.rstrip('.')} | {len(cases)} | {otherwise or ''} |"


def differences() -> Iterator[str]:
    """Yield the list of what is otherwise than Autobahn has it, with the cases of each."""
    ids: dict[str, list[str]] = {}
    for case in CASES:
        if case.differs:
            ids.setdefault(case.differs, []).append(case.id)
    for why, told in ids.items():
        groups = ", ".join(dict.fromkeys(case.split(".")[0] for case in told))
        few = len(told) <= FEW
        yield f"- {', '.join(told) if few else f'{len(told)} cases of {groups}'}: {why}."
