"""PyDAL's own import and the driver's: what a service would import without Ringfence."""

import json
import sys
import time
from pathlib import Path

given = json.loads(Path(sys.argv[1]).read_text())
begin = time.perf_counter()
__import__(given["driver"])
import pydal  # noqa: E402, F401

print(json.dumps({"total": time.perf_counter() - begin}))
