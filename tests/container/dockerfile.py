"""Reads a Dockerfile, and plays a stage of it in a folder: copies what it copies, and runs what it runs.

The rules are those of https://docs.docker.com/reference/dockerfile/, as far as our own file goes; what it does not use
is refused. Nothing is isolated: absolute paths of the image that the caller names are moved below the folder.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

STEP_LIMIT_S = 900
"""Of one RUN: mypyc takes a minute, and a busy machine several."""


@dataclass(slots=True)
class Stage:
    """One FROM with its instructions, each a word and its text, in their order."""

    image: str
    name: str | None
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        """Return the texts of every instruction `word`."""
        return [text for each, text in self.steps if each == word]

    def environment(self) -> dict[str, str]:
        """Return what ENV sets, as it is written."""
        return dict(pair for text in self.all("ENV") for pair in pairs(text))

    def command(self, word: str) -> list[str]:
        """Return the words of the last `word` (ENTRYPOINT, CMD), which must be in JSON."""
        found: list[str] = json.loads(self.all(word)[-1])
        return found


def stages(text: str) -> list[Stage]:
    """Return the stages of a Dockerfile."""
    found: list[Stage] = []
    for word, said in _instructions(text):
        if word == "FROM":
            image, _, name = said.partition(" AS ")
            found.append(Stage(image, name or None))
        elif found:
            found[-1].steps.append((word, said))
    return found


def pairs(text: str) -> list[tuple[str, str]]:
    """Return the names and values of an ENV, ARG or LABEL."""
    found = re.findall(r"""([\w.]+)=("[^"]*"|\S*)""", text)
    return [(name, value.strip('"')) for name, value in found]


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, said = line.strip().partition(" ")
        yield word, " ".join(said.split())


class Context:
    """What `docker build` is given: a folder, less what its .dockerignore leaves out."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rules = [line for line in (root / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]

    def has(self, path: str) -> bool:
        """Return whether the file or folder `path` is in it. The last rule that fits decides."""
        kept = True
        for rule in self._rules:
            if _fits(path, rule.removeprefix("!")):
                kept = rule.startswith("!")
        return kept and (self._root / path).exists()

    def copy(self, source: str, target: Path) -> None:
        """Copy a file into the folder `target`, or the content of a folder, as COPY does.

        Raises:
            FileNotFoundError: it is not in the context.
        """
        place = self._root / source
        if not self.has(source):
            raise FileNotFoundError(f"{source} is not there, or .dockerignore leaves it out")
        target.mkdir(parents=True, exist_ok=True)
        if place.is_file():
            shutil.copy(place, target)
        for file in place.rglob("*") if place.is_dir() else ():
            if file.is_file() and self.has(str(file.relative_to(self._root))):
                (target / file.relative_to(place)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target / file.relative_to(place))


def _fits(path: str, rule: str) -> bool:
    """Return whether a rule names `path` or a folder above it; `**/` stands for any folders, and for none."""
    parts = path.split("/")
    above = ["/".join(parts[: number + 1]) for number in range(len(parts))]
    if rule.startswith("**/"):
        return any(fnmatchcase(part, rule.removeprefix("**/")) for part in parts)
    return any(fnmatchcase(each, rule) and each.count("/") == rule.count("/") for each in above)


class Playing:
    """A stage played below `root`.

    Args:
        moved: absolute paths of the image that the stage writes to; each becomes one below `root`.
        environment: of the commands, besides what ENV says.
    """

    def __init__(
        self, stage: Stage, context: Context, root: Path, *, moved: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self._stage = stage
        self._context = context
        self._root = root
        self._moved = moved
        self._environment = {**environment, **stage.environment()}
        self._directory = root

    def here(self, text: str) -> str:
        """Return `text` with the paths of the image moved."""
        for path in self._moved:
            text = re.sub(rf"(?<![\w/]){re.escape(path)}(?![\w-])", f"{self._root}{path}", text)
        return text

    def play(self) -> None:
        """Do every step.

        Raises:
            AssertionError: a command failed; with what it said.
            ValueError: an instruction that is not known here.
        """
        for word, said in self._stage.steps:
            if word == "WORKDIR":
                self._directory = Path(self.here(said))
                self._directory.mkdir(parents=True, exist_ok=True)
            elif word == "COPY":
                self._copy(said.split())
            elif word == "RUN":
                self._run(self.here(said))
            elif word not in ("ENV", "ARG"):
                raise ValueError(f"{word} {said} is not known here")

    def _copy(self, words: Sequence[str]) -> None:
        *sources, target = words
        for source in sources:
            self._context.copy(source, self._directory / target)

    def _run(self, command: str) -> None:
        done = subprocess.run(
            ["/bin/sh", "-ec", command],
            cwd=self._directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=STEP_LIMIT_S,
        )
        assert done.returncode == 0, f"RUN {command}\n{done.stdout}\n{done.stderr}"
