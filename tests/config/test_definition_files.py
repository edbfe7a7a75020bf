"""Several files, models of one's own, defaults, and the line of every mistake."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sidecar.config.definitions import load_definitions
from sidecar.config.loading import load_settings
from sidecar.errors import ConfigurationError
from sidecar.memory.definition import (
    Definition,
    FlushPolicy,
    LockPolicy,
    PriorityBlock,
    PrivacyPolicy,
    RedactionPattern,
)


def problems(*paths: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as problem:
        load_definitions(list(paths))
    return problem.value.problems


def written(folder: Path, **texts: str) -> list[Path]:
    """Write files `<name>.yaml` and return their paths."""
    paths = [folder / f"{name}.yaml" for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.write_text(text)
    return paths


MISTAKES = """\
strict: true
models:
  mine:
    context: none
definitions:
  - id: one
    max_tokens: 0
    flush:
      strategy: lifo
      colour: red
  - description: no id
    priority_blocks:
      - name: a
        roles:
          - user
          - boss
  - {id: three, ttl: soon}
"""


def test_every_mistake_has_its_line(tmp_path: Path) -> None:
    """A mistake is told with the line of the field, a field that is missing with that of the definition."""
    (path,) = written(tmp_path, a=MISTAKES)
    assert [line.removeprefix(f"{path}:").split(":")[:2] for line in problems(path)] == [
        ["4", " models.mine.context"],
        ["7", " definition 'one', max_tokens"],
        ["9", " definition 'one', flush.strategy"],
        ["10", " definition 'one', flush.colour"],
        ["11", " definition number 2, id"],
        ["16", " definition number 2, priority_blocks.0.roles.1"],
        ["17", " definition 'three', ttl"],
    ]


def test_mistakes_of_what_does_not_fit_together(tmp_path: Path) -> None:
    """What is wrong with a definition as a whole is told with its line."""
    text = "definitions:\n  - id: a\n  - id: b\n    type: buffer\n  - id: c\n    model: nobody\n"
    (path,) = written(tmp_path, a=text)
    found = problems(path)
    assert [line.partition(" ")[0] for line in found] == [f"{path}:3:"]
    text = "definitions:\n  - id: a\n  - id: c\n    model: nobody\n"
    (path,) = written(tmp_path, a=text)
    assert problems(path)[0].startswith(f"{path}:3: definition 'c': ")


def test_several_files(tmp_path: Path) -> None:
    """Files, and folders of files, are read as one; mistakes of all of them are told together."""
    folder = tmp_path / "folder"
    folder.mkdir()
    one, two = written(folder, b="definitions: [{id: b}]", a="definitions: [{id: a}]")
    (folder / "notes.txt").write_text("definitions: [{id: no}]")
    (three,) = written(tmp_path, c="strict: true\ndefinitions: [{id: c}]")
    assert list(load_definitions([folder, three]).by_id) == ["a", "b", "c"]
    assert load_definitions([one, two, three]).strict
    assert set(load_definitions(folder).by_id) == {"a", "b", "default"}
    one.write_text("definitions: [{id: b, ttl: x}]")
    two.write_text("nothing: 1")
    assert len(problems(folder, three, tmp_path / "none.yaml")) == 4


def test_an_empty_folder(tmp_path: Path) -> None:
    """A folder without a file is a mistake, not an empty configuration."""
    assert problems(tmp_path) == [f"{tmp_path}: holds no .yaml or .yml file"]


def test_an_id_in_two_files(tmp_path: Path) -> None:
    """An id is defined once; the error names both places."""
    one, two = written(tmp_path, a="definitions:\n  - id: x", b="\n\ndefinitions:\n  - id: x")
    assert problems(one, two) == [f"{two}:4: definition 'x', id: is defined in {one}:2 too"]


def test_what_holds_for_all_stands_once(tmp_path: Path) -> None:
    """`strict`, `log_level`, `models` and `defaults` hold for all files, and are given in one of them."""
    text = "strict: true\nmodels: {m: 10}\ndefaults: {ttl: 1h}\nlog_level: debug\ndefinitions: [{id: %s}]"
    one, two = written(tmp_path, a=text % "a", b=text % "b")
    assert problems(one, two) == [
        f"{two}:{line}: {field}: stands in {one}:{line} too; it holds for all files, so give it once"
        for line, field in ((1, "strict"), (4, "log_level"), (3, "defaults"), (2, "models"))
    ]


def test_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting takes several paths, separated as in PATH."""
    paths = written(tmp_path, a="definitions: [{id: a}]", b="definitions: [{id: b}]")
    monkeypatch.setenv("MEMSIDECAR_DEFINITIONS", os.pathsep.join(map(str, paths)))
    assert set(load_settings()[1].by_id) == {"a", "b", "default"}


def test_defaults(tmp_path: Path) -> None:
    """Defaults hold for the definitions of all files, part by part, unless these say otherwise."""
    one, two = written(
        tmp_path,
        a="defaults: {ttl: 1h, flush: {strategy: fifo, target: 0.3}}\ndefinitions: [{id: a, flush: {target: 0.4}}]",
        b="definitions: [{id: b, ttl: 2h}]",
    )
    by_id = load_definitions([one, two]).by_id
    assert (by_id["a"].ttl_ms, by_id["a"].flush.strategy, by_id["a"].flush.target) == (3_600_000, "fifo", 0.4)
    assert (by_id["b"].ttl_ms, by_id["b"].flush.strategy, by_id["b"].flush.target) == (7_200_000, "fifo", 0.3)


