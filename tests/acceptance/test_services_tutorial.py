"""docs/tutorial/first-deployment.md: its commands, one after the other, do what it says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from servers.base import clean_environment
from servers.process import free_ports
from support.repository import ROOT, blocks, files

TUTORIAL = ROOT / "docs/tutorial/first-deployment.md"
MODEL = "    fs_uniquifier: Mapped[str]"


def test_the_tutorial_can_be_followed(tmp_path):
    for path in files():
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    text = TUTORIAL.read_text().partition("## On a server")[0]
    for port, free in zip(("8001", "8002"), free_ports(2), strict=True):
        text = text.replace(port, str(free))
    demo, *commands = blocks(text, "sh")
    [line] = blocks(text, "python")
    change = next(index for index, block in enumerate(commands) if "revision -m" in block)
    models = tmp_path / "services/platform_models/accounts.py"
    edit = f"python - <<'EOF'\nfrom pathlib import Path\nfile = Path({str(models)!r})\n"
    edit += f"file.write_text(file.read_text().replace({MODEL!r}, {line + MODEL!r}))\nEOF\n"
    commands.insert(change, edit)
    env = clean_environment() | {"RINGFENCE_VENV": sys.prefix}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, "add", "-A"], check=True)
    who = ["-c", "user.name=Reader", "-c", "user.email=reader@example.org"]
    subprocess.run(["git", *who, "-C", tmp_path, "commit", "-q", "-m", "As cloned"], check=True)
    script = "set -em\ntrap 'kill $(jobs -p) 2>/dev/null' EXIT\n" + "\n".join(commands)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    said = done.stdout
    assert done.returncode == 0, said + done.stderr
    assert demo == "./scripts/demo.sh\n"
    assert '"email":"ada@example.org"' in said
    assert '"users":1' in said
    assert "1 logins\nanalytics is not allowed to select on auth_user.password" in said
    assert re.search(r"^\?\? services/migrations/versions/\w+_users_have_a_name.py$", said, re.MULTILINE)
    assert " M services/mirrors/backend-api.json" in said
    assert "services/mirrors/analytics.json" not in said


def test_the_lines_of_the_readme_run(tmp_path):
    [lines] = blocks((ROOT / "README.md").read_text(), "python")
    (tmp_path / "app.py").write_text(lines)
    shutil.copytree(ROOT / "services/mirrors", tmp_path / "mirrors")
    env = clean_environment() | {"DB_TYPE": "sqlite", "DB_NAME": str(tmp_path / "readme.sqlite")}
    programs = Path(sys.executable).parent
    migrate = [programs / "ringfence", "-C", ROOT / "services", "migrate", "--json"]
    subprocess.run(migrate, env=env, check=True, capture_output=True)
    ask = "from app import app; print(app.test_client().get('/active').json)"
    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout == "{'users': 0}\n", done.stderr
