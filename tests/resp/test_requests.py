"""The framer: a table of (bytes, frames) fed in every way, then random streams cut at random."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.resp import requests
from sidecar.resp.requests import Forward, Frame, Oversized, Own, RequestFramer
from sidecar.resp.watched import Hint

OWN = frozenset({b"MEMREAD", b"MEMINFO"})

Fact = bytes | Own | Oversized | Hint
"""What a stream amounts to: forwarded bytes joined, and between them what is ours and what the bytes may change."""


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def facts(frames: Iterable[Frame]) -> list[Fact]:
    """Join neighbouring forwarded bytes; what they hint at follows them."""
    found: list[Fact] = []
    hints: list[Fact] = []
    run = b""
    for frame in [*frames, None]:
        if isinstance(frame, Forward):
            run += frame.data
            hints += [frame.hint] if frame.hint is not None else []
            continue
        found += [run, *hints] if run else []
        found += [frame] if frame is not None else []
        run, hints = b"", []
    return found


def joined(expected: Sequence[Fact]) -> list[Fact]:
    """Return what `facts` makes of the frames of which these are the facts."""
    frames: list[Frame] = []
    for fact in expected:
        if isinstance(fact, bytes):
            frames.append(Forward(fact))
        elif isinstance(fact, Hint):
            frames.append(Forward(b"", fact))
        else:
            frames.append(fact)
    return facts(frames)


def feed(pieces: Iterable[bytes]) -> list[Frame]:
    framer = RequestFramer(OWN)
    return [frame for piece in pieces for frame in framer.receive(piece)]


def feed_the_short_way(pieces: Iterable[bytes]) -> list[Frame]:
    """Feed each piece to `passes` first, as the session does."""
    framer = RequestFramer(OWN)
    frames: list[Frame] = []
    for piece in pieces:
        frames += [Forward(piece)] if framer.passes(piece) else framer.receive(piece)
    return frames


def one_by_one(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


GET = command(b"GET", b"k")
INFO = command(b"MEMINFO", b"k")
OWN_INFO = Own(b"MEMINFO", [b"k"])
LONG = b"x" * 70_000

COMPLETE: dict[str, tuple[bytes, list[Fact]]] = {
    "one forwarded command": (GET, [GET]),
    "one of ours": (INFO, [OWN_INFO]),
    "ours between others": (GET + INFO + GET, [GET, OWN_INFO, GET]),
    "two of ours": (INFO + INFO, [OWN_INFO, OWN_INFO]),
    "no arguments": (command(b"MEMINFO"), [Own(b"MEMINFO", [])]),
    "any case": (command(b"mEmReAd", b"k", b"TOKENS", b"5"), [Own(b"MEMREAD", [b"k", b"TOKENS", b"5"])]),
    "empty argument": (command(b"MEMINFO", b""), [Own(b"MEMINFO", [b""])]),
    "binary argument": (command(b"MEMINFO", b"\r\n$1\r\n\0"), [Own(b"MEMINFO", [b"\r\n$1\r\n\0"])]),
    "an unknown name of our kind": (command(b"MEMFOO", b"k"), [command(b"MEMFOO", b"k")]),
    "a longer name": (command(b"MEMINFOS"), [command(b"MEMINFOS")]),
    "an empty name": (command(b""), [command(b"")]),
    "ours as a value": (command(b"SET", b"k", INFO) + GET, [command(b"SET", b"k", INFO) + GET]),
    "ours as a name's value": (command(b"GET", b"MEMINFO"), [command(b"GET", b"MEMINFO")]),
    "two bytes after a bulk pass unseen": (b"*1\r\n$4\r\nPINGXX" + INFO, [b"*1\r\n$4\r\nPINGXX", OWN_INFO]),
    "unseen bytes that look like a bulk": (
        b"*2\r\n$3\r\nGET*1$1\r\nk$4" + INFO,
        [b"*2\r\n$3\r\nGET*1$1\r\nk$4", OWN_INFO],
    ),
    "unseen bytes in ours": (b"*2\r\n$7\r\nMEMINFO??$1\r\nk!!" + GET, [OWN_INFO, GET]),
    "unseen bytes in CLIENT": (b"*2\r\n$6\r\nCLIENTXX$2\r\nIDYY", [command(b"CLIENT", b"ID")]),
    "no command at all": (b"*0\r\n*-1\r\n*-10\r\n\r\n\n" + INFO, [b"*0\r\n*-1\r\n*-10\r\n\r\n\n", OWN_INFO]),
    "inline": (b"PING\r\nget k\n", [b"PING\r\nget k\n"]),
    "inline ours": (b'meminfo "a b"\r\n', [Own(b"MEMINFO", [b"a b"])]),
    "inline ours, LF only": (b"  MEMINFO k\nPING\r\n", [OWN_INFO, b"PING\r\n"]),
    "inline name in quotes": (b'"MEM\\x49NFO" k\r\n', [OWN_INFO]),
    "inline, only blanks": (b" \t \r\n" + INFO, [b" \t \r\n", OWN_INFO]),
    "inline, \\v is part of the name": (b"MEMINFO\vk\r\n", [b"MEMINFO\vk\r\n"]),
    "ours behind inline on one line": (b"ECHO MEMINFO k\r\n", [b"ECHO MEMINFO k\r\n"]),
    "HELLO": (command(b"hello", b"3") + INFO, [command(b"hello", b"3"), Hint.PROTOCOL, OWN_INFO]),
    "inline HELLO": (b"hello 3\r\n" + INFO, [b"hello 3\r\n", Hint.PROTOCOL, OWN_INFO]),
    "HELLO as a value": (command(b"SET", b"k", b"HELLO"), [command(b"SET", b"k", b"HELLO")]),
    "CLIENT REPLY OFF": (
        command(b"client", b"reply", b"off"),
        [command(b"client", b"reply", b"off"), Hint.REPLIES_OFF],
    ),
    "CLIENT REPLY ON": (command(b"CLIENT", b"REPLY", b"ON"), [command(b"CLIENT", b"REPLY", b"ON"), Hint.REPLIES_ON]),
    "CLIENT REPLY SKIP": (
        command(b"CLIENT", b"REPLY", b"SKIP") + GET,
        [command(b"CLIENT", b"REPLY", b"SKIP") + GET, Hint.REPLY_SKIPPED],
    ),
    "inline CLIENT REPLY SKIP": (b"client reply skip\r\n", [b"client reply skip\r\n", Hint.REPLY_SKIPPED]),
    "CLIENT REPLY of another kind": (command(b"CLIENT", b"REPLY", b"MAYBE"), [command(b"CLIENT", b"REPLY", b"MAYBE")]),
    "CLIENT alone": (command(b"CLIENT") + INFO, [command(b"CLIENT"), OWN_INFO]),
    "CLIENT with more words": (
        command(b"CLIENT", b"SETINFO", b"LIB-NAME", b"x") + INFO,
        [command(b"CLIENT", b"SETINFO", b"LIB-NAME", b"x"), OWN_INFO],
    ),
    "CLIENT with a long word": (
        command(b"CLIENT", b"SETNAME", b"n" * 65) + INFO,
        [command(b"CLIENT", b"SETNAME", b"n" * 65), OWN_INFO],
    ),
    "a value larger than every limit of ours": (
        command(b"SET", b"k", LONG) + INFO,
        [command(b"SET", b"k", LONG), OWN_INFO],
    ),
}

RAW: dict[str, bytes] = {
    "SYNC": command(b"SYNC"),
    "PSYNC": command(b"psync", b"?", b"-1"),
    "inline SYNC": b"sync\r\n",
    "count with a plus": b"*+1\r\n",
    "count with a leading zero": b"*01\r\n",
    "count with a blank": b"* 1\r\n",
    "count minus zero": b"*-0\r\n",
    "count without digits": b"*\r\n",
    "count of letters": b"*abc\r\n",
    "count ended by LF": b"*1\n$4\r\nPING\r\n",
    "count above INT_MAX": b"*2147483648\r\n",
    "count above INT_MAX with its bulk": b"*2147483648\r\n$7\r\n",
    "count with too many digits": b"*12345678901234567890\r\n",
    "not a bulk": b"*1\r\n:1\r\n",
    "length with a plus": b"*1\r\n$+4\r\n",
    "length with a leading zero": b"*1\r\n$04\r\n",
    "length minus one": b"*1\r\n$-1\r\n",
    "length minus one later": b"*2\r\n$3\r\nGET\r\n$-1\r\n",
    "length of letters later": b"*2\r\n$3\r\nGET\r\n$x\r\n",
    "length with too many digits": b"*1\r\n$99999999999999999999\r\n",
    "unbalanced quotes": b'set "a"b c\r\n',
    "quotes that stay open": b"'MEMINFO k\r\n",
    "NUL in an inline command": b"PING\0\r\n",
    "NUL first": b"\0",
    "a line over 64 KB": b"a" * (requests.MAX_LINE_BYTES + 1),
    "a count line over 64 KB": b"*" + b"1" * (requests.MAX_LINE_BYTES + 1),
    "CLIENT with a bad length": b"*2\r\n$6\r\nCLIENT\r\n$x\r\n",
    "ours with a bad length": b"*2\r\n$7\r\nMEMINFO\r\n$-1\r\n",
    "a TLS hello": b"\x16\x03\x01\0\xf4\n",
}

INCOMPLETE: dict[str, bytes] = {
    "a count": b"*1",
    "a count line": b"*1\r\n",
    "a minus": b"*-",
    "half a line end": b"*1\r",
    "a bulk's sign": b"*1\r\n$",
    "half a length": b"*2\r\n$7",
    "half a name": b"*2\r\n$7\r\nMEMI",
    "a name": b"*2\r\n$7\r\nMEMINFO",
    "half an argument of ours": b"*2\r\n$7\r\nMEMINFO\r\n$5\r\nab",
    "all but the last byte": INFO[:-1],
    "CLIENT": b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n",
    "half an inline command": b"MEMINFO k",
    "an inline command without LF": b"MEMINFO k\r",
}


TAILS: dict[str, tuple[bytes, list[Fact]]] = {
    "alone": (b"", []),
    "forwarded": (GET, [GET]),
    "ours": (INFO, [OWN_INFO]),
    "half a command": (b"*2\r\n$3\r\nGE", []),
}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("case", COMPLETE)
def test_frames(case: str, tail: str) -> None:
    """Each stream gives its frames, whole or byte by byte, whatever follows it."""
    data = COMPLETE[case][0] + TAILS[tail][0]
    expected = COMPLETE[case][1] + TAILS[tail][1]
    assert facts(feed([data])) == joined(expected)
    assert facts(feed(one_by_one(data))) == joined(expected)


@pytest.mark.parametrize("case", RAW)
def test_what_is_odd_goes_on_raw(case: str) -> None:
    """From the first odd byte on, everything goes to Redis as it came, even what looks like a command of ours."""
    data = GET + RAW[case] + INFO
    assert facts(feed([data])) == [data]
    assert facts(feed(one_by_one(data))) == [data]
    assert facts(feed([data, INFO])) == [data + INFO]


@pytest.mark.parametrize("case", RAW)
def test_what_is_odd_is_not_held(case: str) -> None:
    """Redis sees an odd stream at once, so that it can answer and close."""
    assert b"".join(frame.data for frame in feed([RAW[case]]) if isinstance(frame, Forward)) == RAW[case]


@pytest.mark.parametrize("case", INCOMPLETE)
def test_an_incomplete_request_of_ours_is_held(case: str) -> None:
    """Bytes that may become a command of ours wait for the rest, and nothing that Redis could answer is among them."""
    framer = RequestFramer(OWN)
    assert facts(framer.receive(GET + INCOMPLETE[case])) == [GET]
    assert framer.held_bytes > 0


@pytest.mark.parametrize("head", [b"*2000000\r\n", b"*2000000\r\n$7\r\nMEMINFO\r\n$1\r\nk\r\n"])
def test_a_count_that_old_servers_refuse_is_not_held(head: bytes) -> None:
    """A count line that Redis before 7.0 refuses goes on at once, and its arguments are not taken for commands."""
    assert facts(feed([head])) == [head]
    assert facts(feed([*one_by_one(head), b"$24\r\n" + INFO])) == [head + b"$24\r\n" + INFO]


@pytest.mark.parametrize("name", [b"SKIP", b"OFF", b"ON"])
def test_a_reply_hint_ends_with_its_command(name: bytes) -> None:
    """CLIENT REPLY is a frame of its own, so that it is known which command comes right behind it."""
    reply = command(b"CLIENT", b"REPLY", name)
    before, hinted, behind = feed([GET + reply + GET])
    assert (before, behind) == (Forward(GET), Forward(GET))
    assert isinstance(hinted, Forward)
    assert (hinted.data, hinted.hint is not None) == (reply, True)


def test_the_longest_length() -> None:
    """A length of as many digits as Redis's integers have is passed over, whatever comes."""
    head = b"*1\r\n$9223372036854775807\r\n"
    assert facts(feed([head, INFO, GET])) == [head + INFO + GET]


