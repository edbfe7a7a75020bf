"""The documents say what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sidecar.cli import cli
from sidecar.config.definition_models import DefinitionsFile
from sidecar.config.settings import PREFIX, Settings
from sidecar.metrics.collector import MetricsCollector
from sidecar.metrics.counters import Metrics
from tests.docs import (
    DOCS,
    KUBERNETES,
    OPERATIONS,
    README,
    chart_files,
    commands_table,
    pages,
    settings_page,
    with_events,
    with_tables,
    with_values,
)

PAGES = (README, *sorted(DOCS.glob("*.md")))


def test_the_table_of_the_readme_is_that_of_the_code() -> None:
    """The README's table of commands is what `python -m tests.docs` writes."""
    readme = README.read_text()
    assert commands_table() in readme
    assert with_tables(readme) == readme


def test_the_pages_are_those_of_the_code() -> None:
    """What is generated in docs/ is what `python -m tests.docs` writes."""
    assert [name for name, text in pages().items() if (DOCS / name).read_text() != text] == []


def test_the_events_are_those_of_the_code() -> None:
    """The table of events in docs/operations.md is what it writes."""
    page = OPERATIONS.read_text()
    assert "| `redis.unreachable` | warning |" in page
    assert with_events(page) == page


def test_every_setting_is_on_its_page_once() -> None:
    """No group forgets a setting or has it twice."""
    page = settings_page()
    for name in Settings.model_fields:
        assert page.count(f"| `{PREFIX}{name.upper()}` |") == 1, name


def test_the_charts_are_those_of_the_code() -> None:
    """The settings in the charts' values, their schemas, and the tables of docs/kubernetes.md, are what it writes."""
    assert [str(path) for path, text in chart_files().items() if path.read_text() != text] == []
    page = KUBERNETES.read_text()
    assert "| `redis.urlSecret.name` |" in page
    assert with_values(page) == page


def test_links_lead_somewhere() -> None:
    """Every relative link of the documents names a file, and a heading where it names one."""
    root = README.parent
    for page in (*PAGES, *sorted(root.glob("benchmarks/*.md"))):
        for target, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)", page.read_text()):
            linked = page.parent / target if target else page
            assert linked.exists(), (page.name, target)
            assert not heading or heading[1:] in _headings(linked.read_text()), (page.name, target, heading)


def _headings(text: str) -> set[str]:
    """Return the anchors that GitHub makes of headings."""
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", [README, DOCS / "quickstart.md"], ids=lambda page: page.name)
def test_the_yaml_of_a_page_is_a_valid_definitions_file(page: Path) -> None:
    """A user who copies the example gets no error."""
    examples = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    assert examples
    for example in examples:
        DefinitionsFile.model_validate(yaml.safe_load(example))


def test_every_subcommand_and_path_that_a_page_names_exists() -> None:
    """`memsidecar X` is a command, and `sidecar/…` is a file or folder."""
    text = "\n".join(page.read_text() for page in PAGES)
    typed = "\n".join(re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL))
    named = set(re.findall(r"`memsidecar ([a-z]+)", text)) | set(
        re.findall(r"^memsidecar ([a-z]+)", typed, re.MULTILINE)
    )
    assert {"serve", "export", "import"} <= named <= set(cli.commands)
    for path in re.findall(r"`((?:sidecar|tests)/[\w/.]*)`", text):
        assert (README.parent / path).exists(), path


def test_every_setting_that_a_page_names_exists() -> None:
    """A variable `MEMSIDECAR_…` is a setting, or one that builds and compose.yaml read."""
    others = {"MEMSIDECAR_PURE", "MEMSIDECAR_OPTIMISATION", "MEMSIDECAR_REDIS_PASSWORD"}
    settings = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | others
    for page in PAGES:
        assert set(re.findall(r"\bMEMSIDECAR_[A-Z_]*[A-Z]\b", page.read_text())) <= settings, page.name


def test_every_metric_that_a_page_names_exists() -> None:
    """A name `memsidecar_…` is on the page of metrics, of this process or of the one that supervises it."""
    supervisors = {"memsidecar_workers", "memsidecar_worker_restarts_total"}
    families = list(MetricsCollector(Metrics()).collect())
    names = {f"{family.name}{'_total' if family.type == 'counter' else ''}" for family in families} | supervisors
    names.add("memsidecar_flush_engine_up")  # not before the engine has been asked
    for page in PAGES:
        assert set(re.findall(r"\bmemsidecar_[a-z_]*[a-z]\b", page.read_text())) <= names, page.name


def test_the_site_is_built_without_a_complaint(tmp_path: Path) -> None:
    """Every page is in the navigation, every link and anchor leads somewhere, and no page fetches anything."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=README.parent, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    built = {page.relative_to(tmp_path).as_posix() for page in tmp_path.rglob("*.html")}
    assert built == {f"{page.stem}.html" for page in DOCS.glob("*.md")} | {"404.html"}
    fetched = re.compile(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=.?https?:[^ >]*")
    for page in sorted(tmp_path.glob("*.html")):
        assert fetched.findall(page.read_text()) == [], page.name
