"""DATABASE_URL with options, IPv6 and sockets; what is not supported is refused by its name."""

import pytest

from ringfence.runtime.errors import BadSettings
from ringfence.runtime.settings import Host, Settings

LOCAL5, LOCAL3 = Host("localhost", 5432), Host("localhost", 3306)


def at(url: str, **env: str) -> Settings:
    return Settings.from_env({"DATABASE_URL": url} | env)


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://till@/shop?host=/run/pg&port=6432", (Host("/run/pg", 6432),)),
        ("postgresql://till@/shop?host=one,two&port=1,2", (Host("one", 1), Host("two", 2))),
        ("postgresql://till@one,two/shop?port=6432", (Host("one", 6432), Host("two", 6432))),
        ("postgresql://till@%2Frun%2Fpg/shop", (Host("/run/pg", 5432),)),
        ("postgresql://till@%2Frun%2Fpg:6432,one/shop", (Host("/run/pg", 6432), Host("one", 5432))),
        (
            "postgresql://till@one:1,[::1]:2,[2001:db8::7]/shop",
            (Host("one", 1), Host("::1", 2), Host("2001:db8::7", 5432)),
        ),
        ("postgresql://till@::1/shop", (Host("::1", 5432),)),
        ("postgresql://till@[fe80::1%25eth0]:33/shop", (Host("fe80::1%eth0", 33),)),
        ("postgresql://till@/shop", (LOCAL5,)),
        ("postgresql:///shop?user=till", (LOCAL5,)),
        ("mysql://till@/shop?unix_socket=/run/mysqld/mysqld.sock", (Host("/run/mysqld/mysqld.sock", 3306),)),
        ("mysql://till@/shop?host=::1&port=33&charset=utf8mb4", (Host("::1", 33),)),
        ("mariadb://till@db/shop", (Host("db", 3306),)),
    ],
)
def test_hosts_of_a_url(url: str, hosts: tuple[Host, ...]) -> None:
    settings = at(url)
    assert (settings.hosts, settings.user, settings.name) == (hosts, "till", "shop")


def test_options_give_what_variables_give() -> None:
    settings = at(
        "postgresql:///?dbname=shop&user=till&password=p%26w&sslmode=verify-full&sslrootcert=/ca.pem&connect_timeout=7"
        "&client_encoding=UTF8&target_session_attrs=read-write"
    )
    assert (settings.name, settings.user, settings.secret()) == ("shop", "till", "p&w")
    assert (settings.sslmode, settings.sslrootcert, settings.connect_timeout) == (
        "verify-full",
        "/ca.pem",
        7.0,
    )
    for said, means in (
        ("REQUIRED", "require"),
        ("VERIFY_CA", "verify-ca"),
        ("verify_identity", "verify-full"),
    ):
        settings = at(f"mysql://till@db/shop?ssl-mode={said}&ssl_ca=/ca.pem")
        assert (settings.sslmode, settings.sslrootcert) == (means, "/ca.pem")
    assert at("mysql://till@db/shop?sslmode=require", DB_SSLMODE="require").sslmode == "require"
    assert at("mysql://till@db/shop", DB_SSLMODE="require", DB_CONNECT_TIMEOUT="2").connect_timeout == 2.0


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (
            "postgresql://till@db/shop?application_name=x",
            "the option application_name.*names its connections itself",
        ),
        ("postgresql://till@db/shop?sslmdoe=hidden", "the option sslmdoe, .*it may have are .*sslmode"),
        ("postgresql://till@db/shop?option.2=hidden", "the option option.2, "),
        ("mysql://till@db/shop?dbname=hidden", "the option dbname"),
        ("mysql://till@db/shop?charset=hidden", "the option charset, .*always has utf8mb4"),
        ("postgresql://till@db/shop?target_session_attrs=hidden", "target_session_attrs, .*read-write"),
        ("postgresql://till@db/shop?sslmode=hidden", "DATABASE_URL's sslmode is none of disable"),
        ("mysql://till@db/shop?ssl-mode=PREFERRED", "sslmode is none of disable"),
        ("postgresql://till@db/shop?sslmode=", "the option sslmode without a value"),
        ("postgresql://till@db/shop?hidden", "an option without a value"),
        ("postgresql://till@db/shop?password=pw&hidden=1", "an option, which Ringfence does not take"),
        ("postgresql://till@db/shop?password=pw&hidden=", "an option without a value"),
        ("mysql://till@db/shop?passwd=pw&hidden=1", "the option passwd, which Ringfence does not take"),
        ("postgresql://till@db/shop?sslmode=require&sslmode=disable", "the option sslmode, .*elsewhere too"),
        ("postgresql://till@db/shop?host=hidden", "the option host, .*elsewhere too"),
        ("postgresql://till:pw@db/shop?password=hidden", "the option password, .*elsewhere too"),
        ("postgresql://till@db:33/shop?port=44", "option port beside a host with a port of its own"),
        ("postgresql://till@db/shop?port=hidden", "option port, which is no number"),
        ("postgresql://till@one,two,three/shop?port=1,2", "3 hosts and 2 ports"),
        ("postgresql://till@db/shop?connect_timeout=hidden", "DB_CONNECT_TIMEOUT is no number"),
        ("postgresql://till@db/shop?connect_timeout=0", "DB_CONNECT_TIMEOUT is not above 0"),
        ("postgresql://till@db/shop?sslmode=%zz", "a percent sign in the value of an option"),
        ("postgresql://till:hid%xen@db/shop", "a percent sign in the password that stands for itself"),
        ("postgresql://till:%ff@db/shop", "a percent sign in the password that stands for no character"),
        ("postgresql://till:hid/den@db/shop", "holds an @ after its host"),
        ("postgresql://till:hid?den@db/shop", "holds an @ after its host"),
        ("postgresql://till:hid#den@db/shop", "holds a #"),
        ("postgresql://till:hid\nden@db/shop", "holds a control character"),
        ("postgresql://till@db/shop/hidden", "a second / after its host"),
        ("postgresql://till@::1:2::3/shop", "no IPv6 address"),
        ("sqlite:///shop.db?timeout=5", "the option timeout, .*it may have are none"),
        ("sqlite:///a#b", "holds a #"),
        ("sqlite://shop.db", "names a host"),
        ("postgresql:till", "is no URL"),
        ("hidden://db/shop", "begins with none of postgresql"),
    ],
)
def test_what_is_wrong_with_a_url(url: str, why: str) -> None:
    with pytest.raises(BadSettings, match=f"DATABASE_URL.*{why}|{why}") as raised:
        at(url)
    assert "hid" not in str(raised.value)


def test_a_url_that_contradicts_a_variable() -> None:
    for option, variable, value in (
        ("sslmode=require", "DB_SSLMODE", "disable"),
        ("sslrootcert=/a.pem", "DB_SSLROOTCERT", "/b.pem"),
        ("connect_timeout=5", "DB_CONNECT_TIMEOUT", "6"),
    ):
        with pytest.raises(
            BadSettings, match=f"{variable} is another than DATABASE_URL's {option.partition('=')[0]}"
        ):
            at(f"postgresql://till@db/shop?{option}", **{variable: value})
    with pytest.raises(BadSettings, match="DATABASE_URL, which is postgresql"):
        at("postgres://till@db/shop", DB_TYPE="mysql")