def test_forwarded_bytes_do_not_wait_for_the_rest() -> None:
    """Once a command is known to be Redis's, every byte of it goes on as it comes."""
    framer = RequestFramer(OWN)
    assert facts(framer.receive(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\nab")) == [
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\nab"
    ]
    assert facts(framer.receive(b"cdef")) == [b"cdef"]
    assert framer.held_bytes == 0


def test_a_value_for_every_chunk_size() -> None:
    """A payload that consists of our commands is never taken for one, wherever it is cut."""
    data = command(b"SET", b"k", INFO * 3) + INFO
    for size in range(1, len(data)):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert facts(feed(pieces)) == [data[: -len(INFO)], OWN_INFO], size


TOO_MANY = command(b"MEMREAD", *[b"*1\r\n$4\r\nQUIT\r\n"] * requests.MAX_REQUEST_ARGUMENTS)
TOO_MANY_TEXT = f"a request may have {requests.MAX_REQUEST_ARGUMENTS} arguments; send it in parts"
TOO_LONG_TEXT = f"a request may have {requests.MAX_REQUEST_BYTES} bytes; send it in parts"


@pytest.mark.parametrize("size", [1, 7, 65_536, len(TOO_MANY) + 1_000])
def test_too_many_arguments(size: int) -> None:
    """A request of ours with too many arguments is dropped unseen, and what follows it is understood."""
    oversized = Oversized(b"MEMREAD", TOO_MANY_TEXT)
    for data, expected in (
        (GET + TOO_MANY + INFO + GET, [GET, oversized, OWN_INFO, GET]),
        (TOO_MANY + GET + GET + INFO, [oversized, GET + GET, OWN_INFO]),
        (TOO_MANY + b"PING\r\n" + GET, [oversized, b"PING\r\n" + GET]),
    ):
        pieces = (data[at : at + size] for at in range(0, len(data), size))
        assert facts(feed(pieces)) == expected


def test_the_most_arguments() -> None:
    """A request with as many arguments as the limit says, its name among them, is ours as any other."""
    arguments = [b"x"] * (requests.MAX_REQUEST_ARGUMENTS - 1)
    assert feed([command(b"MEMREAD", *arguments)]) == [Own(b"MEMREAD", arguments)]


def test_too_many_bytes() -> None:
    """A request of ours with too many bytes is refused as soon as that is known, dropped, and followed correctly."""
    framer = RequestFramer(OWN)
    half = requests.MAX_REQUEST_BYTES // 2
    assert framer.receive(b"*4\r\n$7\r\nmemread\r\n$%d\r\n" % half) == []
    assert framer.receive(b"x" * half + b"\r\n") == []
    assert framer.receive(b"$%d\r\n" % half) == [Oversized(b"MEMREAD", TOO_LONG_TEXT)]
    assert framer.held_bytes == 0
    assert framer.receive(INFO * 1_000) == []
    assert framer.receive(b"y" * (half - 1_000 * len(INFO)) + b"\r\n$1\r\nk\r\n" + INFO) == [OWN_INFO]


def test_the_most_bytes() -> None:
    """A request whose arguments have exactly as many bytes as the limit says is ours."""
    text = b"x" * (requests.MAX_REQUEST_BYTES - len(b"MEMINFO"))
    pieces = [b"*2\r\n$7\r\nMEMINFO\r\n$%d\r\n" % len(text), *[text[:65_536]] * (len(text) // 65_536)]
    pieces += [text[: len(text) % 65_536], b"\r\n"]
    assert feed(pieces) == [Own(b"MEMINFO", [text])]


def test_an_oversized_request_that_turns_odd() -> None:
    """What is odd inside a dropped request reaches Redis as an odd argument, never as a command."""
    data = TOO_MANY[: -len(b"$16\r\n*1\r\n$4\r\nQUIT\r\n\r\n")] + b"FLUSHALL\r\n" + GET
    expected = [Oversized(b"MEMREAD", TOO_MANY_TEXT), b"*1\r\nFLUSHALL\r\n" + GET]
    assert facts(feed([data])) == expected
    assert facts(feed([data[:-200], data[-200:]])) == expected


def test_a_request_with_a_bad_length_reaches_redis_whole() -> None:
    """Of a request that was held and turns out to be odd, Redis gets every byte, with its header."""
    data = b"*3\r\n$7\r\nMEMINFO\r\n$1\r\nk\r\n$-1\r\n"
    for cut in range(len(data)):
        assert facts(feed([data[:cut], data[cut:]])) == [data], cut


WORD = st.sampled_from([b"", b"k", b"MEMINFO", b"HELLO", b"SYNC", INFO, b"\r\n", b"*1\r\n", b"x" * 300, b"\0\xff"])
FORWARDED = st.builds(
    lambda name, words: command(name, *words),
    st.sampled_from([b"GET", b"set", b"MEMFOO", b"EVAL", b"A" * 20]),
    st.lists(WORD, max_size=4),
)
BLANK = st.sampled_from([b"\r\n", b"*0\r\n", b"*-1\r\n", b"\n", b"PING\r\n", b"ECHO 'MEMINFO k'\r\n"])
PART = st.one_of(
    FORWARDED.map(lambda data: (data, [data])),
    BLANK.map(lambda data: (data, [data])),
    st.builds(
        lambda name, words: (command(name, *words), [Own(name.upper(), words)]),
        st.sampled_from([b"MEMINFO", b"memread", b"MemInfo"]),
        st.lists(WORD, max_size=4),
    ),
    st.just((b"meminfo 'a b' \"\\r\"\n", [Own(b"MEMINFO", [b"a b", b"\r"])])),
    st.just((command(b"HELLO", b"3"), [command(b"HELLO", b"3"), Hint.PROTOCOL])),
    st.just((command(b"CLIENT", b"REPLY", b"ON"), [command(b"CLIENT", b"REPLY", b"ON"), Hint.REPLIES_ON])),
    st.just((command(b"CLIENT", b"NO-EVICT", b"on"), [command(b"CLIENT", b"NO-EVICT", b"on")])),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PART, max_size=12), st.data())
def test_random_streams_cut_at_random(parts: list[tuple[bytes, list[Fact]]], draw: st.DataObject) -> None:
    """However a mix of commands is cut, the same commands are ours and the other bytes go on unchanged."""
    data = b"".join(part for part, _ in parts)
    expected = joined([fact for _, found in parts for fact in found])
    cuts = sorted(draw.draw(st.sets(st.integers(0, len(data)), max_size=40)))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert facts(feed(pieces)) == expected
    assert facts(feed(one_by_one(data))) == expected
    assert facts(feed_the_short_way(pieces)) == expected
    assert facts(feed_the_short_way(part for part, _ in parts)) == expected


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"*", b"$", b"\r\n", b"1", b"0", b"-", b"7", b"MEMINFO", b"k", b" ", b"\n", b'"']), max_size=30
    )
)
@example([b"*", b"1", b"\r\n", b"$", b"7", b"\r\n", b"MEMINFO", b"\r\n"])
def test_any_bytes_however_cut(pieces: list[bytes]) -> None:
    """Whatever the bytes are, the frames do not depend on how they are cut, and no forwarded byte is lost or moved."""
    data = b"".join(pieces)
    whole = facts(feed([data]))
    assert facts(feed(pieces)) == whole
    assert facts(feed(one_by_one(data))) == whole
    assert facts(feed_the_short_way(pieces)) == whole
    if not any(isinstance(fact, Own) for fact in whole):
        assert data.startswith(b"".join(fact for fact in whole if isinstance(fact, bytes)))
