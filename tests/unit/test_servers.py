"""How a test run chooses its engines, reads their URLs, and says which it lacked."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pymysql
import pytest

from servers import external
from servers.base import Server, clean_environment
from servers.capabilities import ENGINES, engines_with
from servers.process import Unavailable, find_binary, free_ports

TESTS = Path(__file__).parents[1]
ON_MYSQL = "def test_it(mysql_server): pass\n"
ON_SQLITE = "def test_it(sqlite_server): pass\n"


def _pytest(folder: Path, text: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a test file with the servers' plugin, in a run of its own, where MySQL is a port that nobody serves."""
    (folder / "test_it.py").write_text(text)
    (port,) = free_ports(1)
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "servers.plugin",
            "-c",
            os.devnull,
            "--rootdir",
            folder,
            *arguments,
            ".",
        ],
        cwd=folder,
        env=clean_environment()
        | {
            "PYTHONPATH": str(TESTS),
            "PYTEST_ADDOPTS": "",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "RINGFENCE_TEST_MYSQL_URL": f"mysql://root:sEcReT@127.0.0.1:{port}/",
        }
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_that_lacked_an_engine_names_it_and_passes(tmp_path: Path) -> None:
    done = _pytest(tmp_path, ON_MYSQL)
    assert done.returncode == 0
    assert "NOT TESTED: mysql: RINGFENCE_TEST_MYSQL_URL" in done.stdout
    assert "sEcReT" not in done.stdout + done.stderr


@pytest.mark.parametrize("required", ["all", "mysql", "sqlite,mysql"])
def test_a_run_that_lacked_a_required_engine_exits_4(tmp_path: Path, required: str) -> None:
    done = _pytest(tmp_path, ON_MYSQL, "--require", required)
    assert done.returncode == 4
    assert "REQUIRED, AND NOT TESTED: mysql" in done.stdout
    assert "sEcReT" not in done.stdout + done.stderr


def test_a_run_that_lacked_another_engine_than_the_required_passes(tmp_path: Path) -> None:
    done = _pytest(tmp_path, ON_MYSQL + ON_SQLITE.replace("test_it", "test_too"), "--require=sqlite,galera")
    assert done.returncode == 0
    assert "NOT TESTED: mysql" in done.stdout


def test_an_engine_that_is_left_out_is_not_among_all(tmp_path: Path) -> None:
    done = _pytest(tmp_path, ON_MYSQL, "--require=all", RINGFENCE_TEST_WITHOUT="mysql")
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("required", "without", "error"),
    [
        ("oracle", "", "--require: there is no ['oracle']"),
        ("mysql", "mysql", "--require: ['mysql'] is left out by RINGFENCE_TEST_WITHOUT"),
        ("all", "mysqll", "RINGFENCE_TEST_WITHOUT: there is no ['mysqll']"),
    ],
)
def test_a_requirement_that_cannot_be_is_an_error(
    tmp_path: Path, required: str, without: str, error: str
) -> None:
    done = _pytest(tmp_path, ON_SQLITE, "--require", required, RINGFENCE_TEST_WITHOUT=without)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert error in done.stderr + done.stdout


def test_the_name_of_a_lacking_engine_is_red_on_a_terminal(tmp_path: Path) -> None:
    assert "\x1b[31m\x1b[1mNOT TESTED: mysql" in _pytest(tmp_path, ON_MYSQL, "--color=yes").stdout


def test_a_run_may_do_without_a_named_engine(tmp_path: Path) -> None:
    done = _pytest(tmp_path, ON_MYSQL, RINGFENCE_TEST_WITHOUT="galera,mysql")
    assert done.returncode == 0
    assert "NOT TESTED: mysql: left out" in done.stdout


def test_an_engine_that_no_chosen_test_wants_is_not_missed(tmp_path: Path) -> None:
    done = _pytest(tmp_path, ON_SQLITE)
    assert done.returncode == 0
    assert "NOT TESTED" not in done.stdout


def test_a_failure_weighs_more_than_a_lacking_engine(tmp_path: Path) -> None:
    done = _pytest(tmp_path, ON_MYSQL + "def test_wrong(): assert False\n", "--require=all")
    assert done.returncode == 1


def test_a_test_of_server_runs_on_the_engines_of_its_marks(tmp_path: Path) -> None:
    text = (
        "import pytest\n"
        "@pytest.mark.engines('postgresql', 'sqlite')\n"
        "@pytest.mark.requires('transactional_ddl')\n"
        "def test_it(db): pass\n"
    )
    listed = _pytest(tmp_path, text, "--collect-only", "-q").stdout
    assert listed.split()[:2] == ["test_it.py::test_it[sqlite]", "test_it.py::test_it[postgresql]"]


