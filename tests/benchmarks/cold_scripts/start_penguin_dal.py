"""penguin-dal: import, then the tables as the database describes them."""

import json
import sys
import time
from pathlib import Path

given = json.loads(Path(sys.argv[1]).read_text())
begin = time.perf_counter()
__import__(given["driver"])
from penguin_dal import DB  # noqa: E402

db = DB(given["url"])
end = time.perf_counter()
assert len(db.tables) == len(given["tables"])
print(json.dumps({"total": end - begin}))
db.close()
