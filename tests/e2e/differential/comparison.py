"""Tells what was different between two runs, with the raw bytes of both."""

from __future__ import annotations

from collections.abc import Sequence as Many

from tests.e2e.differential.mixing import Mix, Slot, expected
from tests.e2e.differential.rules import without_what_may_differ
from tests.e2e.differential.script import Sequence
from tests.e2e.differential.stage import Heard, Transcript

SHOWN_BYTES = 600
"""Most bytes of one reply in a failure; the big values are megabytes."""


def differences(sequence: Sequence, direct: Transcript, sidecar: Transcript) -> list[str]:
    """Return one text for each thing that was not the same; none if the runs were."""
    streams: dict[str, list[bytes | Slot]] = {name: list(heard.replies) for name, heard in direct.heard.items()}
    return _compare(sequence, streams, direct, sidecar, None)


def differences_of_mixed(
    sequence: Sequence, streams: dict[str, list[bytes | Slot]], reference: Transcript, sidecar: Transcript, mixed: Mix
) -> list[str]:
    """The same for a run with MEM commands; `streams` is the reference's, with slots for their replies."""
    return _compare(sequence, streams, reference, sidecar, mixed)


def _compare(
    sequence: Sequence,
    streams: dict[str, list[bytes | Slot]],
    direct: Transcript,
    sidecar: Transcript,
    mixed: Mix | None,
) -> list[str]:
    found = [f"the sidecar's run came to a halt: {sidecar.stalled}"] if sidecar.stalled else []
    for name, stream in streams.items():
        heard = sidecar.heard.get(name, Heard())
        one, other = direct.heard[name], heard
        for index in range(max(len(stream), len(heard.replies))):
            want = stream[index] if index < len(stream) else None
            got = heard.replies[index] if index < len(heard.replies) else None
            if not _agree(sequence, want, got, mixed):
                found.append(_told(name, index, want, got, mixed))
                break  # after the first, all may be shifted
        if one.rest != other.rest:
            found.append(
                f"{name}: behind the last whole reply\n  direct  {_shown(one.rest)}\n  sidecar {_shown(other.rest)}"
            )
        if one.ended != other.ended and not sidecar.stalled:
            found.append(
                f"{name}: Redis ended the stream after {one.ended} writes directly, {other.ended} through the sidecar"
            )
    return found


def _agree(sequence: Sequence, want: bytes | Slot | None, got: bytes | None, mixed: Mix | None) -> bool:
    if want is None or got is None:
        return False
    if isinstance(want, Slot):
        assert mixed is not None
        return expected(want, mixed, users=sequence.users).fullmatch(got) is not None
    names = sequence.rules
    return want == got or without_what_may_differ(want, names) == without_what_may_differ(got, names)


def _told(name: str, index: int, want: bytes | Slot | None, got: bytes | None, mixed: Mix | None) -> str:
    if isinstance(want, Slot) and mixed is not None:
        kind = mixed.kinds[want.number]
        where = mixed.places[want.number]
        wanted = f"the reply of {kind.name} at {where}, to look like {expected(want, mixed, users=False).pattern!r}"
    else:
        wanted = _shown(want)  # type: ignore[arg-type]  # a slot without a mix there is not
    return f"{name}: reply {index}\n  direct  {wanted}\n  sidecar {_shown(got)}"


def _shown(data: bytes | None) -> str:
    if data is None:
        return "nothing"
    return repr(data) if len(data) <= SHOWN_BYTES else f"{data[:SHOWN_BYTES]!r}… ({len(data)} bytes)"


def without_slots(streams: dict[str, list[bytes | Slot]]) -> dict[str, Many[bytes]]:
    """Return the replies of a reference without those of the stand-ins."""
    return {name: [one for one in stream if isinstance(one, bytes)] for name, stream in streams.items()}
