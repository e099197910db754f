"""The rules of the house that a machine can check. Each check takes a source and returns the slips it sees.

A slip reads `line: what, and what to do instead`. `tests/unit/test_house.py` runs the checks over the repository and
proves that each one catches what it is there for.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

# --- who may import whom (ARCHITECTURE.md, "Layers") ------------------------------------------------------------------

CORE_STDLIB = frozenset(
    {
        "__future__",
        "abc",
        "bisect",
        "collections",
        "dataclasses",
        "datetime",
        "decimal",
        "enum",
        "fractions",
        "functools",
        "heapq",
        "itertools",
        "math",
        "operator",
        "re",
        "statistics",
        "struct",
        "types",
        "typing",
        "zoneinfo",
    }
)
FLOORLESS = ("engine.core", "engine.backoff", "engine.bell", "engine.clock", "engine.switch")  # what adapters may know
WORDS = ("engine.messages", "engine.phones")
SHELL = (
    *FLOORLESS,
    "engine.store",
    "engine.driver",
    "engine.timers",
    "engine.hub",
    "engine.api",
    "engine.metrics",
)
WIRING = ("engine", "crm_lite", "dialplan", "asterisk")

MAY_IMPORT: dict[str, tuple[str, ...]] = {  # longest prefix wins; a layer may always import itself
    "engine.cli": WIRING,
    "engine.app": WIRING,
    "engine.demo": WIRING,
    "engine.telephony": WIRING,
    "engine.core": (),
    "engine.backoff": (),
    "engine.bell": (),
    "engine.clock": (),
    "engine.messages": (),
    "engine.logs": (),
    "engine.switch": ("engine.core",),
    "engine.numberplan": (),
    "engine.phones": ("engine.core", "engine.messages", "engine.numberplan"),
    "engine.config": ("engine.core", *WORDS),
    "engine.ari": FLOORLESS,
    "engine.ami": FLOORLESS,
    "engine.sim": (*FLOORLESS, "engine.api"),  # its agents press the desk's buttons
    "engine.sim.disk": (*FLOORLESS, "engine.sim", "engine.store"),
    "engine.sim.shift": (*SHELL, "engine.sim", "engine.recorder", "engine.verify"),  # the whole engine
    "engine.sim.__main__": (*SHELL, "engine.sim"),
    "engine.recorder": ("engine.core",),
    "engine.store": FLOORLESS,
    "engine.leads": (*FLOORLESS, *WORDS, "engine.config", "engine.store"),
    "engine.verify": (*FLOORLESS, "engine.store", "engine.phones"),
    "engine.explain": ("engine.core", "engine.store", "engine.phones"),
    "engine.moments": ("engine.core",),
    "engine.booking": ("engine.core", "engine.store"),
    "engine.orderbook": ("engine.core", "engine.store"),
    "engine.handout": ("engine.core", "engine.store", "engine.phones"),
    "engine.driver": SHELL,
    "engine.timers": SHELL,
    "engine.hub": SHELL,
    "engine.api": SHELL,
    "engine.metrics": ("engine.core",),
    "engine.window": ("engine.api",),
    "engine.recordings": ("engine.clock",),
    "crm_lite": (
        "engine.api",
        "engine.store",
        "engine.clock",
        "engine.config",
        "engine.explain",
        "engine.booking",
        "engine.handout",
        "engine.moments",
        "engine.orderbook",
        "engine.leads",
        *WORDS,
        "engine.core.model",  # values
        "engine.core.events",  # commands to the engine
        "engine.core.effects",  # and its notices; never what decides
    ),
    "dialplan.agi": ("engine.store", "engine.config", "engine.phones", "engine.clock", "engine.core"),
}
OURS = ("engine", "crm_lite", "dialplan", "asterisk", "bench", "tests", "scripts")


def within(module: str, prefix: str) -> bool:
    """Is `module` the package `prefix` or inside it?"""
    return module == prefix or module.startswith(prefix + ".")


def layer_of(module: str) -> str | None:
    """The layer a module of ours stands in."""
    return max((layer for layer in MAY_IMPORT if within(module, layer)), key=len, default=None)


def imports(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """(line, imported module) for every import, relative ones resolved; `from a import b` counts as `a.b` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                drop = node.level - (1 if is_package else 0)
                parent = module.split(".")[: len(module.split(".")) - drop]
                base = ".".join([*parent, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def layering(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """Imports that the layer of `module` may not make."""
    layer = layer_of(module)
    if layer is None:
        return [f"1: {module} stands in no layer; name it in MAY_IMPORT (tests/house.py) and in ARCHITECTURE.md"]
    allowed = (*MAY_IMPORT[layer], layer)
    slips = []
    for line, name in imports(ast.parse(source), module, is_package=is_package):
        ours = name.split(".")[0] in OURS
        if ours and not any(within(name, prefix) for prefix in allowed):
            slips.append(f"{line}: {layer} may not import {name}")
        elif layer == "engine.core" and not ours and name.split(".")[0] not in CORE_STDLIB:
            slips.append(f"{line}: the core may not import {name}; time, ids, chance and I/O are arguments or effects")
    return slips


# --- purity of the core -----------------------------------------------------------------------------------------------

IMPURE_NAMES = frozenset({"open", "print", "input", "exec", "eval", "__import__", "breakpoint", "id", "hash"})
IMPURE_METHODS = frozenset({"now", "utcnow", "today", "fromtimestamp"})  # fromtimestamp without tz reads the local zone


def impurity(source: str) -> list[str]:
    """What the core may not do: wait, look at a clock, read, write or print."""
    slips = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            slips.append(f"{node.lineno}: the core does not wait (async)")
        elif isinstance(node, ast.Global):
            slips.append(f"{node.lineno}: the core keeps no module state (global)")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_NAMES:
            slips.append(f"{node.lineno}: {node.func.id}() makes two runs differ or touches the outside")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in IMPURE_METHODS:
            zone_given = node.func.attr == "fromtimestamp" and (len(node.args) > 1 or node.keywords)
            if not zone_given:
                slips.append(f"{node.lineno}: {ast.unparse(node.func)}() looks at the clock or zone; take now_ms")
    return slips


# --- concurrency, limits, errors --------------------------------------------------------------------------------------


def loose_tasks(source: str) -> list[str]:
    """Tasks without a TaskGroup as parent or without a name."""
    slips = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        if called not in {"create_task", "ensure_future", "run_coroutine_threadsafe"}:
            continue
        parent = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        if called != "create_task" or not parent.split(".")[-1].endswith(("group", "tasks")):
            slips.append(f"{node.lineno}: {ast.unparse(node.func)}(): a task needs a TaskGroup (group.create_task)")
        elif not any(keyword.arg == "name" for keyword in node.keywords):
            slips.append(f"{node.lineno}: a task needs a name=")
    return slips


def endless_queues(source: str) -> list[str]:
    """Queues without a limit that has a name."""
    slips = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1].endswith("Queue")):
            continue
        limits = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "maxsize")]
        named = any(re.search(r"(_MAX|limit)$", ast.unparse(limit)) for limit in limits)
        if ast.unparse(node.func).split(".")[-1] in {"Queue", "LifoQueue", "PriorityQueue"} and not named:
            slips.append(f"{node.lineno}: {ast.unparse(node.func)}() needs a limit with a name (…_MAX)")
    return slips


