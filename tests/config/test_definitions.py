"""Memory definitions in YAML: every field is read and checked, and all that is wrong is said at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.config.definition_parts import MAX_LIMIT
from sidecar.config.definitions import builtin_definitions, load_definitions
from sidecar.config.finding import Finding
from sidecar.errors import ConfigurationError
from sidecar.memory.definition import (
    Definition,
    FlushPolicy,
    LockPolicy,
    PriorityBlock,
    PrivacyPolicy,
    RedactionPattern,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "memories.yaml"


def load(file: Path, **fields: Any) -> Definition:
    """Load a file with one definition `chat` of these fields."""
    file.write_text(yaml.safe_dump({"definitions": [{"id": "chat", **fields}]}))
    return load_definitions(file).by_id["chat"]


def problems(file: Path, text: str | None = None, **fields: Any) -> list[str]:
    """Return what is wrong with a file, or with one definition of these fields, without the file's name and lines."""
    file.write_text(yaml.safe_dump({"definitions": [{"id": "chat", **fields}]}) if text is None else text)
    with pytest.raises(ConfigurationError) as problem:
        load_definitions(file)
    assert all(line.startswith(f"{file}:") for line in problem.value.problems)
    assert str(problem.value) == "\n".join(problem.value.problems)
    return [re.sub(r"^:\d*:? ", "", line.removeprefix(str(file))) for line in problem.value.problems]


def test_defaults(file: Path) -> None:
    """A definition needs an id only; the rest is that of the built-in one."""
    assert load(file) == Definition(id="chat")