def test_a_newer_postgresql_runs_the_tests_that_are_marked_for_it(tmp_path: Path) -> None:
    text = (
        "import pytest\n"
        "@pytest.mark.engines('postgresql')\n"
        "def test_each(db): pass\n"
        "@pytest.mark.newer\n"
        "@pytest.mark.engines('postgresql')\n"
        "def test_catalog(db): pass\n"
    )
    url = {"RINGFENCE_TEST_POSTGRESQL_NEWER_URL": "postgresql://postgres:x@127.0.0.1:1/"}
    listed = _pytest(tmp_path, text, "--collect-only", "-q", **url).stdout
    assert listed.split()[:3] == [
        "test_it.py::test_each[postgresql]",
        "test_it.py::test_catalog[postgresql]",
        "test_it.py::test_catalog[postgresql-newer]",
    ]


def test_galera_runs_the_first_case_of_what_mariadb_runs_whole(tmp_path: Path) -> None:
    text = (
        "import pytest\n"
        "pytestmark = pytest.mark.engines('galera', 'mariadb')\n"
        "@pytest.mark.parametrize('number', [1, 2])\n"
        "def test_it(db, number): pass\n"
        "@pytest.mark.every_case\n"
        "@pytest.mark.parametrize('number', [1, 2])\n"
        "def test_all(db, number): pass\n"
        "@pytest.mark.engines('galera')\n"
        "@pytest.mark.parametrize('number', [1, 2])\n"
        "def test_own(db, number): pass\n"
    )
    counts = {}
    for arguments in ((), ("--every-case",)):
        listed = _pytest(tmp_path, text, "--collect-only", "-q", *arguments).stdout.split()
        counts[arguments] = [
            sum(line.startswith(f"test_it.py::{test}[{engine}") for line in listed)
            for test in ("test_it", "test_all", "test_own")
            for engine in ("mariadb", "galera")
        ]
    assert counts == {(): [2, 1, 2, 2, 0, 2], ("--every-case",): [2, 2, 2, 2, 0, 2]}


def test_the_tests_of_an_engine_share_a_worker(tmp_path: Path) -> None:
    """xdist passes a group on within the node's id, and with some versions of pytest it silently does not."""
    text = (
        "import pathlib, pytest\n"
        "@pytest.mark.parametrize('number', range(10))\n"
        "def test_it(sqlite_server, number, worker_id): pathlib.Path(worker_id).touch()\n"
    )
    assert _pytest(tmp_path, text, "-p", "xdist", "-n", "2", "--dist", "loadgroup").returncode == 0
    assert len(list(tmp_path.glob("gw*"))) == 1


def test_an_unknown_engine_or_capability_is_an_error(tmp_path: Path) -> None:
    for mark in ("engines('oracle')", "requires('levitation')"):
        done = _pytest(tmp_path, f"import pytest\n@pytest.mark.{mark}\ndef test_it(db): pass\n")
        assert done.returncode != 0
        assert mark.split("'")[1] in done.stdout + done.stderr


def test_capabilities_choose_engines() -> None:
    assert engines_with() == ENGINES
    assert engines_with("row_security") == ("postgresql",)
    assert "sqlite" not in engines_with("networked")


def test_a_url_with_several_nodes() -> None:
    server = external.parse("mysql://root:p%40ss@one:3307,two:3308,three/", "galera")
    assert server.hosts == (("one", 3307), ("two", 3308), ("three", 3306))
    assert (server.admin_user, server.admin_password) == ("root", "p@ss")


def test_a_url_with_an_empty_password() -> None:
    server = external.parse("mysql://root:@127.0.0.1:3306/", "mysql")
    assert (server.hosts, server.admin_password) == ((("127.0.0.1", 3306),), "")


def test_a_postgresql_url_names_the_database_to_create_from() -> None:
    server = external.parse("postgresql://postgres:admin@[::1]:5433/template1", "postgresql")
    assert (server.hosts, server.maintenance) == ((("::1", 5433),), "template1")


@pytest.mark.parametrize("url", ["localhost:3306", "mysql://127.0.0.1/", "mysql://root:hidden@host:port/"])
def test_a_url_that_cannot_be_read_is_named_and_not_shown(url: str) -> None:
    with pytest.raises(Unavailable, match="RINGFENCE_TEST_MYSQL_URL") as raised:
        external.parse(url, "mysql")
    assert "hidden" not in str(raised.value)


def test_ports_are_distinct() -> None:
    assert len(set(free_ports(12))) == 12


def test_a_program_that_is_nowhere_is_named() -> None:
    with pytest.raises(Unavailable, match="no-such-program"):
        find_binary("no-such-program")


def test_a_mysql_of_our_own_runs_and_goes(own_server: Callable[[str], Server]) -> None:
    server = own_server("mysql")
    (process,) = server.processes
    with server.database() as database:
        database.execute("CREATE TABLE kept (id INT PRIMARY KEY)", "INSERT INTO kept VALUES (1)")
        process.kill()
        process.start()
        process.wait_until(lambda: database.connect().close())
        assert database.execute("SELECT id FROM kept") == [(1,)]
        assert "MariaDB" not in database.execute("SELECT VERSION()")[0][0]
        with pytest.raises(pymysql.MySQLError):
            database.connect(server.admin_user, "")
    server.close()
    assert not process.folder.exists()
