"""What a message weighs: whose tokens are counted, and what is added to them."""

from __future__ import annotations

import json

import pytest

from sidecar.tokens.vocabulary import load_encoding
from tests.e2e.definitions.effects import shows
from tests.e2e.definitions.talking import Talk

DEFINITIONS = """
models:
  in-house: 5000
  compact: {context: 700}
  foreign: {context: 32768, encoding: cl100k_base}
  wordy: {context: 32768, calibration: 1.5}
definitions:
  - {id: plain}
  - {id: of-gpt-4, model: gpt-4}
  - {id: in-cl100k, encoding: cl100k_base}
  - {id: calibrated, calibration: 1.5}
  - {id: without-overhead, per_message_overhead: 0}
  - {id: half-of-gpt-4, model: gpt-4, max_context_ratio: 0.5}
  - {id: fifth-of-ours, model: in-house, max_context_ratio: 0.2}
  - {id: half-of-compact, model: compact, max_context_ratio: 0.5}
  - {id: in-foreign, model: foreign}
  - {id: in-wordy, model: wordy}
  - {id: heavy-images, media: {image_tokens: 1000}}
  - {id: heavy-audio, media: {audio_tokens: 2000}}
  - {id: heavy-files, media: {file_tokens: 4000}}
"""

SAID = "naïve café: 数を数える, 14:05 🙂"

IMAGE, AUDIO, FILE = (
    json.dumps({"role": "user", "content": [{"type": kind}]}) for kind in ("image_url", "input_audio", "file")
)


def weight(encoding: str, overhead: int = 3) -> int:
    """Return what a user's message of `SAID` weighs."""
    vocabulary = load_encoding(encoding)
    return overhead + len(vocabulary.encode("user")) + len(vocabulary.encode(SAID))


def test_the_vocabularies_differ() -> None:
    """What the tests below tell apart is not the same by chance."""
    assert weight("cl100k_base") > weight("o200k_base")


@shows("model")
async def test_model(talk: Talk) -> None:
    """A model's messages are counted in its own vocabulary."""
    assert (await talk.say("of-gpt-4:model", SAID))["tokens"] == weight("cl100k_base")
    assert (await talk.map("MEMINFO", "of-gpt-4:model"))["encoding"] == "cl100k_base"
    assert (await talk.say("plain:model", SAID))["tokens"] == weight("o200k_base")


@shows("encoding")
async def test_encoding(talk: Talk) -> None:
    """Messages are counted in this vocabulary."""
    assert (await talk.say("in-cl100k:encoding", SAID))["tokens"] == weight("cl100k_base")
    assert (await talk.map("MEMINFO", "in-cl100k:encoding"))["encoding"] == "cl100k_base"
    assert (await talk.map("MEMINFO", "plain:encoding"))["encoding"] == "o200k_base"


@shows("calibration")
async def test_calibration(talk: Talk) -> None:
    """Every count is multiplied by it and rounded up, those of MEMCOUNT too."""
    assert (await talk.say("calibrated:calibration", SAID))["tokens"] == -(-weight("o200k_base") * 3 // 2)
    assert await talk.ask("MEMCOUNT", "DEFINITION", "calibrated", "hello", "hello hello") == [2, 3]
    assert await talk.ask("MEMCOUNT", "DEFINITION", "plain", "hello", "hello hello") == [1, 2]


@shows("per_message_overhead")
async def test_per_message_overhead(talk: Talk) -> None:
    """It is added to each message."""
    said = await talk.say("without-overhead:overhead", SAID, SAID)
    assert said["tokens"] == 2 * weight("o200k_base", overhead=0)


@pytest.mark.parametrize(("name", "limit"), [("half-of-gpt-4", 4_096), ("fifth-of-ours", 1_000)])
@shows("max_context_ratio")
async def test_max_context_ratio(talk: Talk, name: str, limit: int) -> None:
    """The limit is this share of the model's context, of a known model's or of one that the file adds."""
    assert (await talk.map("MEMINFO", f"{name}:ratio"))["limit-tokens"] == limit


@shows("models")
async def test_models(talk: Talk) -> None:
    """A model of one's own may be a context size alone; it is counted in the newest vocabulary then."""
    info = await talk.map("MEMINFO", "fifth-of-ours:models")
    assert (info["limit-tokens"], info["encoding"]) == (1_000, "o200k_base")


@shows("models.context")
async def test_context_of_a_model(talk: Talk) -> None:
    """Limits that are a share of the model's context follow from it, and a flush is due by them."""
    assert (await talk.map("MEMINFO", "half-of-compact:context"))["limit-tokens"] == 350
    assert (await talk.say("half-of-compact:context", "word " * 270))["flush"] == "none"
    assert (await talk.say("half-of-compact:context", "word " * 10))["flush"] == "due"


@shows("models.encoding")
async def test_encoding_of_a_model(talk: Talk) -> None:
    """Messages of definitions with this model are counted in its vocabulary."""
    assert (await talk.say("in-foreign:encoding", SAID))["tokens"] == weight("cl100k_base")


@shows("models.calibration")
async def test_calibration_of_a_model(talk: Talk) -> None:
    """Counts of definitions with this model are multiplied by it."""
    assert (await talk.say("in-wordy:calibration", SAID))["tokens"] == -(-weight("o200k_base") * 3 // 2)


@shows("media.image_tokens")
async def test_image_tokens(talk: Talk) -> None:
    """An image weighs what the definition says, by default 765."""
    assert await talk.weights("heavy-images:media", [IMAGE, AUDIO, FILE]) == [1_004, 604, 1_504]
    assert await talk.weights("plain:image", [IMAGE]) == [769]


@shows("media.audio_tokens")
async def test_audio_tokens(talk: Talk) -> None:
    """A piece of audio weighs what the definition says, by default 600."""
    assert await talk.weights("heavy-audio:media", [IMAGE, AUDIO, FILE]) == [769, 2_004, 1_504]


@shows("media.file_tokens")
async def test_file_tokens(talk: Talk) -> None:
    """A file weighs what the definition says, by default 1,500."""
    assert await talk.weights("heavy-files:media", [IMAGE, AUDIO, FILE]) == [769, 604, 4_004]
