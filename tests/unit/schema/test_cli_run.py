"""How every verb speaks where there is no terminal."""

from pathlib import Path

from ringfence.schema.cli import run


def test_progress_is_no_part_of_the_result(monkeypatch, capsys):
    monkeypatch.setattr(run, "_PATIENCE", -1.0)
    call = run.Run(Path(), as_json=False)
    with call.task("plan", total=2) as task:
        task.advance("looking")
    call.say("the result")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("the result\n", "plan 1/2: looking\n")
