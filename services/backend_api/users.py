"""Users: list, get, create, update, deactivate. A password is stored as a hash, and never answered."""

from typing import Any
from uuid import uuid4

from flask import Blueprint, jsonify, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.security import generate_password_hash

from platform_web import paging
from platform_web.inputs import Fields
from platform_web.problems import not_found
from ringfence.runtime.flask import Ringfence

EMAIL_LENGTH = 255
MAX_KEY = 2**31 - 1
PASSWORD_LENGTHS = (8, 1024)


def blueprint(ringfence: Ringfence) -> Blueprint:
    """The addresses under /users, on this application's database."""
    routes = Blueprint("users", __name__, url_prefix="/users")

    @routes.get("")
    def listing() -> ResponseReturnValue:
        fields = Fields.of_query(request)
        limit = fields.integer("limit", most=paging.MAX_LIMIT) or paging.LIMIT
        after = fields.integer("after", least=0, most=MAX_KEY) or 0
        active = fields.boolean("active")
        fields.done()
        dal = ringfence.dal
        user = dal.auth_user
        wanted = user.id > after
        if active is not None:
            wanted &= user.active == active
        rows = dal(wanted).select(*_shown(user), orderby=user.id, limitby=(0, limit + 1))
        return jsonify(paging.page([_view(row) for row in rows], limit, "after", active=active))

    @routes.get("/<int:key>")
    def one(key: int) -> ResponseReturnValue:
        return jsonify(_get(ringfence.dal, key))

    @routes.post("")
    def create() -> ResponseReturnValue:
        fields = Fields.of_body(request)
        least, most = PASSWORD_LENGTHS
        email = fields.email("email", most=EMAIL_LENGTH, required=True)
        password = fields.text("password", least=least, most=most, required=True)
        fields.done()
        dal = ringfence.dal
        key = dal.auth_user.insert(
            email=email,
            password=generate_password_hash(password or ""),
            fs_uniquifier=uuid4().hex,
        )
        location = url_for(".one", key=int(key))
        return jsonify(_get(dal, int(key))), 201, {"Location": location}

    @routes.patch("/<int:key>")
    def update(key: int) -> ResponseReturnValue:
        fields = Fields.of_body(request)
        least, most = PASSWORD_LENGTHS
        email = fields.email("email", most=EMAIL_LENGTH)
        password = fields.text("password", least=least, most=most)
        active = fields.boolean("active")
        fields.done()
        changes: dict[str, Any] = {"email": email, "active": active}
        if password is not None:
            changes["password"] = generate_password_hash(password)
        return jsonify(
            _change(ringfence.dal, key, {name: new for name, new in changes.items() if new is not None})
        )

    @routes.post("/<int:key>/deactivate")
    def deactivate(key: int) -> ResponseReturnValue:
        return jsonify(_change(ringfence.dal, key, {"active": False}))

    return routes


def _shown(user: Any) -> list[Any]:
    """The columns that an answer holds: all but the password and what serves to end sessions."""
    return [user.id, user.email, user.active, user.confirmed_at, user.created_at]


def _view(row: Any) -> dict[str, object]:
    return {
        "id": row.id,
        "email": row.email,
        "active": row.active,
        "confirmed_at": row.confirmed_at and row.confirmed_at.isoformat(),
        "created_at": row.created_at and row.created_at.isoformat(),
    }


def _get(dal: Any, key: int) -> dict[str, object]:
    user = dal.auth_user
    row = dal(user.id == key).select(*_shown(user)).first() if key <= MAX_KEY else None
    if row is None:
        raise not_found("user", key)
    return _view(row)


def _change(dal: Any, key: int, changes: dict[str, Any]) -> dict[str, object]:
    """Change a user and return it. We look first, for MySQL does not count a row that was so already."""
    found = _get(dal, key)
    if not changes:
        return found
    dal(dal.auth_user.id == key).update(**changes)
    return _get(dal, key)
