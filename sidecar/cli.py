"""The command line: `serve`, `worker`, `dev`, `check`, `export`, `import`.

Options win over environment variables (`MEMSIDECAR_…`), which win over defaults. What is wrong with the configuration
is printed whole, one problem a line, and ends with exit code 2.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from sidecar import __version__
from sidecar.errors import ConfigurationError

EXIT_CONFIGURATION = 2


def main() -> NoReturn:
    """Run the command line.

    The end is `os._exit`: with Temporal's native threads loaded, an ordinary interpreter exit crashes now and then.
    """
    code = 0
    try:
        cli.main(standalone_mode=False)
    except click.Abort:
        code = 130
    except click.ClickException as wrong:
        wrong.show()
        code = wrong.exit_code
    except ConfigurationError as wrong:
        for problem in wrong.problems:
            click.echo(problem, err=True)
        code = EXIT_CONFIGURATION
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    _leave(code)


def _leave(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="memsidecar")
def cli() -> None:
    """A conversation memory for LLM agents, spoken over the Redis protocol.

    Try it with `memsidecar dev`, then, in another terminal:

    \b
      redis-cli -p 6380 MEMAPPEND chat:42 user "Where is my parcel?"
      redis-cli -p 6380 MEMREAD chat:42 TOKENS 2000
    """


_MEMORIES = (
    click.option("--redis-url", metavar="URL", help="The Redis behind the sidecar [redis://127.0.0.1:6379/0]."),
    click.option(
        "--definitions", metavar="FILE", type=click.Path(path_type=Path), help="Memory definitions (YAML) [built in]."
    ),
    click.option("--project", metavar="NAME", help="Separates memories on one Redis [default]."),
)

_SHARED = (
    *_MEMORIES,
    click.option("--temporal-address", metavar="HOST:PORT", help="Temporal's frontend [127.0.0.1:7233]."),
    click.option("--temporal-namespace", metavar="NAME", help="Temporal's namespace [default]."),
    click.option("--temporal-task-queue", metavar="NAME", help="Task queue of the flushes [memsidecar-flush]."),
    click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[info]"),
    click.option("--log-format", type=click.Choice(["auto", "json", "console"]), help="auto: by the output [auto]."),
)

_SERVING = (
    click.option("--listen", metavar="HOST:PORT", help="Where Redis clients connect [127.0.0.1:6380]."),
    click.option("--http-listen", metavar="HOST:PORT", help="/metrics, /healthz, /readyz, /health [127.0.0.1:9464]."),
    click.option("--engine", type=click.Choice(["local", "temporal"]), help="What runs flushes [local]."),
    click.option("--workers", type=int, metavar="N", help="Processes that serve clients, one for each core [1]."),
)


def _with(*groups: tuple[Callable[..., Any], ...]) -> Callable[..., Any]:
    """Return a decorator that adds groups of options, shown in their order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed([option for group in groups for option in group]):
            function = option(function)
        return function

    return decorate


@cli.command()
@_with(_SERVING, _SHARED)
@click.option("--as-worker", hidden=True, help="For the supervisor of several processes: which of them this one is.")
def serve(as_worker: str | None, **options: Any) -> None:
    """Run the sidecar.

    It is a proxy in front of Redis that answers the MEM commands. Every option can also be set in the environment, as
    MEMSIDECAR_REDIS_URL and so on; docs/configuration.md has the settings that are rarely changed and have no option.
    """
    with _loading():
        from sidecar.logs import set_up_logs  # isort: skip # before anything else imports structlog

        from sidecar import app
        from sidecar.app.worker import Post
        from sidecar.config.loading import load_settings, log_level

        settings, definitions = load_settings(**options)
    level = log_level(settings, definitions)
    if as_worker is not None:
        post = Post.parse(as_worker)
        set_up_logs(level, settings.log_format, worker=post.number)
        _run(app.serve(settings, definitions, post))
    set_up_logs(level, settings.log_format)
    if settings.workers == 1:
        _run(app.serve(settings, definitions))
    # As we were started, whether by `python -m` or by a script.
    _run(app.supervise(settings, [sys.executable, *sys.orig_argv[1:]]))


