"""How a stage of a Dockerfile is played: what is copied, where it goes, and what a failure says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.container.dockerfile import Context, Playing, pairs, stages

TEXT = """
# a comment
FROM one:1 AS build
ENV GREETING=hello
WORKDIR /src
COPY a.txt folder/
COPY kept kept
RUN echo "$GREETING" > /out/said \\
    # a comment between two lines
    && cat folder/a.txt >> /out/said
FROM two:2
LABEL name="two words" other=one
CMD ["serve", "--fast"]
"""


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A folder with two files that may go into an image, and two that may not."""
    root = tmp_path / "context"
    (root / "kept/deep").mkdir(parents=True)
    for name in ("a.txt", "secret.txt", "kept/deep/b.py", "kept/deep/b.so"):
        (root / name).write_text(name)
    (root / ".dockerignore").write_text("# nothing but\n*\n!a.txt\n!kept\n**/*.so\n")
    return Context(root)


def playing(text: str, context: Context, root: Path) -> Playing:
    return Playing(stages(text)[0], context, root, moved=("/src", "/out"), environment={"PATH": "/usr/bin:/bin"})


def test_stages() -> None:
    """Lines that go on are one instruction, comments between them are none."""
    build, final = stages(TEXT)
    assert (build.image, build.name, final.image, final.name) == ("one:1", "build", "two:2", None)
    assert build.all("RUN") == ['echo "$GREETING" > /out/said && cat folder/a.txt >> /out/said']
    assert final.command("CMD") == ["serve", "--fast"]
    assert pairs(final.all("LABEL")[0]) == [("name", "two words"), ("other", "one")]


def test_a_stage_is_played(context: Context, tmp_path: Path) -> None:
    """Files are copied as far as .dockerignore lets them, and commands run, where the paths have been moved to."""
    root = tmp_path / "image"
    (root / "out").mkdir(parents=True)
    playing(TEXT, context, root).play()
    assert (root / "out/said").read_text() == "hello\na.txt"
    found = {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()}
    assert found == {"out/said", "src/folder/a.txt", "src/kept/deep/b.py"}


@pytest.mark.parametrize("name", ["secret.txt", "nothing.txt"])
def test_what_is_left_out_cannot_be_copied(name: str, context: Context, tmp_path: Path) -> None:
    """As in a build, a COPY of what is not in the context fails."""
    with pytest.raises(FileNotFoundError, match=name):
        playing(f"FROM one\nWORKDIR /src\nCOPY {name} ./\n", context, tmp_path).play()


def test_a_command_that_fails(context: Context, tmp_path: Path) -> None:
    """A failure ends the build, with what the command said; so does one in the middle of several."""
    with pytest.raises(AssertionError, match="no such luck"):
        playing("FROM one\nRUN echo no such luck && false && true\n", context, tmp_path).play()


def test_only_whole_paths_are_moved(context: Context, tmp_path: Path) -> None:
    """A path that begins alike is another one."""
    moved = playing(TEXT, context, Path("/here"))
    assert moved.here("cp /src/a /src2/a /opt/src /out") == "cp /here/src/a /src2/a /opt/src /here/out"


def test_what_is_not_known_is_refused(context: Context, tmp_path: Path) -> None:
    """An instruction that cannot be played is not passed over."""
    with pytest.raises(ValueError, match="ADD"):
        playing("FROM one\nADD a.txt /src\n", context, tmp_path).play()
