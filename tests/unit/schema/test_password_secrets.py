"""No password in what is said of an account's variable or file, whatever is wrong with it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.runtime.errors import BadSettings
from ringfence.runtime.settings import Settings
from ringfence.schema.grants.passwords import from_environment
from ringfence.schema.manifest.model import Account, Origin, PasswordSource
from support.secrets_in_errors import PASSWORDS, SHOWN, said, see_silence

TILL = Account("till", "till", (), Origin("access.yaml", 9))


@settings(deadline=None)
@given(octets=st.binary(min_size=SHOWN, max_size=20))
def test_a_file_gives_its_password_or_an_error_without_it(
    octets: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "password"
    path.write_bytes(octets)
    base = {"DB_TYPE": "mysql", "DB_NAME": "shop", "DB_USER": "till", "DB_PASS_FILE": str(path)}
    read = Settings.from_env(base)
    env = {f"{TILL.variable}_FILE": str(path)}
    for ask in (read.secret, lambda: from_environment([TILL], env)):
        try:
            given_password = ask()
        except BadSettings as error:
            text = said(error)
            assert "UTF-8" in text or "NUL" in text or "is empty" in text
            assert repr(octets)[2:-1] not in text
        else:
            if isinstance(given_password, str):
                assert given_password == octets.decode().rstrip("\r\n")


@settings(deadline=None)
@given(PASSWORDS, st.sampled_from(["", "_FILE"]), st.booleans())
def test_a_password_of_an_account_is_not_shown(password: str, form: str, as_json: bool) -> None:
    env = {f"{TILL.variable}{form}": password}
    source = None
    if as_json:
        source, env = PasswordSource(variable="ALL_OF_THEM"), {f"ALL_OF_THEM{form}": password}
    try:
        from_environment([TILL], env, source)
    except BadSettings as error:
        see_silence(password, said(error))