@cli.command()
@_with(_SHARED)
def worker(**options: Any) -> None:
    """Run the Temporal worker.

    It executes the flushes that sidecars with the engine `temporal` start.
    """
    with _loading():
        from sidecar.logs import set_up_logs  # isort: skip # before anything else imports structlog

        from sidecar import app
        from sidecar.config.loading import load_settings, log_level

        settings, definitions = load_settings(**options)
    set_up_logs(log_level(settings, definitions), settings.log_format)
    _run(app.work(settings, definitions))


@cli.command()
@_with(_SERVING, _SHARED)
def check(**options: Any) -> None:
    """Say what is wrong with the configuration.

    Reads the settings, the definitions and what they name: certificates, a payload codec, the configuration of Temporal
    and of OpenTelemetry. Shows every problem at once, and connects to nothing.
    """
    from sidecar.app.checking import check as check_parts
    from sidecar.config.loading import load_settings
    from sidecar.net.endpoint import RedisEndpoint

    settings, definitions = load_settings(**options)
    check_parts(settings, definitions)
    click.echo(f"listen       {settings.listen}")
    click.echo(f"redis        {RedisEndpoint.parse(settings.redis_url)}")
    click.echo(f"flushes      {settings.engine}")
    for definition in definitions.by_id.values():
        most = ((definition.max_tokens, "tokens"), (definition.max_messages, "messages"))
        limits = " and ".join(f"{limit} {unit}" for limit, unit in most if limit is not None)
        limits = f"at most {limits}" if limits else "no limit"
        click.echo(f"definition   {definition.id}: {definition.encoding}, {limits}, {definition.flush.strategy}")
    click.echo("The configuration is fine.")


@cli.command()
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), default="-",
    help="Where to; - is standard output, the default.",
)  # fmt: skip
@_with(_MEMORIES)
def export(patterns: tuple[str, ...], output: Path, **options: Any) -> None:
    """Write memories as JSON lines.

    A PATTERN is a glob over definition:instance, as that of MEMLIST; without one, all memories of the project are
    written. It asks Redis itself; no sidecar need run.

    \b
      memsidecar export -o all.jsonl
      memsidecar export 'chat:*' notes:7 | gzip > some.jsonl.gz
    """
    from sidecar.app.transferring import export_memories
    from sidecar.config.loading import load_settings

    settings, definitions = load_settings(**options)

    async def work() -> None:
        done = await export_memories(settings, definitions, patterns or ("*",), output)
        click.echo(f"exported {_amount(done.memories, done.messages, done.tokens)}", err=True)

    _run_once(work())


@cli.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default="-")
@click.option(
    "--match", "patterns", metavar="PATTERN", multiple=True, help="Only these, a glob over definition:instance."
)
@click.option("--definition", metavar="ID", help="Put all memories under this definition.")
@click.option("--dry-run", is_flag=True, help="Check everything, and store nothing.")
@click.option(
    "--from", "source", type=click.Choice(["jsonl", "compozy"]), default="jsonl", show_default=True,
    help="What to read: FILE, or the lists of Compozy's Go engine on this Redis.",
)  # fmt: skip
@click.option("--from-project", metavar="NAME", help="Compozy's project, of the keys compozy:NAME:memory:…")
@click.option("--from-prefix", metavar="PREFIX", help="What the keys of the lists begin with, where it is not that.")
@_with(_MEMORIES)
def import_(
    file: Path,
    patterns: tuple[str, ...],
    definition: str | None,
    dry_run: bool,
    source: str,
    from_project: str | None,
    from_prefix: str | None,
    **options: Any,
) -> None:
    """Store memories that `memsidecar export` has written.

    FILE is an export; - is standard input, the default. Each memory is stored whole or not at all, where nothing is
    yet. Run again after whatever ended it, it goes on where it was, and passes over what is there.

    \b
      memsidecar import all.jsonl --dry-run
      memsidecar import --from compozy --from-project shop --definition chat
    """
    from sidecar.app.transferring import ImportOptions, import_memories
    from sidecar.config.loading import load_settings
    from sidecar.transfer.compozy import prefix_of

    named = from_prefix is not None, from_project is not None
    if source == "compozy" and (sum(named) != 1 or definition is None):
        raise click.UsageError("--from compozy needs --definition, and one of --from-project and --from-prefix")
    if source == "jsonl" and file == Path("-") and sys.stdin.isatty():
        raise click.UsageError("name a FILE, or pipe an export into it")
    if source == "jsonl" and any(named):
        raise click.UsageError("--from-project and --from-prefix go with --from compozy")
    prefix = prefix_of(from_project) if from_project is not None else from_prefix
    settings, definitions = load_settings(**options)
    wanted = ImportOptions(file, patterns or ("*",), definition, dry_run, prefix)

    async def work() -> None:
        done = await import_memories(settings, definitions, wanted)
        there = f"; {done.there:,} were there already" if done.there else ""
        dropped = f"; {done.dropped:,} messages are of roles that are not kept" if done.dropped else ""
        did = "would import" if dry_run else "imported"
        click.echo(f"{did} {_amount(done.memories, done.messages, done.tokens)}{there}{dropped}", err=True)

    _run_once(work())


