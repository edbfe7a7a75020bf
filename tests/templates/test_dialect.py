"""Go's spelling in Jinja2's words."""

from __future__ import annotations

import pytest

from sidecar.templates.dialect import to_jinja


@pytest.mark.parametrize(
    ("go", "jinja"),
    [
        ("{{ .a.b }}", "{{ a.b }}"),
        ("{{.a}}:{{ .b }}", "{{ a }}:{{ b }}"),
        ('{{ .a | default "x y" }}', '{{ a | default("x y") }}'),
        ("{{ .a | replace `x` 'y' }}", "{{ a | replace('x', 'y') }}"),
        ("{{ .a | default .b.c | upper }}", "{{ a | default(b.c) | upper }}"),
        ("{{ .a | trunc -5 }}", "{{ a | trunc(-5) }}"),
        ("{{ a.b }}", "{{ a.b }}"),
        ("{{ a | default('x') }}", "{{ a | default('x') }}"),
        ("{{ .a['b.c'].d }}", "{{ a['b.c'].d }}"),
        ("{{ .a | default('.b') }}", "{{ a | default('.b') }}"),
        (". .a outside", ". .a outside"),
        ("{{- .a -}}", "{{ a }}"),
    ],
)
def test_spelling(go: str, jinja: str) -> None:
    """Dots in front of names go, arguments of filters get parentheses; quotes and what is Jinja2's stay."""
    assert to_jinja(go) == jinja
