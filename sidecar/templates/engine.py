"""Renders key templates: names, filters and nothing else, so that there is nothing to escape from.

A template is Jinja2 whose tree may hold only names, constants and filters (`_value`): no calls, no statements. Jinja2
parses; what it means is evaluated here, with values from the context alone (`lookup`) and never from attributes of
Python objects.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sidecar.errors import TemplateProblem
from sidecar.templates.dialect import to_jinja
from sidecar.templates.filters import FILTERS, MAX_CHARACTERS, text
from sidecar.templates.lookup import Found, Missing, item

MAX_TEMPLATE_CHARACTERS = 4_096
"""Longest template: a key that is rendered has at most 256 bytes."""

MAX_COMPILED = 1_024
"""Templates kept compiled, about 2 kB each: an application has a few. The one that was not used longest goes first."""

MAX_COMPILED_CHARACTERS = 128 * 1024
"""Characters of all templates that are kept. The worst ones, `{{a}}{{a}}…`, take 50 bytes for each when compiled."""

MAX_DEPTH = 64
"""Deepest expression. Python compiles about a thousand levels, on a stack that may be in use already."""

MAX_INTEGER_BITS = 64
"""Largest whole number that a template may hold. Python refuses to show one of thousands of digits."""


class TemplateEngine:
    """Renders templates, each compiled once.

    Args:
        max_compiled: templates that are kept.
    """

    def __init__(self, *, max_compiled: int = MAX_COMPILED) -> None:
        self._max_compiled = max_compiled
        # A line end at the end is no part of a valid key, and is to be told, not dropped.
        self._environment = ImmutableSandboxedEnvironment(keep_trailing_newline=True)
        self._compiled: OrderedDict[str, Parts] = OrderedDict()
        self._compiled_characters = 0

    @property
    def compiled(self) -> int:
        """Templates that are kept now."""
        return len(self._compiled)

    def render(self, template: str, context: Mapping[str, Any]) -> str:
        """Return a template with the values of a context in it.

        Raises:
            TemplateProblem: it is no template, names what the context lacks, or makes too long a text.
        """
        parts = self._compiled.get(template)
        if parts is None:
            parts = self.compile(template)
            self._keep(template, parts)
        else:
            self._compiled.move_to_end(template)
        root = Found(context, "")
        pieces, length = [], 0
        for part in parts:
            piece = part if isinstance(part, str) else text(part(root))
            length += len(piece)
            if length > MAX_CHARACTERS:
                raise TemplateProblem(f"it makes more than {MAX_CHARACTERS} characters")
            pieces.append(piece)
        return "".join(pieces)

    def _keep(self, template: str, parts: Parts) -> None:
        self._compiled[template] = parts
        self._compiled_characters += len(template)
        while len(self._compiled) > self._max_compiled or self._compiled_characters > MAX_COMPILED_CHARACTERS:
            oldest, _ = self._compiled.popitem(last=False)
            self._compiled_characters -= len(oldest)

    def compile(self, template: str) -> Parts:
        """Return the parts of a template: text as it is, and what gives a value for a context.

        Raises:
            TemplateProblem: it is no template, or asks for more than names and filters.
        """
        if len(template) > MAX_TEMPLATE_CHARACTERS:
            raise TemplateProblem(f"it has {len(template)} characters; at most {MAX_TEMPLATE_CHARACTERS} are allowed")
        if "{%" in template or "{#" in template:
            raise TemplateProblem("only {{ … }} is known here; statements {% … %} and comments {# … #} are not")
        try:
            tree = self._environment.parse(to_jinja(template))
        except TemplateError as problem:
            raise TemplateProblem(f"it cannot be read: {problem.message}") from None
        except RecursionError:
            raise TemplateProblem("it is nested too deeply") from None
        return [part for each in tree.body for part in _parts(each)]


Value = Callable[[Found], object]
Parts = list[str | Value]


def _parts(node: nodes.Node) -> Parts:
    if not isinstance(node, nodes.Output):
        raise _refused(node)
    return [each.data if isinstance(each, nodes.TemplateData) else _value(each, MAX_DEPTH) for each in node.nodes]


def _value(node: nodes.Node, depth: int) -> Value:
    """Return what gives the value of an expression."""
    if not depth:
        raise TemplateProblem(f"it is nested more than {MAX_DEPTH} levels deep")
    match node:
        case nodes.Const(value=constant) if constant is None or isinstance(constant, str | int | float | bool):
            _check(constant)
            return lambda _: constant
        case nodes.Neg(node=nodes.Const(value=int(number))) if not isinstance(number, bool):
            _check(number)
            return lambda _: -number
        case nodes.Name(name=name):
            return lambda root: _named(root, name)
        case nodes.Getattr(node=inner, attr=name):
            container = _value(inner, depth - 1)
            return lambda root: item(container(root), name)
        case nodes.Getitem(node=inner, arg=nodes.Const(value=key)) if isinstance(key, str) or type(key) is int:
            _check(key)
            container = _value(inner, depth - 1)
            return lambda root: item(container(root), key)
        case nodes.Filter(node=inner, name=name) if inner is not None:
            return _filtered(node, inner, name, depth)
        case _:
            raise _refused(node)


def _check(constant: object) -> None:
    """Raise for a constant that no reply could show."""
    if isinstance(constant, int) and constant.bit_length() > MAX_INTEGER_BITS:
        raise TemplateProblem(f"it holds a whole number of more than {MAX_INTEGER_BITS} bits; write it in quotes")
    if isinstance(constant, str) and any("\ud800" <= character <= "\udfff" for character in constant):
        raise TemplateProblem("it holds an escape \\ud800 to \\udfff, which is half a character; write the whole one")


def _named(root: Found, name: str) -> Found | Missing:
    value = root.value
    return Found(value[name], name) if name in value else Missing(name)


def _filtered(node: nodes.Filter, inner: nodes.Node, name: str, depth: int) -> Value:
    function = FILTERS.get(name)
    if function is None:
        raise TemplateProblem(f"there is no filter '{name}'; use one of {', '.join(FILTERS)}")
    if node.kwargs or node.dyn_args or node.dyn_kwargs:
        raise TemplateProblem(f"the filter {name} takes its arguments by place, such as trunc(8)")
    subject = _value(inner, depth - 1)
    arguments = [_value(each, depth - 1) for each in node.args]
    least, most = _ARGUMENTS[name]
    if not least <= len(arguments) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise TemplateProblem(f"the filter {name} takes {wanted} arguments, not {len(arguments)}")
    return lambda root: function(subject(root), *(each(root) for each in arguments))


_ARGUMENTS = {
    "default": (1, 1), "lower": (0, 0), "upper": (0, 0), "trim": (0, 0), "replace": (2, 2), "join": (0, 1),
    "trunc": (1, 1),
}  # fmt: skip


def _refused(node: nodes.Node) -> TemplateProblem:
    return TemplateProblem(
        f"{type(node).__name__} is not allowed; a template has names such as {{{{ workflow.id }}}} and the filters "
        f"{', '.join(FILTERS)}"
    )
