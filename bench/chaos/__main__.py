"""`make chaos`: what the product promises, while things break on a real Asterisk.

    python -m bench.chaos [--only NAME …] [--seed N] [--write] [--list]

Loopback only. Each fault has an expectation, figures, `zvonar verify` over database and carrier's record, and the count
of conversations that were cut although their audio could go on. Ends with RESULT; `--write` puts the table into
docs/reliability.md and the raw figures into docs/reliability/chaos.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import re
import sys
import time
import traceback
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.chaos.faults import FAULTS, Finding

ROOT: Final = Path(__file__).resolve().parents[2]
TABLE: Final = ROOT / "docs" / "reliability.md"
LEDGER: Final = ROOT / "docs" / "reliability" / "chaos.json"
BEGIN, END = "<!-- chaos: begin -->", "<!-- chaos: end -->"


async def _run(names: list[str], seed: int, port: int) -> list[Finding]:
    findings = []
    for name in names:
        began = time.monotonic()
        print(f"{name} …", flush=True)
        try:
            finding = await FAULTS[name](random.Random(f"{seed}-{name}"), port)
        except Exception as error:  # one broken fault must not hide the others
            traceback.print_exc()
            finding = Finding(fault=name, expected="", violations=[f"not carried through: {type(error).__name__}"])
        finding.took_s = round(time.monotonic() - began)
        print(f"  {_figures(finding)}; violations {len(finding.violations)}, cut {finding.cut}, {finding.took_s} s")
        for violation in finding.violations:
            print(f"  ! {violation}", flush=True)
        findings.append(finding)
    return findings


def _figures(finding: Finding) -> str:
    return ", ".join(f"{name} {value}" for name, value in finding.measured.items())


def table(findings: list[Finding]) -> str:
    """The findings as a Markdown table."""
    lines = ["| Fault | Expected | Measured | Violations | Cut |", "|---|---|---|---|---|"]
    lines += [
        f"| `{one.fault}` | {one.expected} | {_figures(one)} | {len(one.violations)} | {one.cut} |" for one in findings
    ]
    return "\n".join(lines)


def _write(findings: list[Finding], seed: int) -> None:
    LEDGER.parent.mkdir(exist_ok=True)
    known = json.loads(LEDGER.read_text(encoding="utf-8"))["findings"] if LEDGER.exists() else []
    fresh = {one.fault: asdict(one) for one in findings}
    merged = [fresh.pop(one["fault"], one) for one in known if one["fault"] in FAULTS] + list(fresh.values())
    merged.sort(key=lambda one: list(FAULTS).index(one["fault"]))
    ledger = {"seed": seed, "measured": f"{datetime.now(UTC):%Y-%m-%d}", "python": platform.python_version()}
    LEDGER.write_text(json.dumps({**ledger, "findings": merged}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    text = TABLE.read_text(encoding="utf-8")
    inside = f"{BEGIN}\n{table([Finding(**one) for one in merged])}\n{END}"
    TABLE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: inside, text, flags=re.DOTALL), encoding="utf-8")


def main() -> None:
    """Run, print, end with RESULT; exit code 1 when a promise was broken."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--only", nargs="+", choices=list(FAULTS), default=list(FAULTS), metavar="NAME")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--port", type=int, default=28_000)
    asked.add_argument("--write", action="store_true")
    asked.add_argument("--list", action="store_true")
    options = asked.parse_args()
    if options.list:
        print("\n".join(FAULTS))
        return
    findings = asyncio.run(_run(options.only, options.seed, options.port))
    if options.write:
        _write(findings, options.seed)
    violations = sum(len(one.violations) for one in findings)
    cut = sum(one.cut for one in findings)
    print("RESULT " + json.dumps({"faults": len(findings), "violations": violations, "conversations_cut": cut}))
    sys.exit(1 if violations or cut else 0)


if __name__ == "__main__":
    main()
