"""Plan or apply the accounts and privileges without running a migration."""

from collections.abc import Callable, Mapping

import sqlalchemy as sa

from ringfence.runtime.settings import Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, Findings, check_engine, first_line, reach
from ringfence.schema.engines.stable_reads import undisturbed
from ringfence.schema.errors import JobFailed
from ringfence.schema.grants import passwords
from ringfence.schema.privileges.apply import Applied, apply
from ringfence.schema.privileges.password_strength import refuse_weak, weaknesses
from ringfence.schema.privileges.plan import Plan, make_plan
from ringfence.schema.privileges.replaced_objects import replaced_objects
from ringfence.schema.text import MessageCallback


def plan_access(
    deployment: Deployment,
    env: Mapping[str, str] | None = None,
    *,
    adopt: bool = False,
    prune: bool = False,
    allow_weak: bool = False,
    on_message: MessageCallback = lambda text: None,
) -> Plan:
    """Compare the server with the manifest, without taking the lock or changing anything.

    Args:
        deployment: the manifest and models to compare with.
        env: the admin's login (`DB_*`) and optionally the accounts' passwords, which are then compared too; the
            process's environment when None.
        adopt: whether existing accounts that are not managed yet may be taken over.
        prune: whether managed accounts that are no longer declared are dropped; otherwise they are locked.
        allow_weak: whether weak passwords are accepted, in an environment where ringfence.toml allows them.
        on_message: called with each progress message.

    Returns:
        The plan; what the admin lacks, replaced objects and weak passwords are among its obstacles.

    Raises:
        BadSettings: the environment is wrong, or `allow_weak` is not allowed in it.
        AccessDenied: the server refused the admin's login.
        Unavailable: the server cannot be reached.
    """
    backend = _reach(deployment, env, on_message)
    declared = deployment.accounts.values()
    source = deployment.policy.passwords
    secrets = None
    if passwords.given(declared, env, source):
        secrets = passwords.from_environment(declared, env, source, deployment.root)

    def read() -> tuple[Findings, Plan]:
        with backend.engine().connect() as connection:
            found = backend.checks.admin(connection, deployment)
            try:
                return found, make_plan(connection, backend, deployment, secrets, adopt=adopt, prune=prune)
            except sa.exc.DBAPIError as error:
                if not found.errors:
                    raise
                return found, Plan(warnings=[f"the server refuses to show the rest: {first_line(error)}"])

    found, plan = undisturbed(read)
    if not found.errors:
        changed = replaced_objects(backend, deployment)
        plan.exposures += changed
        plan.obstacles += map(str, changed)
    weak = []
    if allow_weak:
        refuse_weak(deployment, {}, None, env, allow=True)
    elif secrets is not None:
        weak = weaknesses(deployment, secrets, backend.settings.secret())
    plan.obstacles[:0] = [*found.errors, *weak]
    plan.warnings[:0] = found.warnings
    return plan


def apply_access(
    deployment: Deployment,
    env: Mapping[str, str] | None = None,
    *,
    adopt: bool = False,
    prune: bool = False,
    allow_weak: bool = False,
    on_message: MessageCallback = lambda text: None,
    on_plan: Callable[[Plan], None] = lambda plan: None,
) -> Applied:
    """Take the deployment's lock and make the accounts match the manifest; the schema is not changed.

    Args:
        deployment: the manifest and models to apply.
        env: the admin's login (`DB_*`) and the accounts' passwords; the process's environment when None.
        adopt: whether existing accounts that are not managed yet may be taken over.
        prune: whether managed accounts that are no longer declared are dropped; otherwise they are locked.
        allow_weak: whether weak passwords are accepted, in an environment where ringfence.toml allows them.
        on_message: called with each progress message.
        on_plan: called with the plan before its first statement; an exception it raises stops the apply.

    Returns:
        What was done.

    Raises:
        BadSettings: the environment is wrong, a password is weak, or `allow_weak` is not allowed.
        AccessDenied: the server refused the admin's login.
        Unavailable: the server cannot be reached.
        NotReady: the lock was not free in time.
        JobFailed: the plan has obstacles (nothing was changed then), or a statement failed.
    """
    backend = _reach(deployment, env, on_message)

    def read() -> Findings:
        with backend.engine().connect() as connection:
            return backend.checks.admin(connection, deployment)

    found = undisturbed(read)
    errors = found.errors or [str(one) for one in replaced_objects(backend, deployment)]
    if errors:
        raise JobFailed("no account was changed:\n  " + "\n  ".join(errors))
    secrets = {}
    if backend.accounts is not None:
        secrets = passwords.from_environment(
            deployment.accounts.values(), env, deployment.policy.passwords, deployment.root
        )
        refuse_weak(deployment, secrets, backend.settings.secret(), env, allow=allow_weak)
    with backend.locks.hold(patience=backend.settings.ready_timeout, on_message=on_message) as lock:
        lock.check()
        applied = apply(
            backend, deployment, secrets, adopt=adopt, prune=prune, on_message=on_message, on_plan=on_plan
        )
    applied.warnings[:0] = found.warnings
    return applied


def _reach(deployment: Deployment, env: Mapping[str, str] | None, on_message: MessageCallback) -> Backend:
    settings = Settings.from_env(env)
    on_message(f"reaching {settings}")
    backend = reach(settings, on_message, existing=True)
    check_engine(deployment, backend)
    return backend
