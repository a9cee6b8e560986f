"""Where passwords come from, and the forms in which servers are told them."""

import base64
import hmac

import pytest

from ringfence.schema.grants import passwords
from ringfence.schema.manifest.model import Account, Origin

ACCOUNTS = [
    Account("backend-api", "api", (), Origin("access.yaml", 3)),
    Account("till", "till", (), Origin("access.yaml", 9)),
]


def test_passwords_come_from_variables_and_files(tmp_path):
    file = tmp_path / "till"
    file.write_text("from a file\n")
    found = passwords.from_environment(
        ACCOUNTS, {"BACKEND_API_DB_PASS": "s3", "TILL_DB_PASS_FILE": str(file)}
    )
    assert {login: secret.reveal() for login, secret in found.items()} == {"api": "s3", "till": "from a file"}


def test_all_missing_passwords_are_named_at_once():
    with pytest.raises(passwords.MissingPasswords) as raised:
        passwords.from_environment(ACCOUNTS, {"TILL_DB_PASS": ""})
    assert "BACKEND_API_DB_PASS" in str(raised.value)
    assert "TILL_DB_PASS" in str(raised.value)
    assert "access.yaml:9" in str(raised.value)


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"TILL_DB_PASS": "x", "TILL_DB_PASS_FILE": "/y"}, "both set"),
        ({"TILL_DB_PASS_FILE": "/no/such/file"}, "No such file"),
        ({"TILL_DB_PASS": "a\0b"}, "NUL"),
    ],
)
def test_a_wrong_password_is_reported_without_its_value(env, told):
    with pytest.raises(passwords.MissingPasswords, match=told):
        passwords.from_environment(ACCOUNTS[1:], env)


def test_an_empty_file_is_no_password(tmp_path):
    file = tmp_path / "till"
    file.write_text("\n")
    with pytest.raises(passwords.MissingPasswords, match="is empty"):
        passwords.from_environment(ACCOUNTS[1:], {"TILL_DB_PASS_FILE": str(file)})


def test_generated_passwords_are_private_distinct_and_never_overwritten(tmp_path):
    folder = tmp_path / "secrets"
    first = passwords.generate(ACCOUNTS, folder)
    texts = [made.path.read_text() for made in first]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(made.path.stat().st_mode & 0o777 == 0o600 and made.new for made in first)
    assert len(set(texts)) == 2
    assert min(map(len, texts)) > 30
    again = passwords.generate(ACCOUNTS, folder)
    assert [made.path.read_text() for made in again] == texts
    assert not any(made.new for made in again)
    env = {made.variable: str(made.path) for made in first}
    assert passwords.from_environment(ACCOUNTS, env)["till"].reveal() == texts[1].strip()


def test_the_verifier_is_that_of_the_rfc():
    """The example exchange of RFC 7677, section 3."""
    verifier = passwords.scram_verifier("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    server_key = base64.b64decode(verifier.rpartition(":")[2])
    message = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    signature = base64.b64encode(hmac.digest(server_key, message, "sha256"))
    assert signature == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@pytest.mark.parametrize("password", ["plain", "p\u00e4\u00df", "IX\u00ad", "\u2168", "\u0627a"])
def test_a_verifier_matches_its_password_alone(password):
    verifier = passwords.scram_verifier(password)
    assert passwords.matches_verifier(password, verifier)
    assert not passwords.matches_verifier(password + "x", verifier)


@pytest.mark.parametrize(
    "stored", ["", "md5abc", "SCRAM-SHA-256$x", "SCRAM-SHA-1$4096:c2FsdA==$a:b", "a$b$c"]
)
def test_what_is_no_verifier_matches_nothing(stored):
    assert not passwords.matches_verifier("plain", stored)
