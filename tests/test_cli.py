"""The command line: its texts, what `check` says, exit codes, and who wins over whom."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Coroutine
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from sidecar import __version__
from sidecar.cli import _loading, _run, cli
from sidecar.config.settings import PREFIX, Settings
from sidecar.errors import ConfigurationError
from sidecar.temporal.connection import DEFAULT_ADDRESS, DEFAULT_NAMESPACE

NO_SETTINGS: dict[str, str | None] = {f"{PREFIX}{name.upper()}": None for name in Settings.model_fields}
"""The environment of the tests without any setting of the machine that they run on."""

PROCESSES = ("serve", "worker", "check")


def invoke(*arguments: str, environment: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, env={**NO_SETTINGS, **(environment or {})})


def problems(*arguments: str, environment: dict[str, str] | None = None) -> list[str]:
    """Return what `check` finds wrong."""
    wrong = invoke("check", *arguments, environment=environment).exception
    assert isinstance(wrong, ConfigurationError)
    return wrong.problems


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the program itself."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    return subprocess.run(
        [sys.executable, "-m", "sidecar", *arguments],
        env=clean | (environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


USED_INSTEAD = {
    "definitions": "built in",
    "temporal_address": DEFAULT_ADDRESS,
    "temporal_namespace": DEFAULT_NAMESPACE,
}
"""What is used where a setting is not set, nor Temporal's own configuration."""


class TestHelp:
    def test_the_program(self) -> None:
        """Without more to go on, one learns what it is, how to try it, and which commands there are."""
        text = invoke("--help").output
        assert "A conversation memory for LLM agents, spoken over the Redis protocol." in text
        assert 'redis-cli -p 6380 MEMAPPEND chat:42 user "Where is my parcel?"\n' in text
        assert [line.split()[0] for line in text.partition("Commands:\n")[2].splitlines()] == sorted(cli.commands)
        assert invoke("-h").output == text

    @pytest.mark.parametrize("name", ["serve", "worker", "check", "dev"])
    def test_each_command(self, name: str) -> None:
        """Every command says what it does and explains each of its options."""
        finished = invoke(name, "--help")
        assert finished.exit_code == 0
        command = cli.commands[name]
        assert (command.help or "").splitlines()[0] in finished.output
        for option in command.params:
            assert isinstance(option, click.Option)
            assert option.help
            assert option.hidden or option.opts[0] in finished.output

    @pytest.mark.parametrize("name", PROCESSES)
    def test_options_are_settings(self, name: str) -> None:
        """Each option is a setting of its name, and the default that its help shows is the setting's."""
        for option in cli.commands[name].params:
            assert isinstance(option, click.Option)
            if option.hidden:  # of our own processes, not of users
                continue
            assert option.name is not None
            assert option.opts == [f"--{option.name.replace('_', '-')}"]
            default = Settings.model_fields[option.name].default
            shown = USED_INSTEAD[option.name] if default is None else default
            assert f"[{shown}]" in (option.help or "")

    def test_choices_are_those_of_the_settings(self) -> None:
        """An option with choices offers exactly what the setting takes."""
        for option in cli.commands["serve"].params:
            if isinstance(option.type, click.Choice):
                assert option.name is not None
                annotation: Any = Settings.model_fields[option.name].annotation
                assert tuple(option.type.choices) == annotation.__args__


DEFINITIONS = """
definitions:
  - {id: chat, model: gpt-4, max_tokens: 8000, max_messages: 50, flush: {strategy: fifo}}
  - {id: notes, max_tokens: null}
  - {id: turns, max_tokens: null, max_messages: 7}
"""


