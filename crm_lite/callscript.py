"""What to say: a campaign's script, filled in for the client on the line.

The text of config.yaml is Markdown with Jinja's `{{ name }}`, `{{ city }}`, `{% if product %}`. A value from a lead
file can be neither Markdown nor HTML: every punctuation mark of it is escaped before the Markdown is read, HTML is off,
and the sandbox gives a script no way out of its text.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from jinja2 import Template, Undefined
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markdown_it import MarkdownIt
from markupsafe import Markup

log = logging.getLogger(__name__)

#: Scripts kept compiled: campaigns times languages, with room for former versions.
SCRIPTS_KEPT_MAX: Final = 256
#: A filled script is cut here, whatever a lead file holds.
SCRIPT_CHARS_MAX: Final = 20_000
_PUNCTUATION: Final = re.compile(r"([!-/:-@\[-`{-~])")
_SPACES: Final = re.compile(r"\s+")
#: A line of tags alone leaves no line behind; a tag that ends a line of words leaves its end of line (a list needs it).
_TAGS_ALONE: Final = re.compile(r"^[ \t]*((?:\{%(?:(?!%\}).)*%\}[ \t]*)+)\n", re.MULTILINE)


class _Gap(Undefined):
    """A field that this lead has not: a gap to fill by ear."""

    def __str__(self) -> str:
        return "…"


def _plain(value: object) -> str:
    if isinstance(value, Undefined):
        return str(value)
    return _PUNCTUATION.sub(r"\\\1", _SPACES.sub(" ", str(value)))


_ENVIRONMENT: Final = ImmutableSandboxedEnvironment(undefined=_Gap, finalize=_plain, autoescape=False)
_MARKDOWN: Final = MarkdownIt("js-default", {"html": False, "linkify": False}).disable(["image", "link", "autolink"])


@lru_cache(SCRIPTS_KEPT_MAX)
def _template(text: str) -> Template:
    return _ENVIRONMENT.from_string(_TAGS_ALONE.sub(r"\1", text))


def filled_in(text: str, values: Mapping[str, str]) -> Markup:
    """The script as HTML. One that cannot be filled in is shown as it stands: the operator still knows what to say."""
    try:
        said = _template(text).render({name: value for name, value in values.items() if value})
    except (TemplateError, ArithmeticError, TypeError, ValueError, AttributeError, LookupError) as error:
        log.warning("script_not_filled_in", extra={"action": "script", "error": str(error)})
        said = text
    tokens = _MARKDOWN.parse(said[:SCRIPT_CHARS_MAX])
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = "h3"  # the page has its own headings above
    return Markup(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))  # noqa: S704 - Markdown with HTML off