READ: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"description": "talks"}, {"description": "talks"}),
    ({"encoding": "cl100k_base"}, {"encoding": "cl100k_base"}),
    ({"encoding": None}, {}),
    ({"model": "gpt-4"}, {"encoding": "cl100k_base", "model": "gpt-4"}),
    ({"model": "gpt-4o"}, {"encoding": "o200k_base", "model": "gpt-4o"}),
    ({"max_tokens": 8_000}, {"max_tokens": 8_000}),
    ({"max_tokens": None}, {"max_tokens": None}),
    ({"max_tokens": MAX_LIMIT}, {"max_tokens": MAX_LIMIT}),
    ({"max_messages": 50}, {"max_messages": 50}),
    ({"ttl": "30d"}, {"ttl_ms": 30 * 86_400_000}),
    ({"ttl": "1.5 hours"}, {"ttl_ms": 5_400_000}),
    ({"ttl": None}, {"ttl_ms": None}),
    ({"ttl": {"idle": "1h30m"}}, {"ttl_ms": 5_400_000}),
    ({"ttl": {"after_clear": "1h"}}, {"ttl_after_clear_ms": 3_600_000}),
    ({"ttl": {"idle": "2h", "after_flush": "1h"}}, {"ttl_ms": 7_200_000, "ttl_after_flush_ms": 3_600_000}),
    ({"version": 1.5}, {"version": "1.5"}),
    (
        {"type": "message_count_based", "max_messages": 9},
        {"type": "message_count_based", "max_messages": 9, "max_tokens": None},
    ),
    (
        {"type": "buffer", "max_messages": 9},
        {"type": "buffer", "max_messages": 9, "max_tokens": None, "overflow": "trim"},
    ),
    ({"calibration": 1.25}, {"calibration": 1.25}),
    ({"per_message_overhead": 4}, {"per_message_overhead": 4}),
    ({"media": {"image_tokens": 85}}, {"image_tokens": 85}),
    ({"media": {"image_tokens": 0}}, {"image_tokens": 0}),
    ({"media": {"audio_tokens": 5, "file_tokens": 6}}, {"audio_tokens": 5, "file_tokens": 6}),
    ({"key_template": "{{ workflow.id }}"}, {"key_template": "{{ workflow.id }}"}),
    ({"mode": "read-only"}, {"mode": "read-only"}),
    ({"overflow": "reject"}, {"overflow": "reject"}),
    (
        {"priority_blocks": [{"name": "facts", "priority": "critical", "roles": ["user"], "keywords": ["remember"]}]},
        {"priority_blocks": (PriorityBlock("facts", "critical", ("user",), ("remember",)),)},
    ),
    (
        {"token_allocation": {"system": 0.2, "short_term": 0.5}},
        {"token_allocation": {"system": 0.2, "short_term": 0.5}},
    ),
    (
        {"token_allocation": {"long_term": 0.01}},
        {"token_allocation": {"long_term": 0.01}, "flush": FlushPolicy(summary_tokens=640)},
    ),
    (
        {
            "privacy": {
                "redact": ["email"],
                "patterns": [{"name": "badge", "regex": "B-[0-9]+", "replacement": "[b]"}],
                "replacement": "<{kind}>",
                "do_not_persist": ["tool"],
            }
        },
        {"privacy": PrivacyPolicy(("email",), (RedactionPattern("badge", "B-[0-9]+", "[b]"),), "<{kind}>", ("tool",))},
    ),
    (
        {"locking": {"min_lease": "1s", "max_lease": "2m", "wait": "3s", "max_wait": "4s"}},
        {"locking": LockPolicy(1_000, 120_000, 3_000, 4_000)},
    ),
    ({"locking": {"wait": 0}}, {"locking": LockPolicy(wait_ms=0)}),
    ({"idempotency_ttl": "1h"}, {"idempotency_ttl_ms": 3_600_000}),
    (
        {"limits": {"message_bytes": "64KiB", "request_bytes": 1000, "request_messages": 7}},
        {"max_message_bytes": 65_536, "max_request_bytes": 1_000, "max_request_messages": 7},
    ),
    ({"flush": {}}, {}),
    ({"flush": {"strategy": "fifo"}}, {"flush": FlushPolicy(strategy="fifo")}),
    ({"flush": {"strategy": "hybrid_summary"}}, {"flush": FlushPolicy(strategy="hybrid_summary")}),
    ({"flush": {"threshold": 1}}, {"flush": FlushPolicy(threshold=1.0)}),
    ({"flush": {"target": 0.1}}, {"flush": FlushPolicy(target=0.1)}),
    ({"flush": {"summary_tokens": 32}}, {"flush": FlushPolicy(summary_tokens=32)}),
    ({"flush": {"strategy": "lru"}}, {"flush": FlushPolicy(strategy="lru")}),
    ({"flush": {"strategy": "priority"}}, {"flush": FlushPolicy(strategy="priority")}),
    ({"flush": {"strategy": "token_aware_lru"}}, {"flush": FlushPolicy(strategy="token_aware_lru")}),
    ({"flush": {"strategy": "tool_trim"}}, {"flush": FlushPolicy(strategy="tool_trim")}),
    ({"flush": {"tool_result_tokens": 16}}, {"flush": FlushPolicy(tool_result_tokens=16)}),
    ({"priority_blocks": [{"name": "a", "priority": "low"}]}, {"priority_blocks": (PriorityBlock("a", "low"),)}),
    ({"priority_blocks": [{"name": "a", "priority": "high"}]}, {"priority_blocks": (PriorityBlock("a", "high"),)}),
]