def swallowed_errors(source: str) -> list[str]:
    """Handlers that drop an error: any error at all, or a named one without the reason beside it."""
    remarks = {
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    slips = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "suppress":
            if any(ast.unparse(argument) in {"Exception", "BaseException"} for argument in node.args):
                slips.append(f"{node.lineno}: suppress(Exception) hides our own bugs; name what is expected")
        elif isinstance(node, ast.ExceptHandler):
            if node.type is None:
                slips.append(f"{node.lineno}: bare except also catches cancellation; name what is expected")
            empty = all(
                isinstance(step, ast.Pass)
                or (isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant) and step.value.value is ...)
                for step in node.body
            )
            broad = node.type is not None and ast.unparse(node.type) in {"Exception", "BaseException"}
            reasons = set(range(node.lineno, node.body[-1].lineno + 1)) & remarks
            if empty and (broad or not reasons):
                slips.append(f"{node.lineno}: an error passed over in silence; name it and say why it is harmless")
    return slips


# --- SQL --------------------------------------------------------------------------------------------------------------

SQL = re.compile(
    r"\s*(SELECT\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|REPLACE\s+INTO\s|WITH\s+\w+\s+AS\s*\(|"
    r"CREATE\s+(TABLE|INDEX|TRIGGER)\s|ALTER\s+TABLE\s|DROP\s+(TABLE|INDEX)\s)"
)


