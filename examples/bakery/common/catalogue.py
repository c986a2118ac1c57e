"""The cakes, read once for each execution environment."""

import json
from pathlib import Path

CAKES = json.loads(Path(__file__).with_name("cakes.json").read_text(encoding="utf-8"))
