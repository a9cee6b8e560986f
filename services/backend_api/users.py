"""Users: list, get, create, update, deactivate. A password is stored as a hash, and never answered."""

from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

from flask import Blueprint, jsonify, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import Field, StringConstraints
from werkzeug.security import generate_password_hash

from platform_web import paging
from platform_web.inputs import Changes, Email, Input, QueryBool, QueryInt, Text, from_body, from_query
from platform_web.problems import not_found
from ringfence.runtime.flask import Ringfence

if TYPE_CHECKING:
    from mirrors.backend_api import DAL, AuthUserRow, AuthUserSet, AuthUserTable, AuthUserUpdate
    from ringfence.runtime.typed import Column

EMAIL_LENGTH = 255
MAX_KEY = 2**31 - 1

Address = Annotated[Email, StringConstraints(max_length=EMAIL_LENGTH)]
Password = Annotated[Text, StringConstraints(min_length=8, max_length=1024)]


class Listing(paging.PageInput):
    """What a list of users may ask for."""

    after: Annotated[QueryInt, Field(ge=0, le=MAX_KEY)] = 0
    active: QueryBool | None = None


class NewUser(Input):
    """What a client says of a new user."""

    email: Address
    password: Password


class UserChanges(Changes):
    """What a client may change of a user."""

    email: Address | None = None
    password: Password | None = None
    active: bool | None = None


def blueprint(ringfence: "Ringfence[DAL]") -> Blueprint:
    """The addresses under /users, on this application's database."""
    routes = Blueprint("users", __name__, url_prefix="/users")

    @routes.get("")
    def listing() -> ResponseReturnValue:
        asked = from_query(Listing, request)
        dal = ringfence.dal
        user = dal.auth_user
        wanted = user.id > asked.after
        if asked.active is not None:
            wanted &= user.active == asked.active
        rows = dal(wanted).select(*_shown(user), orderby=user.id, limitby=(0, asked.limit + 1))
        return jsonify(paging.page([_view(row) for row in rows], asked.limit, "after", active=asked.active))

    @routes.get("/<int:key>")
    def one(key: int) -> ResponseReturnValue:
        return jsonify(_get(ringfence.dal, key))

    @routes.post("")
    def create() -> ResponseReturnValue:
        new = from_body(NewUser, request)
        dal = ringfence.dal
        key = dal.auth_user.insert(
            email=new.email,
            password=generate_password_hash(new.password),
            fs_uniquifier=uuid4().hex,
        )
        return jsonify(_get(dal, key)), 201, {"Location": url_for(".one", key=key)}

    @routes.patch("/<int:key>")
    def update(key: int) -> ResponseReturnValue:
        new = from_body(UserChanges, request)
        changes: AuthUserUpdate = {}
        if new.email is not None:
            changes["email"] = new.email
        if new.password is not None:
            changes["password"] = generate_password_hash(new.password)
        if new.active is not None:
            changes["active"] = new.active
        return jsonify(_change(ringfence.dal, key, changes))

    @routes.post("/<int:key>/deactivate")
    def deactivate(key: int) -> ResponseReturnValue:
        return jsonify(_change(ringfence.dal, key, {"active": False}))

    return routes


def _shown(user: "AuthUserTable") -> "list[Column[AuthUserSet]]":
    """The columns that an answer holds: all but the password and what serves to end sessions."""
    return [user.id, user.email, user.active, user.confirmed_at, user.created_at]


def _view(row: "AuthUserRow") -> dict[str, object]:
    return {
        "id": row.id,
        "email": row.email,
        "active": row.active,
        "confirmed_at": row.confirmed_at and row.confirmed_at.isoformat(),
        "created_at": row.created_at.isoformat(),
    }


def _get(dal: "DAL", key: int) -> dict[str, object]:
    user = dal.auth_user
    row = dal(user.id == key).select(*_shown(user)).first() if key <= MAX_KEY else None
    if row is None:
        raise not_found("user", key)
    return _view(row)


def _change(dal: "DAL", key: int, changes: "AuthUserUpdate") -> dict[str, object]:
    """Change a user and return it. We look first, for MySQL does not count a row that was so already."""
    found = _get(dal, key)
    if not changes:
        return found
    dal(dal.auth_user.id == key).update(**changes)
    return _get(dal, key)