DEFAULTS_THAT_DO_NOT_FIT = """\
defaults: {model: gpt-4, max_context_ratio: 0.5, overflow: reject, flush: {strategy: fifo}}
definitions:
  - {id: ratio}
  - {id: tokens, max_tokens: 900}
  - {id: ring, type: buffer, max_messages: 5}
"""


def test_defaults_give_way(tmp_path: Path) -> None:
    """A default that a definition's own fields exclude does not hold for it: one buffer forbids no defaults."""
    by_id = load_definitions(written(tmp_path, a=DEFAULTS_THAT_DO_NOT_FIT)).by_id
    assert {name: (each.max_tokens, each.overflow) for name, each in by_id.items() if name != "default"} == {
        "ratio": (4_096, "reject"),
        "tokens": (900, "reject"),
        "ring": (4_096, "trim"),
    }
    text = "defaults: {max_tokens: 900}\ndefinitions: [{id: a, model: gpt-4, max_context_ratio: 0.5}]"
    assert load_definitions(written(tmp_path, a=text)).by_id["a"].max_tokens == 4_096


MODELS = """\
models:
  mine: 10000
  theirs: {context: 2000, encoding: cl100k_base, calibration: 1.5}
  gpt-4o: {context: 64000}
definitions:
  - {id: known, model: gpt-4-turbo, max_context_ratio: 0.25}
  - {id: mine, model: mine, max_context_ratio: 0.5}
  - {id: theirs, model: theirs, max_context_ratio: 1}
  - {id: changed, model: gpt-4o, max_context_ratio: 0.5}
  - {id: vendor, model: claude-sonnet-4, encoding: o200k_base, calibration: 1.2, max_context_ratio: 0.1}
"""


def test_models(tmp_path: Path) -> None:
    """A model gives context size, encoding and calibration; a file may add models, and say otherwise of known ones."""
    by_id = load_definitions(written(tmp_path, a=MODELS)).by_id
    assert {
        name: (definition.max_tokens, definition.encoding, definition.calibration)
        for name, definition in by_id.items()
        if name != "default"
    } == {
        "known": (32_000, "cl100k_base", 1.0),
        "mine": (5_000, "o200k_base", 1.0),
        "theirs": (2_000, "cl100k_base", 1.5),
        "changed": (32_000, "o200k_base", 1.0),
        "vendor": (20_000, "o200k_base", 1.2),
    }


EVERYTHING = """\
summarisers: {brief: {kind: extractive}}
definitions:
  - id: all
    description: of it
    version: "7"
    type: message_count_based
    model: gpt-4
    calibration: 1.5
    per_message_overhead: 5
    max_tokens: 50000
    max_messages: 40
    media: {image_tokens: 1, audio_tokens: 2, file_tokens: 3}
    ttl: {idle: 1h, after_clear: 2h, after_flush: 3h}
    key_template: "{{ user.id }}"
    mode: read-only
    overflow: reject
    priority_blocks: [{name: b, priority: critical, roles: [tool], keywords: [log]}]
    token_allocation: {system: 0.5, b: 0.25}
    flush:
      strategy: fifo
      threshold: 0.7
      target: 0.4
      summary_tokens: 77
      tool_result_tokens: 33
      undo_ttl: 5m
      summariser: brief
      fallback: keep
    privacy:
      redact: [card]
      patterns: [{name: p, regex: "P[0-9]", replacement: "-"}]
      replacement: "*"
      do_not_persist: [tool]
    locking: {min_lease: 1s, max_lease: 2s, wait: 3s, max_wait: 4s}
    idempotency_ttl: 5s
    limits: {message_bytes: 6, request_bytes: 7, request_messages: 8}
"""


def test_every_field_can_be_set(tmp_path: Path) -> None:
    """There is no field of a definition, nor of its parts, that YAML cannot set to something else than its default."""
    chosen = load_definitions(written(tmp_path, a=EVERYTHING)).by_id["all"]
    pairs: list[tuple[Any, Any]] = [
        (chosen, Definition()),
        (chosen.flush, FlushPolicy()),
        (chosen.privacy, PrivacyPolicy()),
        (chosen.locking, LockPolicy()),
        (chosen.priority_blocks[0], PriorityBlock("a")),
        (chosen.privacy.patterns[0], RedactionPattern("q", "Q")),
    ]
    for ours, default in pairs:
        same = [field.name for field in fields(ours) if getattr(ours, field.name) == getattr(default, field.name)]
        assert same == [], type(ours)


def test_a_definition_is_a_value(tmp_path: Path) -> None:
    """What is read twice is equal, so that a reload without changes changes nothing."""
    paths = written(tmp_path, a=EVERYTHING)
    first, second = load_definitions(paths).by_id, load_definitions(paths).by_id
    assert isinstance(first, Mapping)
    assert first == second
