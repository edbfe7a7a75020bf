"""A run against the peers for people: tables for the terminal (rich) and as Markdown, from the same cells.

What a memory guarantees stands beside its figure: a rate without it would compare different services.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.client import GENERATOR
from benchmarks.peers.books import Account
from benchmarks.peers.catalogue import LEFT_OUT, OWN, OWN_GENERATOR, Peer
from benchmarks.peers.runner import PeersReport
from benchmarks.peers.work import Findings, Reading
from benchmarks.results import CaseResult, ContenderResult
from benchmarks.robust import Spread, paired_ratios, spread
from benchmarks.scenario import MEMSIDECAR
from benchmarks.stage import REDIS
from benchmarks.tables import conditions

NOTHING = "-"

LEGEND = (
    "Medians of all rounds, with minimum and maximum in brackets. `memsidecar : it` and `load generator : it` are "
    "ratios of rates within each round: memsidecar with the same kind of redis-py client, and with the load generator, "
    "which leaves the client's cost out. µs are CPU time per message or read: of the clients' processes, of memsidecar "
    "where it takes part, and of Redis. `CPU time it : memsidecar / : load generator` compares these sums, which "
    "depend less than rates on what else the machine does."
)

FEW = 10
"""Numbers below it are shown with two decimals, and from 1,000 on with none."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table: its title, headings and rows."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def for_terminal(report: PeersReport) -> RenderableType:
    """Return the report as rich shows it."""
    parts: list[RenderableType] = []
    for sheet in sheets(report):
        table = Table(title=sheet.title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for heading in sheet.head:
            table.add_column(heading, overflow="fold")  # a name must not lose its end
        for row in sheet.rows:
            table.add_row(*map(Text, row), style="cyan" if row[0].startswith(MEMSIDECAR) else "")
        parts += [table, Text("")]
    parts += [Text(line) for line in [*_promises(report), "", *_left_out(), *_notes(report)]]
    return Group(*parts, Text(LEGEND, style="dim"), Text(conditions(report.report), style="dim"))


def for_markdown(report: PeersReport) -> str:
    """Return the report as Markdown."""
    lines = [conditions(report.report), "", LEGEND]
    for sheet in sheets(report):
        lines += ["", f"### {sheet.title}", "", _line(sheet.head), _line(["---"] * len(sheet.head))]
        lines += [_line(row) for row in sheet.rows]
    lines += ["", "### Promises, and what to know", ""]
    lines += [f"- {line}" for line in [*_promises(report), *_notes(report), *_left_out()]]
    return "\n".join(lines) + "\n"


def sheets(report: PeersReport) -> Iterator[Sheet]:
    """Return the tables: one for each kind of work, and one that says who took part."""
    for result in report.report.cases:
        yield _sheet(result, report.findings[result.case.name], report.peers)
    yield Sheet(
        "Who took part",
        ["memory", "driven by", "packages", "class, and what its guarantees were read in"],
        [[peer.name, peer.client, _versions(report.versions[peer.name]), peer.source] for peer in report.peers],
    )


def _sheet(result: CaseResult, findings: Findings, peers: Sequence[Peer]) -> Sheet:
    reads = bool(findings.readings)
    one = result.case.parameters.get("writers") == 1
    own_columns = (
        ["returned", "token counts", "budget of tokens"]
        if reads
        else ["append is atomic", "repeats are noticed"]
        if one
        else ["acknowledged / lost / doubled / out of order", "order", "several writers"]
    )
    head = [
        "memory",
        "reads/s" if reads else "messages/s",
        "memsidecar : it",
        "load generator : it",
        "p50 ms",
        "p99 ms",
    ]
    head += ["µs client + memsidecar + Redis", "CPU time it : memsidecar / : load generator", *own_columns]
    guarantees = {peer.name: peer.guarantees for peer in peers} | {OWN_GENERATOR: OWN["redis-py"].guarantees}
    rows = []
    for contender in result.contenders:
        name, promised = contender.name, guarantees[contender.name]
        if reads:
            own_cells = [_returned(findings.readings.get(name)), promised.counts, promised.budget]
        elif one:
            own_cells = [promised.atomic, promised.repeats]
        else:
            own_cells = [_account(findings.accounts.get(name)), promised.order, promised.writers]
        rows.append([name, *_figures(result, contender, peers), *own_cells])
    return Sheet(f"{result.case.scenario}: {result.case.name}", head, rows)


def _figures(result: CaseResult, contender: ContenderResult, peers: Sequence[Peer]) -> list[str]:
    ratios = {
        ratio.comparison.subject: ratio.spread
        for ratio in result.compared()
        if ratio.comparison.reference == contender.name
    }
    # memsidecar is not compared with itself.
    client = next((peer.client for peer in peers if peer.name == contender.name and ratios), None)
    subjects = [OWN[client].name, OWN_GENERATOR] if client else []
    by_name = {each.name: each for each in result.contenders}
    costs = [_cost_ratio(contender, by_name[subject]) for subject in subjects]
    return [
        _spread(contender.rate),
        *([_spread(ratios[subject]) for subject in subjects] or [NOTHING, NOTHING]),
        _spread(contender.latency("p50_ms")),
        _spread(contender.latency("p99_ms")),
        _processor_time(contender),
        " / ".join(costs) or NOTHING,
    ]


def _cost_ratio(peer: ContenderResult, own: ContenderResult) -> str:
    """Return the median of the ratios of CPU time in all processes; only Linux tells that of Redis."""
    if any(REDIS not in sample.cpu_s for each in (peer, own) for sample in each.rounds):
        return NOTHING
    theirs, ours = ([sum(each.cpu_s.values()) / each.requests for each in one.rounds] for one in (peer, own))
    return _number(spread(paired_ratios(theirs, ours)).median)


def _processor_time(contender: ContenderResult) -> str:
    spent = [each for process in (GENERATOR, MEMSIDECAR, REDIS) if (each := contender.cpu_us(process)) is not None]
    return f"{' + '.join(f'{each:,.0f}' for each in spent)} = {sum(spent):,.0f}"


def _account(accounts: Sequence[Account] | None) -> str:
    """Return the sums over all rounds; the load generator keeps no books."""
    if accounts is None:
        return NOTHING
    sums = [
        sum(getattr(account, name) for account in accounts)
        for name in ("acknowledged", "lost", "duplicated", "misplaced")
    ]
    return " / ".join(f"{number:,}" for number in sums)


def _returned(readings: Sequence[Reading] | None) -> str:
    if readings is None:
        return NOTHING
    last = readings[-1]
    return f"{last.messages:,} messages, {last.tokens:,} tokens"


def _spread(values: Spread | None) -> str:
    if values is None:
        return NOTHING
    return f"{_number(values.median)} ({_number(values.least)}-{_number(values.most)})"


def _number(value: float) -> str:
    return f"{value:.2f}" if value < FEW else f"{value:,.0f}" if value >= 1_000 else f"{value:.1f}"


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _promises(report: PeersReport) -> Iterator[str]:
    for promise in report.promises():
        yield f"{promise.text}: {_number(promise.found)}, {'kept' if promise.kept else 'NOT kept'}"


def _notes(report: PeersReport) -> Iterator[str]:
    for peer in report.peers:
        if peer.note is not None:
            yield f"{peer.name} {peer.note}."


def _left_out() -> Iterator[str]:
    for each in LEFT_OUT:
        yield f"Left out: {each.name}: {each.why}."


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