class TestCheck:
    def test_defaults(self) -> None:
        """Without any setting the configuration is fine, and shown."""
        finished = invoke("check")
        assert finished.exit_code == 0
        assert finished.output.splitlines() == [
            "listen       127.0.0.1:6380",
            "redis        127.0.0.1:6379/0",
            "flushes      local",
            "definition   default: o200k_base, at most 128000 tokens, hybrid_summary",
            "The configuration is fine.",
        ]

    def test_a_configuration(self, tmp_path: Path) -> None:
        """What holds is shown, every definition with its limits, and no password."""
        file = tmp_path / "definitions.yaml"
        file.write_text(DEFINITIONS)
        finished = invoke(
            "check",
            "--redis-url",
            "redis://user:secret@redis.local:7000/3",
            "--definitions",
            str(file),
            "--engine=temporal",
        )
        assert finished.output.splitlines() == [
            "listen       127.0.0.1:6380",
            "redis        redis.local:7000/3",
            "flushes      temporal",
            "definition   chat: cl100k_base, at most 8000 tokens and 50 messages, fifo",
            "definition   notes: o200k_base, no limit, hybrid_summary",
            "definition   turns: o200k_base, at most 7 messages, hybrid_summary",
            "definition   default: o200k_base, at most 128000 tokens, hybrid_summary",
            "The configuration is fine.",
        ]

    def test_all_problems_at_once(self, tmp_path: Path) -> None:
        """Options, environment and definitions: every problem has its line, named as it was written, no value leaks."""
        file = tmp_path / "definitions.yaml"
        file.write_text("definitions:\n  - {id: chat, max_tokens: 0}\n  - {id: a b}\n  - {id: c, colour: red}\n")
        environment = {
            "MEMSIDECAR_REDIS_URL": "redis://user:se/cret@host",
            "MEMSIDECAR_MAX_CLIENTS": "many",
            "MEMSIDECAR_DEFINITIONS": str(file),
        }
        found = problems("--listen", "6380", "--http-listen=a:99999", environment=environment)
        for start in (
            "--listen: '6380' must be host:port",
            "--http-listen: 'a:99999' must be host:port",
            "MEMSIDECAR_REDIS_URL: ",
            "MEMSIDECAR_MAX_CLIENTS: ",
            f"{file}:2: definition 'chat', max_tokens: ",
            f"{file}:3: definition 'a b', id: ",
            f"{file}:4: definition 'c', colour: ",
        ):
            (line,) = [line for line in found if line.startswith(start)]
            found.remove(line)
            assert "cret" not in line
        assert found == []

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        """A definitions file that cannot be read is a problem, not an empty configuration."""
        (problem,) = problems("--definitions", str(tmp_path / "none.yaml"))
        assert problem.startswith(f"{tmp_path / 'none.yaml'}: cannot be read")

    @pytest.mark.parametrize("name", PROCESSES)
    def test_every_process_checks(self, name: str) -> None:
        """A process with a wrong setting does not start."""
        wrong = invoke(name, "--redis-url", "nonsense").exception
        assert isinstance(wrong, ConfigurationError)

    def test_dev_checks(self, tmp_path: Path) -> None:
        """`dev` looks at the definitions before it starts anything."""
        wrong = invoke("dev", "--definitions", str(tmp_path / "none.yaml")).exception
        assert isinstance(wrong, ConfigurationError)


class TestPrecedence:
    @pytest.mark.parametrize(
        ("arguments", "environment", "shown"),
        [
            ((), {}, "127.0.0.1:6380"),
            ((), {"MEMSIDECAR_LISTEN": "0.0.0.0:1"}, "0.0.0.0:1"),
            (("--listen", "[::1]:2"), {}, "[::1]:2"),
            (("--listen", "[::1]:2"), {"MEMSIDECAR_LISTEN": "0.0.0.0:1"}, "[::1]:2"),
            (("--listen", "[::1]:2"), {"MEMSIDECAR_LISTEN": "nonsense"}, "[::1]:2"),
        ],
    )
    def test_options_then_environment(
        self, arguments: tuple[str, ...], environment: dict[str, str], shown: str
    ) -> None:
        """An option wins over the environment, which wins over the default."""
        output = invoke("check", *arguments, environment=environment).output
        assert output.splitlines()[0] == f"listen       {shown}"

    def test_the_problem_is_where_the_value_came_from(self) -> None:
        """A wrong value is blamed on the option or on the variable, whichever it was in."""
        assert problems("--listen=x")[0].startswith("--listen: ")
        assert problems(environment={"MEMSIDECAR_LISTEN": "x"})[0].startswith("MEMSIDECAR_LISTEN: ")


