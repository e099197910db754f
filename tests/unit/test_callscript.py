"""A script speaks of the client on the line, and a hostile lead file cannot make it say anything else."""

from __future__ import annotations

from pathlib import Path

from crm_lite.callscript import filled_in
from engine.config import Loaded, parse
from tests.fakes.office import CONFIG


def test_a_script_is_filled_in_with_what_is_known_of_the_lead() -> None:
    said = filled_in(
        "# Hello {{ name }}\n{% if city %}From **{{ city }}**?{% endif %}", {"name": "Петро", "city": "Київ"}
    )
    assert said == "<h3>Hello Петро</h3>\n<p>From <strong>Київ</strong>?</p>\n"


def test_a_list_keeps_its_lines_where_one_ends_with_a_tag_and_loses_those_of_tags_alone() -> None:
    script = "1. {% if city %}From {{ city }}?{% endif %}\n{% if product %}\n2. Of {{ product }}.\n{% endif %}\n3. Bye."
    said = filled_in(script, {"city": "Київ", "product": "water"})
    assert said == "<ol>\n<li>From Київ?</li>\n<li>Of water.</li>\n<li>Bye.</li>\n</ol>\n"


def test_what_is_not_known_is_a_gap() -> None:
    assert filled_in("Hello {{ name }}, {{ product }}", {"name": ""}) == "<p>Hello …, …</p>\n"


def test_a_value_is_neither_markdown_nor_html_nor_a_template() -> None:
    said = filled_in("{{ name }}", {"name": "<b>x</b> **y** [z](javascript:1)\n# h {{ 7*7 }}"})
    assert said == "<p>&lt;b&gt;x&lt;/b&gt; **y** [z](javascript:1) # h {{ 7*7 }}</p>\n"


def test_a_script_has_no_way_out_of_its_text() -> None:
    assert "&lt;class" not in filled_in("{{ ''.__class__.__mro__ }}", {})
    assert filled_in("{{ 1 / 0 }} still here", {}).endswith("still here</p>\n")
    assert "<script" not in filled_in("<script>alert(1)</script> ![x](http://x) [y](http://y)", {})


def test_a_mistake_in_a_script_is_found_with_the_configuration() -> None:
    broken = parse(CONFIG.replace("# Hello, {{ name }}", "# Hello, {{ nmae }} {% if"), Path("config.yaml"))
    assert not isinstance(broken, Loaded)
    unknown = parse(CONFIG.replace("# Hello, {{ name }}", "# Hello, {{ nmae }}"), Path("config.yaml"))
    assert not isinstance(unknown, Loaded)
    assert "did you mean name?" in str(unknown)
