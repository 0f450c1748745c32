"""Every request that the workspace answers, and who answers it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from databricks.sdk.service import compute, files, jobs, workspace

from tests.remote.standin.refusals import BAD_REQUEST, Refusal, invalid
from tests.remote.standin.schema import check_call, check_query

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.remote.standin.requests import Request
    from tests.remote.standin.state import State

    Answer = Mapping[str, Any] | None
    Handler = Callable[[State, Request], Answer]

_ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []
CLUSTERS = "/api/2\\.[01]/clusters"
RUNS = "/api/2\\.[012]/jobs/runs"


def find(method: str, path: str) -> Handler | None:
    """Return what answers a request, None where nothing does."""
    for known_method, pattern, handler in _ROUTES:
        if method == known_method and pattern.fullmatch(path):
            return handler
    return None


def _route(method: str, pattern: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        _ROUTES.append((method, re.compile(pattern), handler))
        return handler

    return register


@_route("POST", f"{CLUSTERS}/create")
def _create(state: State, request: Request) -> Answer:
    check_call(compute.ClustersAPI.create, request.body, also={"idempotency_token": str})
    spec = {key: value for key, value in request.body.items()
            if key not in {"idempotency_token", "clone_from"}}  # fmt: skip
    state.check_spec(spec)
    return {"cluster_id": state.clusters.create(request.body).id}


@_route("GET", f"{CLUSTERS}/get")
def _get(state: State, request: Request) -> Answer:
    check_query(compute.ClustersAPI.get, request.query)
    cluster = state.clusters.find(request.value("cluster_id"))
    return state.clusters.describe(cluster)


@_route("GET", f"{CLUSTERS}/list")
def _list(state: State, request: Request) -> Answer:
    check_query(compute.ClustersAPI.list, request.query)
    return state.clusters.page(request.query)


@_route("POST", f"{CLUSTERS}/events")
def _events(state: State, request: Request) -> Answer:
    check_call(compute.ClustersAPI.events, request.body)
    return state.clusters.find(request.body["cluster_id"]).events(request.body)


@_route("POST", f"{CLUSTERS}/delete")
def _delete(state: State, request: Request) -> Answer:
    check_call(compute.ClustersAPI.delete, request.body)
    state.clusters.find(request.body["cluster_id"]).end()
    return {}


@_route("POST", f"{CLUSTERS}/permanent-delete")
def _permanent_delete(state: State, request: Request) -> Answer:
    check_call(compute.ClustersAPI.permanent_delete, request.body)
    state.clusters.find(request.body["cluster_id"]).remove()
    return {}


@_route("GET", f"{CLUSTERS}/list-node-types")
def _node_types(state: State, _: Request) -> Answer:
    return {"node_types": [each.as_dict() for each in state.node_types.values()]}


@_route("GET", f"{CLUSTERS}/spark-versions")
def _spark_versions(state: State, _: Request) -> Answer:
    versions = [compute.SparkVersion(key, name) for key, name in state.spark_versions.items()]
    return compute.GetSparkVersionsResponse(versions).as_dict()


@_route("GET", f"{CLUSTERS}/list-zones")
def _zones(_: State, __: Request) -> Answer:
    return compute.ListAvailableZonesResponse("us-west-2a", ["us-west-2a"]).as_dict()


@_route("POST", f"{RUNS}/submit")
def _submit(state: State, request: Request) -> Answer:
    check_call(jobs.JobsAPI.submit, request.body, required=("tasks",))
    return state.runs.submit(request.body)


@_route("GET", f"{RUNS}/get")
def _get_run(state: State, request: Request) -> Answer:
    check_query(jobs.JobsAPI.get_run, request.query)
    run = state.runs.find(request.number("run_id"))
    return run.describe()


@_route("GET", f"{RUNS}/get-output")
def _output(state: State, request: Request) -> Answer:
    check_query(jobs.JobsAPI.get_run_output, request.query)
    return state.runs.output(request.number("run_id"))


@_route("GET", f"{RUNS}/list")
def _list_runs(state: State, request: Request) -> Answer:
    check_query(jobs.JobsAPI.list_runs, request.query)
    return state.runs.page(request.query)


@_route("POST", f"{RUNS}/cancel")
def _cancel_run(state: State, request: Request) -> Answer:
    check_call(jobs.JobsAPI.cancel_run, request.body)
    state.runs.find(request.body["run_id"]).cancel()
    return {}


@_route("POST", f"{RUNS}/delete")
def _delete_run(state: State, request: Request) -> Answer:
    check_call(jobs.JobsAPI.delete_run, request.body)
    state.runs.delete(request.body["run_id"])
    return {}


@_route("POST", "/api/1\\.2/contexts/create")
def _create_context(state: State, request: Request) -> Answer:
    needed = ("clusterId", "language")
    check_call(compute.CommandExecutionAPI.create, request.body, required=needed, camel=True)
    return state.commands.create(request.body)


@_route("GET", "/api/1\\.2/contexts/status")
def _context_status(state: State, request: Request) -> Answer:
    check_query(compute.CommandExecutionAPI.context_status, request.query, camel=True)
    return state.commands.context_status({k: v[0] for k, v in request.query.items()})


@_route("POST", "/api/1\\.2/contexts/destroy")
def _destroy_context(state: State, request: Request) -> Answer:
    check_call(compute.CommandExecutionAPI.destroy, request.body, camel=True)
    return state.commands.destroy(request.body)


@_route("POST", "/api/1\\.2/commands/execute")
def _execute(state: State, request: Request) -> Answer:
    needed = ("clusterId", "contextId", "language", "command")
    check_call(compute.CommandExecutionAPI.execute, request.body, required=needed, camel=True)
    return state.commands.execute(request.body)


@_route("GET", "/api/1\\.2/commands/status")
def _command_status(state: State, request: Request) -> Answer:
    check_query(compute.CommandExecutionAPI.command_status, request.query, camel=True)
    return state.commands.command_status({k: v[0] for k, v in request.query.items()})


@_route("POST", "/api/1\\.2/commands/cancel")
def _cancel_command(state: State, request: Request) -> Answer:
    needed = ("clusterId", "contextId", "commandId")
    check_call(compute.CommandExecutionAPI.cancel, request.body, required=needed, camel=True)
    return state.commands.cancel(request.body)


@_route("GET", "/api/2\\.0/workspace-conf")
def _conf(state: State, request: Request) -> Answer:
    keys = request.value("keys").split(",")
    unknown = [key for key in keys if key not in state.conf]
    if unknown:
        message = f'Invalid keys: ["{unknown[0]}"]'
        raise invalid(message)
    return {key: state.conf[key] for key in keys}


@_route("PATCH", "/api/2\\.0/workspace-conf")
def _set_conf(state: State, request: Request) -> Answer:
    if not state.is_admin:
        raise Refusal(403, "PERMISSION_DENIED", "Only workspace admins may change settings")
    for key, value in request.body.items():
        if key not in state.conf:
            message = f'Invalid keys: ["{key}"]'
            raise invalid(message)
        if value not in {"true", "false"}:
            message = f"Some values are not allowed: {{{key}: {value}}}"
            raise invalid(message)
    state.conf.update(request.body)
    return None


@_route("GET", "/api/2\\.0/preview/scim/v2/Me")
def _me(state: State, _: Request) -> Answer:
    return state.me.as_dict()


@_route("POST", "/api/2\\.0/workspace/mkdirs")
def _mkdirs(state: State, request: Request) -> Answer:
    check_call(workspace.WorkspaceAPI.mkdirs, request.body)
    return state.files.mkdirs(request.body)


@_route("POST", "/api/2\\.0/workspace/import")
def _import(state: State, request: Request) -> Answer:
    if request.content:
        form = request.body.get("format")
        is_forced = request.body.get("overwrite") == "true"
        path = request.body.get("path", "")
        return state.files.import_file(path, request.content, form, overwrite=is_forced)
    check_call(workspace.WorkspaceAPI.import_, request.body)
    return state.files.import_json(request.body)


@_route("POST", "/api/2\\.0/workspace/delete")
def _delete_file(state: State, request: Request) -> Answer:
    check_call(workspace.WorkspaceAPI.delete, request.body)
    return state.files.delete(request.body)


@_route("GET", "/api/2\\.0/workspace/get-status")
def _file_status(state: State, request: Request) -> Answer:
    return state.files.status(request.value("path"))


@_route("POST", "/api/2\\.0/dbfs/(create|add-block|close|put|delete)")
def _dbfs(state: State, request: Request) -> Answer:
    name = request.path.rpartition("/")[2]
    calls: dict[str, tuple[Callable[..., Any], Callable[[dict[str, Any]], dict[str, Any]]]] = {
        "create": (files.DbfsAPI.create, state.files.dbfs_create),
        "add-block": (files.DbfsAPI.add_block, state.files.dbfs_add_block),
        "close": (files.DbfsAPI.close, state.files.dbfs_close),
        "put": (files.DbfsAPI.put, state.files.dbfs_put),
        "delete": (files.DbfsAPI.delete, state.files.dbfs_delete),
    }
    call, answer = calls[name]
    check_call(call, request.body)
    return answer(request.body)


@_route("PUT", "/api/2\\.0/fs/files/Volumes/.+")
def _put_volume(state: State, request: Request) -> Answer:
    path = request.path.partition("/fs/files")[2]
    is_forced = request.query.get("overwrite", [""])[0] == "true"
    state.files.put_volume(path, request.content, overwrite=is_forced)
    return None


@_route("DELETE", "/api/2\\.0/fs/files/Volumes/.+")
def _delete_volume(state: State, request: Request) -> Answer:
    state.files.delete_volume(request.path.partition("/fs/files")[2])
    return None


@_route("GET", "/.well-known/databricks-config")
def _well_known(state: State, _: Request) -> Answer:
    return {"oidc_endpoint": f"{state.url}/oidc", "workspace_id": "1", "account_id": "1"}


@_route("GET", "/oidc/.well-known/oauth-authorization-server")
def _oidc(state: State, _: Request) -> Answer:
    return {
        "authorization_endpoint": f"{state.url}/oidc/v1/authorize",
        "token_endpoint": f"{state.url}/oidc/v1/token",
    }


@_route("POST", "/oidc/v1/token")
def _token(state: State, request: Request) -> Answer:
    if request.body.get("grant_type") != "client_credentials":
        raise Refusal(BAD_REQUEST, "unsupported_grant_type", "client_credentials only")
    return {"access_token": state.token, "token_type": "Bearer", "expires_in": 3600}
