"""The Dockerfile: what it says, and that its build stage makes a package that runs as the image would run it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis

from sidecar import __version__
from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.probes import http_succeeds
from sidecar.dev.processes import ChildProcess
from tests.container.dockerfile import Context, Playing, Stage, pairs, stages
from tests.support.children import Children
from tests.support.requirements import require_program

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "Dockerfile"
BUILD, FINAL = stages(DOCKERFILE.read_text())

WRITTEN = ("/src", "/dist", "/opt/build", "/opt/memsidecar")
"""Where the build stage writes."""

PASSED_ON = ("PATH", "LANG", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
"""With PIP_…, what a command needs of the machine to reach a package index."""


def test_hadolint_finds_nothing() -> None:
    """The Dockerfile keeps the rules of hadolint, all of them."""
    done = subprocess.run([require_program("hadolint"), DOCKERFILE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_base_can_be_named_by_digest() -> None:
    """Both images are build arguments, with a tag that names Python's and Debian's version."""
    arguments = dict(pairs(" ".join(line for line in DOCKERFILE.read_text().splitlines() if line.startswith("ARG "))))
    assert [BUILD.image, FINAL.image] == ["${BUILD_IMAGE}", "${RUNTIME_IMAGE}"]
    build, runtime = arguments["BUILD_IMAGE"], arguments["RUNTIME_IMAGE"]
    assert runtime == build.replace("-", "-slim-")
    assert build.startswith("python:3.11-")


def test_the_image_runs_as_nobody_in_particular() -> None:
    """The user is a number above the system's, and nothing is installed or written after it is set."""
    assert FINAL.all("USER") == ["10001:10001"]
    words = [word for word, _ in FINAL.steps]
    assert not {"RUN", "COPY", "ADD"} & set(words[words.index("USER") :])


def test_the_last_stage_gets_the_packages_only() -> None:
    """What is copied is the environment without pip; no compiler is installed, and the base's own pip goes."""
    assert FINAL.all("COPY") == ["--from=build /opt/memsidecar /opt/memsidecar"]
    (run,) = FINAL.all("RUN")
    assert run.startswith("python -m pip uninstall --yes")
    assert "apt-get" not in DOCKERFILE.read_text()
    assert "--without-pip /opt/memsidecar" in " ".join(BUILD.all("RUN"))


def test_everything_is_installed_by_hash() -> None:
    """Every pip of the build stage takes a lock with hashes, or nothing from an index at all."""
    steps = [step for run in BUILD.all("RUN") for step in run.split(" && ") if " pip " in step]
    assert len(steps) == 4
    assert all("--require-hashes" in step or "--no-deps" in step for step in steps)


def test_it_is_labelled() -> None:
    """The labels are those of the Open Container Initiative; version and revision are the builder's to say."""
    labels = dict(pairs(" ".join(FINAL.all("LABEL"))))
    prefix = "org.opencontainers.image."
    assert all(name.startswith(prefix) for name in labels)
    assert labels[f"{prefix}licenses"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
    assert {labels[f"{prefix}version"], labels[f"{prefix}revision"]} == {"${VERSION}", "${REVISION}"}


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("sidecar/cli.py", True),
        ("sidecar/store/lua/append.lua", True),
        ("requirements/runtime.txt", True),
        ("requirements/dev.txt", False),
        ("tests/conftest.py", False),
        ("sidecar/resp/_wire.abi3.so", False),
        (".git", False),
        ("sidecar/no-such-file.py", False),
    ],
)
def test_what_the_build_gets(path: str, kept: bool) -> None:
    """The build gets sources and locks; no test, no history, and no extension of another machine."""
    assert Context(ROOT).has(path) is kept


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    """The build stage, played: its `opt/memsidecar` is what the image has."""
    with TemporaryDirectory(prefix="memsidecar-image-") as directory:
        root = Path(directory)
        passed = {name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith("PIP_")}
        # `python` is the base image's there; here, that of the tests.
        passed["PATH"] = f"{Path(sys.executable).parent}:{passed['PATH']}"
        # How fast the package is matters elsewhere.
        passed |= {"HOME": str(root / "home"), "MEMSIDECAR_OPTIMISATION": "0"}
        Playing(BUILD, Context(ROOT), root, moved=WRITTEN, environment=passed).play()
        yield root