def glued_sql(source: str) -> list[str]:
    """SQL made by gluing strings: values go in as parameters, statements live in .sql files."""
    slips = []
    for node in ast.walk(ast.parse(source)):
        first: ast.expr | None = None
        if isinstance(node, ast.JoinedStr) and any(isinstance(part, ast.FormattedValue) for part in node.values):
            first = node.values[0]
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
            first = node.left
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            first = node.func.value
        if isinstance(first, ast.Constant) and isinstance(first.value, str) and SQL.match(first.value):
            slips.append(f"{first.lineno}: SQL glued together; pass values as parameters")
    return slips


# --- tests ------------------------------------------------------------------------------------------------------------

POLLERS = frozenset({"eventually", "until", "poll"})


def sleeps(source: str) -> list[str]:
    """Sleeps in tests; only a poller (`eventually`) may pause between two looks."""
    tree = ast.parse(source)
    polling = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.strip("_") in POLLERS
        for inner in ast.walk(node)
    }
    slips = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node not in polling:
            yields_only = len(node.args) == 1 and ast.unparse(node.args[0]) == "0"
            if ast.unparse(node.func) in {"time.sleep", "asyncio.sleep", "sleep"} and not yields_only:
                slips.append(f"{node.lineno}: a test does not sleep; poll an assertion with a deadline")
    return slips


# --- any tracked text -------------------------------------------------------------------------------------------------


def _host(*parts: str) -> str:
    # In pieces, so that this file does not hold what it looks for.
    return re.escape(".".join(parts))


FOREIGN = {
    "an address of a package registry or mirror": re.compile(
        "|".join(
            [
                _host("pypi", "org"),
                _host("pythonhosted", "org"),
                _host("npmjs", "org"),
                _host("npmjs", "com"),
                r"(deb|ftp|ftp\.\w\w|security|snapshot|archive)\." + _host("debian", "org"),
                r"(cdn\.)?" + _host("jsdelivr", "net"),
                _host("unpkg", "com"),
            ]
        )
    ),
    "a path of one machine": re.compile(
        r"(?<![\w./$}~-])/(work|root|Users)/\w|(?<![\w./$}~-])/home/\w+/|\.py" + "env/"
    ),
    "an issue number": re.compile(r"(?i)\bissue\s+#?\d+\b"),
}
REMOTE_ASSET = re.compile(
    r"""(<(script|img|iframe)\b[^>]*\bsrc|<link\b[^>]*\bhref|@import|url\()\s*[=(]?\s*["']?(https?:)?//"""
)


def foreign_words(text: str) -> list[str]:
    """Words that belong to one machine, one day or one mirror."""
    return [
        f"{number}: {what}: {found.group(0)}"
        for number, line in enumerate(text.splitlines(), 1)
        for what, pattern in FOREIGN.items()
        if (found := pattern.search(line))
    ]


def remote_assets(text: str) -> list[str]:
    """Pages and styles that fetch from elsewhere: the product works without the internet."""
    return [
        f"{number}: fetched from elsewhere: {found.group(0)}"
        for number, line in enumerate(text.splitlines(), 1)
        if (found := REMOTE_ASSET.search(line))
    ]
