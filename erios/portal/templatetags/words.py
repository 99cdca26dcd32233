"""Filters of the templates: the rules' words and numbers as people read them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.translation import ngettext

from erios.governance import words

register = template.Library()


@register.simple_tag
def script(path: str) -> str:
    """A script of ours, from its file: none stands in a page."""
    return format_html('<script src="{}" defer></script>', static(path))


@register.filter
def word(name: str) -> str:
    """The name of a state, action, role or opinion."""
    return words.word(str(name))


@register.filter
def word_list(names: Any) -> str:
    """Several names, with commas."""
    return ", ".join(word(name) for name in names)


@register.filter
def slug(name: str) -> str:
    """A name as part of a class or an address."""
    return str(name).replace(" ", "-")


@register.filter
def fine(text: str) -> str:
    """A text whose French double signs do not stray from their words at the end of a line."""
    return re.sub(r" (?=[;:!?»])|(?<=«) ", "\u00a0", text)


@register.filter
def days(age: timedelta) -> str:
    """An age in days."""
    count = age.days
    return ngettext("%d jour", "%d jours", count) % count


@register.filter
def field(mapping: Any, name: str) -> Any:
    """A value of a mapping by its key."""
    return mapping.get(name, "") if mapping else ""


@register.filter
def joined(first: str, second: str) -> str:
    """Two texts with a colon between them, as the names of form fields are made."""
    return f"{first}:{second}"


@register.filter
def spaced(number: Any) -> str:
    """A whole number with thin spaces between thousands."""
    return "–" if number is None else f"{number:,}".replace(",", "\u202f")


@register.filter
def times(number: float, factor: float) -> str:
    """A product, with a point, for the measures of a picture."""
    return f"{number * factor:.1f}"