def as_in_the_image(root: Path, stage: Stage, words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return a command line of the image and its environment, as they are below `root`."""
    here = str(root / "opt/memsidecar")
    said = {name: value.replace("/opt/memsidecar", here) for name, value in stage.environment().items()}
    said["PATH"] = said["PATH"].replace("$PATH", "/usr/bin:/bin")
    program = root / "opt/memsidecar/bin" / words[0]
    return [str(program), *words[1:]], said


def files(root: Path) -> dict[Path, int]:
    """Return every file below `root`, with the time of its last change."""
    return {file: file.stat().st_mtime_ns for file in root.rglob("*") if file.is_file()}


class Container(ChildProcess):
    """The image's command, from the root folder, with the image's environment and nothing else."""

    ready_sign = "its /healthz does not answer"

    def __init__(self, root: Path, settings: dict[str, str], http_port: int) -> None:
        words, environment = as_in_the_image(root, FINAL, [*FINAL.command("ENTRYPOINT"), *FINAL.command("CMD")])
        super().__init__("container")
        self._http_port = http_port
        together = {**environment, **settings}
        pairs_of = [f"{name}={value}" for name, value in together.items()]
        self._words = ["/usr/bin/env", "--chdir=/", "-i", *pairs_of, *words]

    def command(self) -> Sequence[str | Path]:
        return self._words

    def is_ready(self) -> bool:
        return http_succeeds(self._http_port, "/healthz")


def health(root: Path, http_port: int) -> int:
    """Return the exit code of the image's HEALTHCHECK."""
    _, _, command = FINAL.all("HEALTHCHECK")[0].partition(" CMD ")
    words, environment = as_in_the_image(root, FINAL, Stage("", None, [("CMD", command)]).command("CMD"))
    told = {**environment, "MEMSIDECAR_HTTP_LISTEN": f"0.0.0.0:{http_port}"}
    return subprocess.run(words, env=told, cwd="/", capture_output=True, timeout=30).returncode


@pytest.mark.skipif(sys.platform != "linux", reason="the image is one of Linux")
@pytest.mark.timeout(1800)
def test_the_image_serves(image: Path, redis_url: str, children: Children, tmp_path: Path) -> None:
    """The environment that the build stage makes has no pip, and its entry point serves, compiled, and writes nothing.

    So a read-only file system is no hindrance. The health check succeeds while it runs, and fails when it has ended, by
    SIGTERM and with 0.
    """
    installed = image / "opt/memsidecar"
    assert not list(installed.glob("bin/pip*"))
    assert not list(installed.glob("lib/python*/site-packages/pip"))
    words, environment = as_in_the_image(image, FINAL, ["memsidecar", "--version"])
    told = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, cwd="/")
    assert told.stdout.strip().endswith(__version__)

    before = files(installed)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    port, http_port = free_port(), free_port()
    settings = {
        "TMPDIR": str(temporary),
        "MEMSIDECAR_REDIS_URL": redis_url,
        "MEMSIDECAR_LISTEN": f"{LOOPBACK}:{port}",
        "MEMSIDECAR_HTTP_LISTEN": f"0.0.0.0:{http_port}",
    }
    container = children.add(Container(image, settings, http_port))
    with redis.Redis(port=port, protocol=3, decode_responses=True) as client:
        assert client.execute_command("MEMAPPEND", "chat:1", "user", "Where is my parcel?")["appended"] == 1
    assert health(image, http_port) == 0
    assert container.stop()
    assert container.exit_code == 0
    assert health(image, http_port) == 1
    assert (files(installed), list(temporary.iterdir())) == (before, [])
