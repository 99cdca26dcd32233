"""HTML that a notebook shows: what looks stays; what runs, calls or leads away does not."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.workspaces.shown_output import MOST_HTML, clean_data, clean_html

AWAY = [
    "<script>fetch('//evil')</script>",
    "<img src=x onerror=alert(1)>",
    "<img src='http://evil.example.org/a.png'>",
    "<img src='//evil.example.org/a.png'>",
    "<img srcset='http://evil.example.org/a.png 1x'>",
    "<link rel=dns-prefetch href='//data.evil.example.org'>",
    "<link rel=preconnect href='http://evil.example.org'>",
    "<meta http-equiv=refresh content='0; url=http://evil.example.org'>",
    "<base href='http://evil.example.org/'>",
    "<a href='http://evil.example.org' ping='http://evil.example.org'>a</a>",
    "<a href='javascript:alert(1)'>a</a>",
    "<form action='http://evil.example.org'><input name=a><button>b</button></form>",
    "<iframe src='http://evil.example.org'></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data='http://evil.example.org'></object>",
    "<embed src='http://evil.example.org'>",
    "<video src='http://evil.example.org' autoplay></video>",
    "<svg><script>alert(1)</script><use href='http://evil.example.org#a'/></svg>",
    "<svg><a xlink:href='javascript:alert(1)'><text>a</text></a></svg>",
    "<math><mi xlink:href='javascript:alert(1)'>a</mi></math>",
    "<div style='background:url(http://evil.example.org)'>a</div>",
    "<div style='background-color:url(http://evil.example.org)'>a</div>",
    "<div style='width: expression(alert(1))'>a</div>",
    "<style>@import 'http://evil.example.org';</style>",
    "<style>a{background:url(http://evil.example.org)}",
    "<style><img src=x onerror=alert(1)></style>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<table background='http://evil.example.org'><tr><td>a</td></tr></table>",
    "<body onload=alert(1)>",
    "<!--[if IE]><script>alert(1)</script><![endif]-->",
    "<<script>script>alert(1)<</script>/script>",
    "<st<style></style>yle>@import 'http://evil.example.org'</style>",
    "<template><script>alert(1)</script></template>",
    "<img src='data:text/html,<script>alert(1)</script>' onload=alert(1)>",
    "<details open ontoggle=alert(1)>a</details>",
    "<p id=jupyter-config-data>{}</p>",
]
TAG = re.compile(r"<[a-z][^>]*>", re.IGNORECASE)
CALLS = re.compile(
    r"<(script|link|meta|base|a|form|input|button|iframe|object|embed|video|audio|svg|math|style|template|body)\b"
    r"|\son\w+\s*=|https?:|//|url\(|javascript:|expression\(|\sid=",
    re.IGNORECASE,
)


@pytest.mark.parametrize("html", AWAY)
def test_what_runs_calls_or_leads_away_is_gone(html: str) -> None:
    tags = TAG.findall(clean_html(f"<b>before</b>{html}<b>after</b>"))
    assert [tag for tag in tags if CALLS.search(tag)] == []
    assert tags[:1] == ["<b>"]


PIECES = [*AWAY, "<", ">", "</", "'", '"', "<!--", "-->", "<b>", "&lt;", " ", "\0"]


@given(st.lists(st.sampled_from(PIECES), max_size=6))
def test_nor_does_a_mixture_bring_it_back(pieces: list[str]) -> None:
    cleaned = clean_html("".join(pieces))
    assert [tag for tag in TAG.findall(cleaned) if CALLS.search(tag)] == []
    assert [tag for tag in TAG.findall(clean_html(cleaned)) if CALLS.search(tag)] == []


def test_a_table_of_pandas_is_a_table_still() -> None:
    shown = clean_html(str(import_module("pandas").DataFrame({"a": [1, 2]})._repr_html_()))
    assert shown.count("<tr") == 3
    assert "dataframe" in shown
    assert "tbody tr th" not in shown


@pytest.mark.parametrize("piece", ["<b>", "<div>", "<b><p>", "<table><b>", "<p><b class=a>", "<B>", "<x-y>"])
def test_html_that_is_deep_is_not_looked_through(piece: str) -> None:
    assert clean_data({"text/html": f"<p>a</p>{piece * 1000}", "text/plain": "x"}) == {"text/plain": "x"}


def test_html_that_is_too_long_is_not_looked_through() -> None:
    assert clean_data({"text/html": "x" * (MOST_HTML + 1), "text/plain": "x"}) == {"text/plain": "x"}
    assert clean_data({"text/html": ["<b>", "a</b>"]}) == {"text/html": "<b>a</b>"}
    assert clean_data("no data") == {}