class TestExitCodes:
    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            (("--version",), 0, f"memsidecar, version {__version__}\n"),
            (("check",), 0, "The configuration is fine.\n"),
            (("serve", "--help"), 0, "Run the sidecar."),
            ((), 2, "Usage: "),
            (("serv",), 2, "No such command 'serv'."),
            (("serve", "--nope"), 2, "No such option"),
            (("serve", "--engine", "x"), 2, "'x' is not one of 'local', 'temporal'"),
            (("check", "--listen", "x", "--redis-url", "y"), 2, "--listen: 'x' must be host:port"),
            (("dev", "--definitions", "/nowhere.yaml"), 2, "/nowhere.yaml: cannot be read"),
        ],
    )
    def test_exit_codes(self, arguments: tuple[str, ...], code: int, said: str) -> None:
        """0 is fine, 2 is a mistake on the command line or in the configuration, said on standard error, untraced."""
        finished = run(*arguments)
        assert finished.returncode == code
        assert said in (finished.stderr if code else finished.stdout)
        assert (finished.stdout if code else finished.stderr) == ""
        assert "Traceback" not in finished.stderr

    def test_one_problem_a_line(self) -> None:
        """All problems are printed, one a line."""
        finished = run("check", "--listen=x", environment={"MEMSIDECAR_HTTP_LISTEN": "y"})
        assert [line.partition(":")[0] for line in finished.stderr.splitlines()] == [
            "--listen",
            "MEMSIDECAR_HTTP_LISTEN",
        ]

    @pytest.mark.parametrize("command", [("check",), ("serve", "--listen=127.0.0.1:0", "--http-listen=127.0.0.1:0")])
    def test_an_engine_that_was_not_compiled(self, command: tuple[str, ...]) -> None:
        """Who demands the compiled token counts where there are none is told what to do, before anything starts."""
        program = (
            "import sys; sys.modules['sidecar.tokens._bpe'] = None; from sidecar.cli import main; "
            f"sys.argv = ['memsidecar', *{command!r}]; main()"
        )
        environment = os.environ | {"MEMSIDECAR_TOKEN_ENGINE": "native"}
        ran = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 2
        assert ran.stderr.startswith("the token engine native cannot be used: it was not compiled")
        assert ran.stderr.endswith("or set MEMSIDECAR_TOKEN_ENGINE to auto or tiktoken\n")
        assert ran.stderr.count("\n") == 1

    def test_a_problem_that_shows_late(self) -> None:
        """What is found wrong while a process starts, in whichever of its tasks, ends it like any other problem."""

        def late(*found: Exception) -> Coroutine[Any, Any, None]:
            async def work() -> None:
                raise ExceptionGroup("tasks", found)

            return work()

        one, two = ConfigurationError(["a", "b"]), ConfigurationError(["c"])
        with pytest.raises(ConfigurationError) as wrong:
            _run(late(one, ExceptionGroup("inner", [two])))
        assert wrong.value.problems == ["a", "b", "c"]
        with pytest.raises(ExceptionGroup):
            _run(late(ZeroDivisionError()))


def test_what_a_sidecar_does_not_load() -> None:
    """A sidecar starts without what it does not need, which would double the time and take 80 MB."""
    heavy = {"aiohttp", "openai", "rich", "temporalio", "tiktoken"}
    script = (
        "import sys; from sidecar.cli import cli; from sidecar import cli as module; "
        "module._run = lambda work: work.close(); cli(['serve'], standalone_mode=False); "
        f"import sidecar.app.serving; print(sorted({heavy!r} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize("ends", [nullcontext(), pytest.raises(ConfigurationError)])
def test_no_search_for_cycles_while_modules_are_loaded(ends: AbstractContextManager[object]) -> None:
    """The collector rests while modules are loaded, and no longer, also where that ends with an error."""
    with ends, _loading():
        assert not gc.isenabled()
        if not isinstance(ends, nullcontext):
            raise ConfigurationError(["redis_url: is odd"])
    gc.unfreeze()  # what a process keeps, tests need not
    assert gc.isenabled()
