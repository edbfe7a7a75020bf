"""Summarisers of a definitions file: found by kind, made of options, and every mistake with file, line and field."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sidecar.config import summarisers
from sidecar.config.definitions import load_definitions
from sidecar.config.summarisers import ENTRY_POINTS, BadOption, make_summariser
from sidecar.errors import ConfigurationError
from sidecar.flush.summarisers.extractive import ExtractiveSummariser
from sidecar.flush.summarisers.openai import OpenAiSummariser
from sidecar.memory.definition import EXTRACTIVE

PACKAGE = """
from pydantic import BaseModel

class Options(BaseModel):
    size: int

class Parrot:
    async def summarise(self, earlier, messages, budget, count):
        return "parrot"

def make(options):
    Options.model_validate(options)
    return Parrot()

def breaks(options):
    raise KeyError("sk-a-key")
"""


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the usual variable, and none in `UNSET`."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-test")
    monkeypatch.delenv("UNSET", raising=False)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with factories, of which one breaks and one is not there."""
    (tmp_path / "parrots.py").write_text(PACKAGE)
    info = tmp_path / "parrots-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrots\nVersion: 1\n")
    lines = "parrot = parrots:make\nbreaks = parrots:breaks\ngone = parrots:gone\n"
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\n{lines}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "parrots", raising=False)


def load(folder: Path, text: str) -> list[str]:
    """Return what is wrong with a file, from its line on."""
    path = folder / "definitions.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as problem:
        load_definitions(path)
    return [each.removeprefix(f"{path}:") for each in problem.value.problems]


def test_kinds() -> None:
    """Both kinds that are built in are found by their names."""
    assert isinstance(make_summariser("extractive", {}), ExtractiveSummariser)
    assert isinstance(make_summariser("openai", {"model": "m"}), OpenAiSummariser)


async def test_a_kind_of_another_package(installed: None) -> None:
    """An entry point is a kind, without any change here."""
    parrot = make_summariser("parrot", {"size": 3})
    assert await parrot.summarise("", [], 5, len) == "parrot"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("none", "there is no kind of summariser 'none'; use one of breaks, extractive, gone, openai, parrot, or"),
        ("gone", "'gone' cannot be loaded from parrots:gone: "),
        ("breaks", "the factory of 'breaks' broke with KeyError"),
    ],
)
def test_kinds_that_cannot_be_used(installed: None, kind: str, text: str) -> None:
    """What is not there, or breaks, is told by its name; no traceback, and no text that may hold a key."""
    with pytest.raises(ValueError, match=r"kind|loaded|broke") as problem:
        make_summariser(kind, {})
    assert str(problem.value).startswith(text)
    assert "sk-a-key" not in str(problem.value)


def test_options_of_another_package(installed: None) -> None:
    """What its own model of the options refuses is told by field."""
    with pytest.raises(BadOption, match="valid integer") as problem:
        make_summariser("parrot", {"size": "large"})
    assert problem.value.path == ("size",)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("{}", "4: summarisers.brief.options.model: is missing"),
        ("{model: m, colour: red}", "5: summarisers.brief.options.colour: there is no such field"),
        ("{model: m, api_key: sk-1}", "5: summarisers.brief.options.api_key: there is no such field"),
        ("{model: m, timeout: 5}", "5: summarisers.brief.options.timeout: '5' is no duration; "),
        ("{model: m, temperature: 3}", "5: summarisers.brief.options.temperature: Input should be less than"),
        ("{model: m, max_input_tokens: 5}", "5: summarisers.brief.options.max_input_tokens: Input should be greater"),
        ("{model: m, concurrency: 0}", "5: summarisers.brief.options.concurrency: Input should be greater"),
        ("{model: m, base_url: example.org}", "5: summarisers.brief.options.base_url: String should match"),
        ("{model: m, limit_parameter: n}", "5: summarisers.brief.options.limit_parameter: Input should be 'max_tok"),
        ("{model: m, prompt: 'in {wrods}'}", "5: summarisers.brief.options.prompt: there is no placeholder '{wrods}'"),
        ("{model: m, api_key_env: UNSET}", "5: summarisers.brief.options.api_key_env: the environment variable UNSET"),
        ("{model: m, api_key_env: sk-1}", "5: summarisers.brief.options.api_key_env: String should match"),
    ],
)
def test_bad_options(tmp_path: Path, options: str, line: str) -> None:
    """Each is told with its line and its path in the file."""
    text = f"definitions:\n  - id: a\nsummarisers:\n  brief: {{kind: openai, options:\n    {options}}}\n"
    (problem,) = load(tmp_path, text)
    assert problem.startswith(line)


def test_names_that_do_not_fit(tmp_path: Path) -> None:
    """A definition names a summariser that there is, and nobody takes the name of the built-in one."""
    text = """\
summarisers:
  extractive: {kind: extractive}
  quoting: {kind: extractive, options: {size: 3}}
  odd: {kind: none}
definitions:
  - {id: a, flush: {summariser: nobody}}
  - {id: b, flush: {summariser: quoting}}
"""
    problems = load(tmp_path, text)
    assert problems[0].startswith("2: summarisers.extractive: is built in")
    assert problems[1].startswith("3: summarisers.quoting.options.size: there is no such field")
    assert problems[2].startswith("4: summarisers.odd.kind: there is no kind of summariser 'none'")
    assert problems[3].startswith("6: definition 'a', flush.summariser: there is no summariser 'nobody'; use one of ")
    assert len(problems) == 4


def test_a_default_that_names_nobody(tmp_path: Path) -> None:
    """A summariser that stands in the defaults is looked for, too."""
    (problem,) = load(tmp_path, "defaults: {flush: {summariser: nobody}}\ndefinitions: [{id: a}]\n")
    assert "there is no summariser 'nobody'" in problem


def test_in_another_file(tmp_path: Path) -> None:
    """Summarisers hold for all files, and stand in one of them."""
    (tmp_path / "a.yaml").write_text("definitions: [{id: a, flush: {summariser: quoting}}]")
    (tmp_path / "b.yaml").write_text("summarisers: {quoting: {kind: extractive}}\ndefinitions: [{id: b}]")
    loaded = load_definitions(tmp_path)
    assert loaded.by_id["a"].flush.summariser == "quoting"
    assert loaded.by_id["b"].flush.summariser == EXTRACTIVE
    assert list(loaded.summarisers) == ["quoting"]
    (tmp_path / "c.yaml").write_text("summarisers: {other: {kind: extractive}}\ndefinitions: [{id: c}]")
    with pytest.raises(ConfigurationError, match=r"summarisers: stands in .*b\.yaml:1 too"):
        load_definitions(tmp_path)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is not installed, the error says how to install it."""
    # The package is installed for the tests; this is what the search for it says elsewhere.
    monkeypatch.setattr(summarisers, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'memsidecar\[openai\]'"):
        make_summariser("openai", {"model": "m"})
