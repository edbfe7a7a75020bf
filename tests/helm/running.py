"""Runs containers of rendered pods as processes of this machine: the same program, arguments, environment and files.

What a kubelet does, as far as our pods need it: env with references to Secrets, envFrom, and volumes of files, which
are laid into a folder here. Paths below a mount in the environment are changed accordingly.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sidecar.dev import probes
from sidecar.dev.processes import ChildProcess
from tests.helm.rendering import Manifest, named

Secrets = Mapping[str, Mapping[str, str]]
"""By name, then by key."""


def environment(container: Manifest, manifests: list[Manifest], secrets: Secrets) -> dict[str, str]:
    """Return the variables that a kubelet would give a container."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= named(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    for variable in container.get("env", []):
        if "value" in variable:
            found[variable["name"]] = variable["value"]
        else:
            reference = variable["valueFrom"]["secretKeyRef"]
            found[variable["name"]] = secrets[reference["name"]][reference["key"]]
    assert all(isinstance(value, str) for value in found.values()), found
    return found


def lay_files(pod: Manifest, manifests: list[Manifest], secrets: Secrets, folder: Path) -> dict[str, Path]:
    """Write the files of a pod's volumes below `folder`, and return each volume's own folder by its name."""
    laid: dict[str, Path] = {}
    for volume in pod["spec"]["volumes"]:
        laid[volume["name"]] = place = folder / volume["name"]
        place.mkdir()
        if "configMap" in volume:
            for key, text in named(manifests, "ConfigMap", volume["configMap"]["name"])["data"].items():
                (place / key).write_text(text)
        for source in volume.get("projected", {}).get("sources", []):
            ((kind, reference),) = source.items()
            data = secrets[reference["name"]] if kind == "secret" else _data(manifests, reference["name"])
            for item in reference["items"]:
                file = place / item["path"]
                file.parent.mkdir(exist_ok=True)
                file.write_text(data[item["key"]])
    return laid


def _data(manifests: list[Manifest], name: str) -> dict[str, str]:
    found: dict[str, str] = named(manifests, "ConfigMap", name)["data"]
    return found


class Container(ChildProcess):
    """A container of a rendered pod, as a process.

    Args:
        container: as it was rendered.
        pod: it is in.
        manifests: all that were rendered with it.
        secrets: that the cluster holds.
        folder: an empty one, for the files of the volumes.
        extra: further variables.
    """

    ready_sign = "its startup probe does not succeed"

    def __init__(
        self,
        container: Manifest,
        *,
        pod: Manifest,
        manifests: list[Manifest],
        secrets: Secrets,
        folder: Path,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        laid = lay_files(pod, manifests, secrets, folder)
        mounts = {mount["mountPath"]: str(laid[mount["name"]]) for mount in container["volumeMounts"]}
        variables = environment(container, manifests, secrets)
        for path, here in mounts.items():
            variables = {name: _moved(value, path, here) for name, value in variables.items()}
        self._command = [
            _moved(part, path, here) for part in container["command"] for path, here in [_mount(part, mounts)]
        ]
        self._probe = container.get("startupProbe", {}).get("httpGet")
        self._ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        super().__init__(container["name"], env=variables | dict(extra or {}) | {"PYTHONUNBUFFERED": "1"})

    def command(self) -> Sequence[str | Path]:
        program, *arguments = self._command
        return [Path(sys.executable).parent / program, *arguments]

    def is_ready(self) -> bool:
        """Ask what the kubelet would ask; a container without a probe is ready at once."""
        return self._probe is None or probes.http_succeeds(self._ports[self._probe["port"]], self._probe["path"])


def _mount(part: str, mounts: Mapping[str, str]) -> tuple[str, str]:
    return next(((path, here) for path, here in mounts.items() if part.startswith(f"{path}/")), ("", ""))


def _moved(value: str, path: str, here: str) -> str:
    return here + value.removeprefix(path) if path and (value == path or value.startswith(f"{path}/")) else value
