"""Runs Helm on copies of the charts: what it renders, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.chart_values import HELM

Manifest = dict[str, Any]
Values = Mapping[str, Any]

RELEASE = "talk"
NAMESPACE = "agents"
OLDEST = {"memsidecar": "1.30.0", "agent": "1.29.0"}
"""The Kubernetes that a chart's kubeVersion begins with."""
NEWEST = "1.37.0"

_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
"""The same in C takes a tenth of the time, and hundreds of manifests are read."""


class Helm:
    """The charts, with their dependencies, in a folder of their own.

    Args:
        program: Helm's binary.
        folder: an empty one; Helm keeps its own files there, too.
    """

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._environment = {"PATH": "/usr/bin:/bin", "HELM_PLUGINS": str(folder / "plugins")}
        for kind in ("CACHE", "CONFIG", "DATA"):
            self._environment[f"HELM_{kind}_HOME"] = str(folder / kind.lower())
        self._folder = folder / "helm"
        self._rendered: dict[tuple[str, str, str, str], str] = {}
        shutil.copytree(HELM, self._folder, ignore=shutil.ignore_patterns("charts"))
        for chart in ("memsidecar", "agent"):
            self._run("dependency", "build", str(self.chart(chart)))

    def chart(self, name: str) -> Path:
        """Return the folder of our copy of a chart, or of an example."""
        found = self._folder / name
        return found if found.exists() else self._folder / "examples" / name

    def lint(self, chart: str, values: Values) -> None:
        """Have Helm look for mistakes. Raises AssertionError with what it says."""
        self._run("lint", "--strict", str(self.chart(chart)), *self._given(chart, values))

    def render(self, chart: str, values: Values, *, kubernetes: str = NEWEST, release: str = RELEASE) -> list[Manifest]:
        """Return everything that would be sent to Kubernetes. Raises AssertionError with what Helm says."""
        asked = (chart, json.dumps(values, sort_keys=True), kubernetes, release)
        if asked not in self._rendered:
            self._rendered[asked] = self._run(*self._template(chart, values, kubernetes, release))
        return [manifest for manifest in yaml.load_all(self._rendered[asked], _LOADER) if manifest is not None]

    def notes(self, chart: str, values: Values) -> str:
        """Return what Helm says after an installation."""
        options = ["--dry-run=client", "--namespace", NAMESPACE, *self._given(chart, values)]
        return self._run("install", RELEASE, str(self.chart(chart)), *options).partition("\nNOTES:\n")[2]

    def refusal(self, chart: str, values: Values, *, kubernetes: str = NEWEST) -> str:
        """Return what Helm says to values that it must not take."""
        ended = self._ended(*self._template(chart, values, kubernetes))
        assert ended.returncode, f"Helm takes {values}"
        return ended.stderr

    def _template(self, chart: str, values: Values, kubernetes: str, release: str = RELEASE) -> list[str]:
        folder = str(self.chart(chart))
        options = ["--namespace", NAMESPACE, "--kube-version", kubernetes]
        return ["template", release, folder, *options, *self._given(chart, values)]

    def _given(self, chart: str, values: Values) -> list[str]:
        """Write values as users do: into a file, where Helm takes every number for a float."""
        text = json.dumps(values, sort_keys=True)
        file = self._folder.parent / f"values-{chart}-{abs(hash(text))}.yaml"
        file.write_text(text)
        return ["--values", str(file)]

    def _run(self, *arguments: str) -> str:
        ended = self._ended(*arguments)
        assert not ended.returncode, f"helm {' '.join(arguments)}:\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def _ended(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, *arguments], env=self._environment, capture_output=True, text=True, timeout=60
        )


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """Return those manifests that are of a kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """Return the manifest of a kind and name."""
    found = [each for each in of_kind(manifests, kind) if each["metadata"]["name"] == name]
    assert len(found) == 1, (kind, name, [each["metadata"]["name"] for each in of_kind(manifests, kind)])
    return found[0]


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield kind/name and the pod (metadata and spec) of everything that makes one."""
    for manifest in manifests:
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        if manifest["kind"] == "Pod":
            yield name, manifest
        elif "template" in manifest.get("spec", {}):
            yield name, manifest["spec"]["template"]


def containers(pod: Manifest) -> list[Manifest]:
    """Return all containers of a pod."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def put(values: Values, path: str, value: Any) -> dict[str, Any]:
    """Return values with one more, whose path has dots."""
    first, _, others = path.partition(".")
    return {**values, first: put(values.get(first) or {}, others, value) if others else value}


def without_checksums(manifests: list[Manifest]) -> str:
    """Return manifests as text that differs only if they do, and not by a checksum alone."""
    return re.sub(r'"checksum/\w+": "\w+"', "", json.dumps(manifests, sort_keys=True))
