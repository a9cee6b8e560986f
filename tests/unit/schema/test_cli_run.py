"""How every verb speaks where there is no terminal."""

import sys
from pathlib import Path

import pytest

from ringfence.runtime import ready_command
from ringfence.schema.cli import ringfence, run


def test_progress_is_no_part_of_the_result(monkeypatch, capsys):
    monkeypatch.setattr(run, "BAR_DELAY_SECONDS", -1.0)
    call = run.Run(Path(), as_json=False)
    with call.task("plan", total=2) as task:
        task.advance("looking")
    call.print("the result")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("the result\n", "plan 1/2: looking\n")


@pytest.mark.parametrize("as_json", [False, True])
def test_no_url_of_the_command_line_is_shown(capsys, as_json, tmp_path):
    url = "postgresql://till:s3cr'et pa\\ss@db/shop"
    # In the wrong verb, as an option's value, in the place of a verb, a file, a number, an option.
    for words in (
        ["test-migrations", url],
        ["test-migrations", f"--url={url}", url],
        [url],
        ["access", "verify", f"--service={url}", url],
        ["access", "verify", "--dead", url],
        ["backfill", "--rate", url],
        ["plan", f"--{url}"],
        ["-C", url, "plan"],
        ["access", "diff", url],
    ):
        given = [
            *(["-C", str(tmp_path)] if words[0] != "-C" else []),
            *words,
            *(["--json"] if as_json else []),
        ]
        assert run.main(ringfence, given) != 0
        said = capsys.readouterr()
        assert "s3cr" not in said.out + said.err, words


def test_the_command_that_waits_shows_no_url_either(capsys):
    url = "mysql://till:s3cret@db/shop"
    for words in (["mirror.json", url], [url], ["mirror.json", "--timeout", url]):
        with pytest.raises(SystemExit) as stop:
            sys.exit(ready_command.main(words))
        assert stop.value.code == 3
        said = capsys.readouterr()
        assert "s3cret" not in said.out + said.err, words
        assert said.err