def _amount(memories: int, messages: int, tokens: int) -> str:
    return f"{memories:,} memories with {messages:,} messages, {tokens:,} tokens"


def _run_once(work: Coroutine[Any, Any, None]) -> NoReturn:
    """Run what ends by itself; what is wrong with its data is said in a line."""
    from sidecar.errors import ReplyableError
    from sidecar.transfer.problems import TransferProblem

    try:
        _run(work)
    except TransferProblem as problem:
        raise click.ClickException(str(problem)) from problem
    except ReplyableError as problem:
        raise click.ClickException(problem.reply()) from problem


@cli.command()
@click.option("--port", type=int, default=6380, show_default=True, help="Where Redis clients connect.")
@click.option("--metrics-port", type=int, default=9464, show_default=True, help="/metrics, /healthz, /readyz.")
@click.option("--redis", "redis_url", metavar="URL", help="Use this Redis instead of starting one.")
@click.option("--redis-port", type=int, help="Port of the Redis that is started [any free one].")
@click.option("--temporal", "temporal_address", metavar="HOST:PORT", help="Use this Temporal instead of starting one.")
@click.option("--engine", type=click.Choice(["local", "temporal"]), help="What runs flushes [temporal if it is there].")
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes of the sidecar.")
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Keep all data here [nothing is kept].")
@click.option(
    "--definitions", "config", metavar="FILE", type=click.Path(path_type=Path), help="Memory definitions (YAML)."
)
def dev(**options: Any) -> None:
    """Run everything on this machine.

    Starts a Redis, a Temporal server, the sidecar and its worker, and shows where they are. Ctrl-C stops all of it.
    """
    import asyncio

    from sidecar.config.loading import load_settings
    from sidecar.dev.launcher import run_dev
    from sidecar.dev.plan import DevOptions

    load_settings(definitions=options["config"])  # so that mistakes are shown before anything starts
    code = asyncio.run(run_dev(DevOptions(**options)))
    if code:
        raise SystemExit(code)


@contextmanager
def _loading() -> Iterator[None]:
    """Look for no cycles while modules are loaded: what they make stays, and the searches took a fifth of the start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # or the next search, a moment later, would go through all of it after all
        gc.enable()


def _run(work: Coroutine[Any, Any, int | None]) -> NoReturn:
    """Run a process's main coroutine on uvloop, and leave with the code that it returns, or 0, when it has ended."""
    import uvloop

    from sidecar.logs import watch_event_loop

    async def to_the_end() -> NoReturn:
        watch_event_loop()
        _leave(
            await work or 0
        )  # the loop's own end would wait for threads that count tokens for clients that have gone

    problems: list[str] = []
    try:
        uvloop.run(to_the_end())
    except* ConfigurationError as wrong:
        problems = [problem for each in _leaves(wrong) for problem in each.problems]
    # Not within `except*`: Python 3.11.2, which is Debian 12's, would put it into a group, which nobody catches.
    raise ConfigurationError(problems)


def _leaves(group: BaseExceptionGroup[ConfigurationError]) -> list[ConfigurationError]:
    found: list[ConfigurationError] = []
    for each in group.exceptions:
        found += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found
