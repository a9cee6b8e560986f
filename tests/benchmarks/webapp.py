"""The endpoint that wrk drives: one row by key as JSON, through the peer that BENCH_PEER names."""

import os
from typing import Any

from flask import Flask, jsonify

from benchmarks import data
from benchmarks.peers import peer_class
from benchmarks.place import HERE, Place
from ringfence.schema.deployment import Deployment
from ringfence.schema.mirror import make_mirror
from servers.base import Database, Server


def make_app() -> Flask:
    """The application, for the database that the environment names."""
    env = os.environ
    hosts = ((env["DB_HOST"], int(env["DB_PORT"])),) if "DB_HOST" in env else ()
    server = Server(env["BENCH_ENGINE"], hosts, env.get("DB_USER", ""), env.get("DB_PASS", ""))
    deployment = Deployment.load(HERE / "deployment")
    mirror = make_mirror(deployment, deployment.accounts["benchmark"], None)
    place = Place(Database(server, env["DB_NAME"], ""), mirror, dict(deployment.tables), data.FULL)
    app = Flask("benchmark")
    peer = peer_class(env["BENCH_PEER"])(place)
    view = peer.web(app)

    @app.get("/item/<int:key>")
    def item(key: int) -> Any:
        """The item."""
        row = view(key)
        return jsonify(
            id=int(row["id"]),
            ident=str(row["ident"]),
            price=str(row["price"]),
            active=bool(row["active"]),
            made=row["made"].isoformat(),
        )

    return app
