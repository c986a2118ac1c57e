"""`make bench`: every row, as ratios in one run, interleaved, medians; JSON and tables."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import engine_rows, function_rows, gateway_rows, http_rows, template_rows
from benchmarks.servers import machine, write_json

SECTIONS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "http": http_rows.run,
    "gateway": gateway_rows.run,
    "templates": template_rows.run,
    "engine": engine_rows.run,
    "functions": function_rows.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=3, help="seconds of load per figure")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="run only this section")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"machine": machine()}
    print("  ".join(results["machine"].values()), file=sys.stderr)
    for name in arguments.only or SECTIONS:
        results[name] = SECTIONS[name](arguments)
    if arguments.json:
        write_json(arguments.json, results)
    else:
        print(json.dumps(results, indent=2))


main()
