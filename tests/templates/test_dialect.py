"""Go's spelling in Jinja2's words."""

from __future__ import annotations

import time

import pytest

from sidecar.templates.dialect import to_jinja


@pytest.mark.parametrize(
    ("go", "jinja"),
    [
        ("{{ .a.b }}", "{{ a.b }}"),
        ("{{.a}}:{{ .b }}", "{{a}}:{{ b }}"),
        ('{{ .a | default "x y" }}', '{{ a | default("x y") }}'),
        ("{{ .a | replace `x` 'y' }}", "{{ a | replace('x', 'y') }}"),
        ("{{ .a | default .b.c | upper }}", "{{ a | default(b.c) | upper }}"),
        ("{{ .a | trunc -5 }}", "{{ a | trunc(-5) }}"),
        ("{{ a.b }}", "{{ a.b }}"),
        ("{{ a | default('x') }}", "{{ a | default('x') }}"),
        ("{{ .a['b.c'].d }}", "{{ a['b.c'].d }}"),
        ("{{ .a | default('.b') }}", "{{ a | default('.b') }}"),
        (". .a outside", ". .a outside"),
        ("{{- .a -}}", "{{- a -}}"),
        ('{{- .a | default "x" -}}', '{{- a | default("x") -}}'),
        ("{{ -5 }}", "{{ -5 }}"),
        ("{{ .äpfel.größe }}", "{{ äpfel.größe }}"),
        ("{{ .a['b'].0.c }}", "{{ a['b'].0.c }}"),
        ("{{ (.a).b }}", "{{ (a).b }}"),
        ("{{ ''.b }}", "{{ ''.b }}"),
        ("{{ a..b }}", "{{ a..b }}"),
        ("""{{ .a['b-c'].d | default "x" }}""", """{{ a['b-c'].d | default("x") }}"""),
        ("""{{ .a | default .b[ 'c' ][0] | upper }}""", """{{ a | default(b[ 'c' ][0]) | upper }}"""),
        ("{{ .a | default .b ['c'] }}", "{{ a | default b ['c'] }}"),
        ("{{ .a | default `x` | trunc(3) }}", "{{ a | default('x') | trunc(3) }}"),
        ("{{ .a | default(.b | trunc 3) }}", "{{ a | default(b | trunc(3)) }}"),
        (r"{{ `it's \n` }}", r"{{ 'it\'s \\n' }}"),
        ('{{ .a | replace "}}" "{{" }}{{ .b }}', '{{ a | replace("}}", "{{") }}{{ b }}'),
        ("{{ .a | default('}}') }}", "{{ a | default('}}') }}"),
        ("{{ .a", "{{ .a"),
        ("{{ '}} {{ .a }}", "{{ '}} {{ .a }}"),
    ],
)
def test_spelling(go: str, jinja: str) -> None:
    """Dots in front of names go, arguments of filters get parentheses; quotes and what is Jinja2's stay."""
    assert to_jinja(go) == jinja


@pytest.mark.parametrize("piece", ["{{", "{{ '", '\\"', "`'", " ", "| a ", "| a 'b' ", "a.", "-1 ", "[0]", ".a['b'] "])
@pytest.mark.parametrize("opening", ["{{ ", "{{ .a | default ", "{{ '"])
@pytest.mark.parametrize("end", ["", " ( }}"])
def test_time_grows_with_length_only(opening: str, piece: str, end: str) -> None:
    """No template of the greatest length holds the event loop up, however often it begins what it does not end."""
    template = opening + piece * (4_000 // len(piece)) + end
    started = time.process_time()
    to_jinja(template)
    assert time.process_time() - started < 0.05  # less than 0.005; a pattern that looks twice takes 0.2 and more
