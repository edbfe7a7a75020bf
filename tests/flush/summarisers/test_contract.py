"""What every summariser promises, whoever wrote it: the built-in ones, and one of another package."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.config.summarisers import ENTRY_POINTS, make_summariser
from sidecar.flush.summarisers.verdict import accept
from sidecar.memory.ports import Summariser
from tests.flush.conversations import CONVERSATIONS, said
from tests.flush.summarisers.endpoint import Endpoint

DOCUMENT = Path(__file__).parents[3] / "docs" / "summarisers.md"


def words(text: str) -> int:
    return len(text.split())


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package with the summariser of the documentation, word by word."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    (tmp_path / "my_package.py").write_text(code)
    info = tmp_path / "my_package-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\nheadlines = my_package:make\ngone = my_package:gone\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("my_package", None)


@pytest.fixture(params=["extractive", "openai", "headlines"])
def summariser(request: pytest.FixtureRequest, endpoint: Endpoint, package: Path) -> Summariser:
    """One of each kind, made as a file would have it made."""
    options: dict[str, dict[str, object]] = {
        "extractive": {},
        "openai": {"model": "m", "base_url": endpoint.url, "api_key_env": None, "max_input_tokens": 200},
        "headlines": {"lines": 3},
    }
    return make_summariser(request.param, options[request.param])


@pytest.mark.parametrize("budget", [5, 50, 500])
@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_within_the_budget(summariser: Summariser, name: str, budget: int) -> None:
    """A summary is accepted: something, and not more than asked for."""
    text = await summariser.summarise("", CONVERSATIONS[name].messages, budget, words)
    assert 0 < accept(text, True, budget, words) <= budget


async def test_the_earlier_summary_is_taken_up(summariser: Summariser, endpoint: Endpoint) -> None:
    """What was known before is in the new summary, or with a model in its request."""
    text = await summariser.summarise("user: Ann lives in Ghent", [said("user", "Send it on Friday.")], 50, words)
    seen = text + "".join(endpoint.user(at) for at in range(len(endpoint.requests)))
    assert "Ghent" in seen
    assert "Friday" in seen


async def test_odd_texts(summariser: Summariser) -> None:
    """No text breaks a summariser: lone surrogates cannot be stored, everything else can."""
    odd = ["", "\x00", "🙂" * 500, "{", "====", "a" * 5_000, "{words}", "<|endoftext|>", "\u202e\u0301"]
    messages = [said("user", text, number) for number, text in enumerate(odd)]
    assert words(await summariser.summarise("", messages, 40, words)) <= 40


async def test_several_at_once_do_not_mix(summariser: Summariser) -> None:
    """A summariser is shared by all flushes of a process; it keeps nothing of one for the next."""
    secret = await summariser.summarise("", [said("user", "The code is 4711.")], 50, words)
    other = await summariser.summarise("", [said("user", "Bob eats rice.")], 50, words)
    assert secret
    assert "4711" not in other
