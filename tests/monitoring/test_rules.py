"""The alert rules: promtool's own tests of them, and that each one can be acted on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar import errors
from tests.monitoring.naming import named
from tests.support.requirements import require_program

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "helm/memsidecar/rules/memsidecar.yaml"
TESTS = Path(__file__).with_name("rules_test.yaml")
RUNBOOKS = ROOT / "docs/runbooks.md"

ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]


def test_promtool_takes_the_rules() -> None:
    """promtool finds no mistake in the file, and no duplicate."""
    command = [str(require_program("promtool")), "check", "rules", "--lint=all", "--lint-fatal", str(RULES)]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert f"{len(ALERTS)} rules found" in checked.stdout


def test_every_alert_fires_when_it_should() -> None:
    """`promtool test rules` passes."""
    tested = subprocess.run([require_program("promtool"), "test", "rules", TESTS], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_the_tests_can_fail(tmp_path: Path) -> None:
    """With every comparison turned round, promtool's tests fail: they do look at the rules."""
    turned = RULES.read_text().replace(" > ", " < ").replace(" == ", " != ")
    (tmp_path / "rules.yaml").write_text(turned)
    (tmp_path / "test.yaml").write_text(re.sub(r"^  - \.\..*", "  - rules.yaml", TESTS.read_text(), flags=re.MULTILINE))
    tested = subprocess.run([require_program("promtool"), "test", "rules", tmp_path / "test.yaml"], capture_output=True)
    assert tested.returncode == 1


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_each_alert_is_tested_both_ways(alert: dict[str, Any]) -> None:
    """There is a time at which it fires, with all its words, and one at which it does not."""
    cases = [case for test in yaml.safe_load(TESTS.read_text())["tests"] for case in test["alert_rule_test"]]
    own = [case for case in cases if case["alertname"] == alert["alert"]]
    assert any("exp_alerts" in case for case in own)
    assert any("exp_alerts" not in case for case in own)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_each_alert_says_what_to_do(alert: dict[str, Any]) -> None:
    """It has a severity, a summary, what it means, and a runbook that exists."""
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    said = alert["annotations"]
    assert set(said) == {"summary", "description", "runbook_url"}
    page, _, anchor = said["runbook_url"].partition("#")
    assert ROOT / page == RUNBOOKS
    assert anchor == alert["alert"].lower()
    assert alert["alert"] in re.findall(r"^## (\w+)$", RUNBOOKS.read_text(), re.MULTILINE)


def test_every_runbook_is_one_of_an_alert() -> None:
    """No section is left of an alert that has gone; each one says what it means, where to look and what to do."""
    found = re.findall(r"^## (Memsidecar\w+)$(.*?)(?=^## |\Z)", RUNBOOKS.read_text(), re.MULTILINE | re.DOTALL)
    assert [name for name, _ in found] == [alert["alert"] for alert in ALERTS]
    for name, text in found:
        assert all(f"**{part}**" in text for part in ("Means", "Look", "Do")), name


CALLERS = {
    *(
        "ERR",
        "NOMEMORY",
        "BADKEY",
        "TEMPLATE",
        "BADMESSAGE",
        "FORBIDDEN",
        "LOCKED",
        "STALELOCK",
        "OVERBUDGET",
        "NOAUTH",
    ),
    *("FLUSHFAILED", "TIMEOUT"),
}
"""First words of errors that are the caller's matter; and those of flushes, which have alerts of their own."""


def test_every_error_is_somebody_s() -> None:
    """Each of our errors either is the caller's matter or counts for the alert, so that a new one is thought about."""
    (alert,) = (alert for alert in ALERTS if alert["alert"] == "MemsidecarErrors")
    counted = set(re.findall(r'outcome=~"([^"]+)"', alert["expr"])[0].split("|"))
    ours = {each.prefix for each in _kinds(errors.ReplyableError) if isinstance(getattr(each, "prefix", None), str)}
    assert {"BADKEY", "UNCERTAIN"} < ours
    assert ours - CALLERS <= counted
    assert not counted & CALLERS


def _kinds(kind: type[errors.ReplyableError]) -> set[type[errors.ReplyableError]]:
    return {kind, *(each for below in kind.__subclasses__() for each in _kinds(below))}


def test_every_metric_is_one(metric_names: set[str]) -> None:
    """The rules name nothing that no process shows."""
    assert named(alert["expr"] for alert in ALERTS) - metric_names == set()
