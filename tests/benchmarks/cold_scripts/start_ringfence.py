"""Ringfence: import, then the DAL of a mirror."""

import json
import sys
import time
from pathlib import Path

given = json.loads(Path(sys.argv[1]).read_text())
begin = time.perf_counter()
__import__(given["driver"])
import pydal  # noqa: E402, F401

imported = time.perf_counter()
from ringfence.runtime import Database, Mirror, Settings  # noqa: E402

settings = Settings.from_env(given["env"])
opened = time.perf_counter()
mirror = Mirror.load(given["mirror"])
dal = Database(settings, mirror).dal
end = time.perf_counter()
assert len(dal.tables) == len(given["tables"])
print(json.dumps({"total": end - begin, "import": opened - imported, "tables": end - opened}))