@pytest.mark.parametrize(("fields", "expected"), READ, ids=lambda value: str(value))
def test_each_field(file: Path, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each field of a definition is read into the domain's definition."""
    if "max_tokens" in expected:
        got = load(file, **fields)
        assert got.max_tokens == expected["max_tokens"]
    else:
        assert load(file, **fields) == Definition(**{"id": "chat", **expected})


def test_an_id_of_digits(file: Path) -> None:
    """An id that YAML reads as a number is a name all the same."""
    file.write_text("definitions: [{id: 42}]")
    assert set(load_definitions(file).by_id) == {"42", "default"}


@pytest.mark.parametrize(
    ("max_tokens", "target", "expected"),
    [(128_000, 0.5, 1_000), (4_000, 0.5, 1_000), (2_000, 0.5, 500), (200, 0.5, 50), (10, 0.5, 32), (None, 0.5, 1_000)],
)
def test_a_small_memory_gets_a_small_summary(file: Path, max_tokens: int | None, target: float, expected: int) -> None:
    """The summary takes at most half of what a flush leaves, without being asked for it."""
    definition = load(file, max_tokens=max_tokens, flush={"target": target})
    assert definition.flush.summary_tokens == expected


NUMBERS = {"max_tokens": 1, "max_messages": 1}
WRONG: list[tuple[dict[str, Any], str]] = [
    *(({name: least - 1}, f"definition 'chat', {name}: Input should be greater than or equal to {least}")
      for name, least in NUMBERS.items()),
    *(({name: MAX_LIMIT + 1}, f"definition 'chat', {name}: Input should be less than or equal to {MAX_LIMIT}")
      for name in NUMBERS),
    *(({name: "many"}, f"definition 'chat', {name}: Input should be a valid integer") for name in NUMBERS),
    ({"max_tokens": 1.5}, "definition 'chat', max_tokens: Input should be a valid integer"),
    ({"encoding": "p50k"}, "definition 'chat', encoding: 'p50k' is no encoding; use one of o200k_base, cl100k_base"),
    ({"model": "llama"}, "definition 'chat'"),
    ({"model": "gpt-4o", "encoding": "o200k_base"},
     "definition 'chat': the encoding of 'gpt-4o' is o200k_base; give either encoding or model"),
    ({"model": "claude-sonnet-4"},
     "definition 'chat': no shipped vocabulary is that of 'claude-sonnet-4'; give encoding"),
    ({"max_context_ratio": 0.5}, "definition 'chat': max_context_ratio is a share of a model's context; give model"),
    ({"max_context_ratio": 0.5, "model": "gpt-4", "max_tokens": 5},
     "definition 'chat': give either max_tokens or max_context_ratio, not both"),
    ({"max_context_ratio": 0.5, "model": "text-embedding-3-small"},
     "definition 'chat': the context size of 'text-embedding-3-small' is not known; add it to models"),
    ({"type": "message_count_based"}, "definition 'chat': type message_count_based needs max_messages"),
    ({"type": "buffer"}, "definition 'chat': type buffer needs max_tokens or max_messages"),
    ({"type": "buffer", "max_messages": 5, "overflow": "reject"},
     "definition 'chat': a buffer's oldest messages make room"),
    ({"type": "buffer", "max_messages": 5, "flush": {}}, "definition 'chat': a buffer is never flushed"),
    ({"type": "ring"}, "definition 'chat', type: Input should be 'token_based', 'message_count_based' or 'buffer'"),
    ({"calibration": 0.9}, "definition 'chat', calibration: Input should be greater than or equal to 1"),
    ({"per_message_overhead": -1},
     "definition 'chat', per_message_overhead: Input should be greater than or equal to 0"),
    ({"media": {"image_tokens": -1}},
     "definition 'chat', media.image_tokens: Input should be greater than or equal to 0"),
    ({"media": {"video": 1}}, "definition 'chat', media.video: there is no such field"),
    ({"ttl": {"idle": 5}}, "definition 'chat', ttl.idle: '5' is no duration"),
    ({"key_template": "{{ a"}, "definition 'chat', key_template: it cannot be read: "),
    ({"key_template": "{{ a() }}"}, "definition 'chat', key_template: Call is not allowed"),
    ({"mode": "rw"}, "definition 'chat', mode: Input should be 'read-write' or 'read-only'"),
    ({"overflow": "drop"}, "definition 'chat', overflow: Input should be 'allow', 'reject' or 'trim'"),
    ({"priority_blocks": [{"name": "a b"}]}, "definition 'chat', priority_blocks.0.name: 'a b' must have 1 to 64"),
    ({"priority_blocks": [{"name": "a", "roles": ["boss"]}]},
     "definition 'chat', priority_blocks.0.roles.0: 'boss' is no role; use one of assistant, developer, system"),
    ({"priority_blocks": [{"name": "a"}, {"name": "a"}]}, "definition 'chat': names of priority_blocks must differ"),
    ({"token_allocation": {"facts": 0.1}},
     "definition 'chat': token_allocation names facts; it knows system, long_term, short_term and the names of"),
    ({"token_allocation": {"system": 0.6, "short_term": 0.6}},
     "definition 'chat': the shares of token_allocation add up to 1.2; they must not be above 1"),
    ({"token_allocation": {"system": 0}}, "definition 'chat', token_allocation.system: Input should be greater than 0"),
    ({"privacy": {"redact": ["names"]}},
     "definition 'chat', privacy.redact.0: 'names' is no built-in set of patterns; use one of card, email, iban, ip,"),
    ({"privacy": {"patterns": [{"name": "a", "regex": "("}]}},
     "definition 'chat', privacy.patterns.0.regex: the pattern 'a' is no expression of RE2: missing )"),
    ({"privacy": {"patterns": [{"name": "a", "regex": "x*"}]}},
     "definition 'chat', privacy.patterns.0.regex: the pattern 'a' fits the empty text"),
    ({"privacy": {"replacement": 'a"b'}}, "definition 'chat', privacy.replacement: a replacement has at most 64"),
    ({"privacy": {"do_not_persist": ["boss"]}}, "definition 'chat', privacy.do_not_persist.0: 'boss' is no role"),
    ({"locking": {"min_lease": "2s", "max_lease": "1s"}},
     "definition 'chat', locking: min_lease must not be above max_lease"),
    ({"idempotency_ttl": None}, "definition 'chat', idempotency_ttl: Input should be a valid integer"),
    ({"limits": {"message_bytes": "much"}},
     "definition 'chat', limits.message_bytes: 'much' is no size; write bytes, or a number with a unit"),
    ({"limits": {"request_messages": 0}},
     "definition 'chat', limits.request_messages: Input should be greater than or equal to 1"),
    ({"ttl": "soon"}, "definition 'chat', ttl: 'soon' is no duration; write a number and a unit"),
    ({"ttl": 3600}, "definition 'chat', ttl: '3600' is no duration; write a number and a unit"),
    ({"ttl": "11000d"}, "definition 'chat', ttl: '11000d' must be between 1ms and 3650d"),
    ({"description": 5}, "definition 'chat', description: Input should be a valid string"),
    ({"max_token": 5}, "definition 'chat', max_token: there is no such field"),
    ({"flush": {"treshold": 0.5}}, "definition 'chat', flush.treshold: there is no such field"),
    ({"flush": {"strategy": "lifo"}},
     "definition 'chat', flush.strategy: 'lifo' is no flush strategy; use one of fifo, hybrid_summary, lru, priority"),
    ({"flush": {"tool_result_tokens": 15}},
     "definition 'chat', flush.tool_result_tokens: Input should be greater than or equal to 16"),
    ({"flush": {"threshold": 0}}, "definition 'chat', flush.threshold: Input should be greater than 0"),
    ({"flush": {"threshold": 1.1}}, "definition 'chat', flush.threshold: Input should be less than or equal to 1"),
    ({"flush": {"target": 0}}, "definition 'chat', flush.target: Input should be greater than 0"),
    ({"flush": {"target": 0.8}},
     "definition 'chat', flush: target (0.8) must be below threshold (0.8), or flushes never rest"),
    ({"flush": {"summary_tokens": 15}},
     "definition 'chat', flush.summary_tokens: Input should be greater than or equal to 32"),
    ({"max_tokens": 100, "flush": {"summary_tokens": 50}},
     "definition 'chat': flush.summary_tokens (50) must be below the target of 50 tokens"),
    ({"flush": 5}, "definition 'chat', flush: Input should be a valid dictionary or instance of FlushModel"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "line"), WRONG)
def test_each_mistake(file: Path, fields: dict[str, Any], line: str) -> None:
    """Each mistake is said with file, definition and field."""
    (found,) = problems(file, **fields)
    assert found.startswith(line)


@pytest.mark.parametrize("id_", ["", "a b", "a:b", "ü", "x" * 65, "{}"])
def test_ids(file: Path, id_: str) -> None:
    """An id has only characters that a key may have in front of its colon."""
    file.write_text(yaml.safe_dump({"definitions": [{"id": id_}]}))
    with pytest.raises(ConfigurationError, match="must have 1 to 64 of the characters"):
        load_definitions(file)


@pytest.mark.parametrize("id_", ["", "null", "no", "true", "[a]"])
def test_ids_that_yaml_reads_differently(file: Path, id_: str) -> None:
    """What YAML reads as nothing, a truth value or a list is no id."""
    (found,) = problems(file, f"definitions:\n  - id: {id_}\n")
    assert "must have 1 to 64 of the characters" in found


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "Input should be a valid dictionary or instance of DefinitionsFile"),
        ("definitions: []", "definitions: List should have at least 1 item"),
        ("{}", "definitions: is missing"),
        ("definitions: [5]", "definition number 1: Input should be a valid dictionary"),
        ("definitions: [{}]", "definition number 1, id: is missing"),
        ("definitions: [{id: a}, {description: x}]", "definition number 2, id: is missing"),
        ("definitions: [{id: a}, {id: a}, {id: b}]", "definition 'a', id: is defined in "),
        ("strict: maybe\ndefinitions: [{id: a}]", "strict: Input should be a valid boolean"),
        ("log_level: loud\ndefinitions: [{id: a}]", "log_level: Input should be 'debug', 'info', 'warning' or 'error'"),
        ("memories: []\ndefinitions: [{id: a}]", "memories: there is no such field"),
        ("a: [", "is not YAML: "),
        ("definitions: [{id: a, id: b}]", "definition 'b', id: is given more than once"),
        ("models: {m: 0}\ndefinitions: [{id: a}]", "models.m: Input should be greater than or equal to 1"),
        ("models: {m: {encoding: o200k_base}}\ndefinitions: [{id: a}]", "models.m.context: is missing"),
        ("!!python/object:os.system {}", "is not YAML: "),
        ("\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "is not YAML: "),
    ],
)
def test_wrong_files(file: Path, text: str, line: str) -> None:
    """A file of the wrong shape is said to be so."""
    (found,) = problems(file, text)
    assert found.startswith(line)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that is missing, or no text, is named."""
    with pytest.raises(ConfigurationError, match=r"nothing\.yaml: cannot be read: .*No such file"):
        load_definitions(tmp_path / "nothing.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"binary: cannot be read: .*can't decode"):
        load_definitions(tmp_path / "binary")


def test_all_mistakes_at_once(file: Path) -> None:
    """Every mistake of every definition is in one report."""
    found = problems(
        file,
        "definitions:\n"
        "  - {id: one, max_tokens: 0, ttl: soon}\n"
        "  - {id: two, flush: {strategy: lifo}, colour: red}\n"
        "  - {max_messages: -1}\n",
    )
    assert [line.partition(": ")[0] for line in found] == [
        "definition 'one', max_tokens",
        "definition 'one', ttl",
        "definition 'two', flush.strategy",
        "definition 'two', colour",
        "definition number 3, id",
        "definition number 3, max_messages",
    ]


def test_the_default_definition(file: Path) -> None:
    """The built-in `default` is added where the file has none, unless it is strict, and not in place of the file's."""
    file.write_text("definitions: [{id: chat}]")
    assert load_definitions(file).by_id == {"chat": Definition("chat"), "default": Definition()}
    assert load_definitions(file).strict is False
    file.write_text("strict: true\ndefinitions: [{id: chat}]")
    assert load_definitions(file).by_id == {"chat": Definition("chat")}
    assert load_definitions(file).strict is True
    file.write_text("definitions: [{id: default, max_tokens: 5000}]")
    assert load_definitions(file).by_id["default"].max_tokens == 5_000


def test_without_a_file() -> None:
    """Without a file there is one definition, `default`."""
    assert builtin_definitions().by_id == {"default": Definition()}
    assert builtin_definitions().strict is False


QUOTING = """\
definitions:
  - {id: chat, flush: {strategy: swordfish}}
  - {id: notes, model: swordfish}
  - {id: other, max_tokens: swordfish, mode: swordfish, key_template: "{{ swordfish"}
  - {id: more, privacy: {patterns: [{name: x, regex: "(swordfish"}]}, flush: {summariser: swordfish}}
summarisers:
  one: {kind: swordfish}
  two: {kind: openai, options: {model: m, base_url: swordfish, temperature: swordfish}}
"""


@pytest.mark.parametrize("text", [QUOTING, "a: [swordfish", "swordfish: swordfish: {"])
def test_what_a_log_may_show(tmp_path: Path, text: str) -> None:
    """Where each mistake is, and never the value that is wrong."""
    file = tmp_path / "definitions.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as wrong:
        load_definitions(file)
    assert "swordfish" in str(wrong.value)
    for problem in wrong.value.problems:
        assert isinstance(problem, Finding)
        assert problem.logged.startswith(f"{file}:")
        assert "swordfish" not in problem.logged
