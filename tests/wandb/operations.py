"""What a wandb server answers to each GraphQL operation of its client.

Whoever answers is `server`, and `v` are the variables of the operation. An answer has every field that the
client asks for, and no regard for which it asks for.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from .records import EVENTS, HISTORY, MANIFEST, OUTPUT, Artifact, Report, Run, make_id

if TYPE_CHECKING:
    from .server import WandbServer

Operation = Callable[["WandbServer", dict], dict]

OPERATIONS: dict[str, Operation] = {}

LAST_PAGE = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
CREATED = "2026-01-01T00:00:00Z"


def answers(*names: str) -> Callable[[Operation], Operation]:
    """Let a function answer the operations of these names."""

    def register(function: Operation) -> Operation:
        OPERATIONS.update(dict.fromkeys(names, function))
        return function

    return register


# The server and its user


@answers("ServerFeaturesQuery")
def features(server: "WandbServer", v: dict) -> dict:
    return {"serverInfo": {"features": []}}


@answers("OrganizationCoreWeaveOrganizationID")
def organization(server: "WandbServer", v: dict) -> dict:
    return {"entity": {"organization": None}}


@answers("Viewer", "GetViewer", "GetDefaultEntity")
def viewer(server: "WandbServer", v: dict) -> dict:
    user = dict.fromkeys(["entity", "username", "name"], server.entity)
    user |= {"id": make_id("User", 0), "email": "", "admin": False, "flags": "{}", "deletedAt": None}
    return {"viewer": user | {"apiKeys": {"edges": []}, "teams": {"edges": []}}}


# Projects and reports


def _project(server: "WandbServer", name: str) -> dict:
    if name not in server.projects:
        server.projects.append(name)
    number = server.projects.index(name)
    return {
        "__typename": "Project",
        "id": make_id("Project", number),
        "internalId": make_id("ProjectInternalId", number),
        "name": name,
        "entityName": server.entity,
        "entity": {"id": make_id("Entity", 0), "name": server.entity},
        "createdAt": CREATED,
        "isBenchmark": False,
        "user": None,
    }


@answers("GetProjects")
def projects(server: "WandbServer", v: dict) -> dict:
    edges = [{"node": _project(server, name)} for name in server.projects]
    return {"models": {"pageInfo": LAST_PAGE, "edges": edges}}


@answers("CreateProject")
def create_project(server: "WandbServer", v: dict) -> dict:
    return {"upsertModel": {"project": _project(server, v["input"]["name"]), "inserted": True}}


@answers("ProjectInternalId")
def project_internal_id(server: "WandbServer", v: dict) -> dict:
    known = v["projectName"] in server.projects
    return {"project": _project(server, v["projectName"]) if known else None}


def _view(server: "WandbServer", report: Report) -> dict:
    return {
        "id": report.id,
        "type": report.type,
        "name": report.name,
        "displayName": report.title,
        "description": report.description,
        "project": _project(server, report.project),
        "spec": json.dumps(report.spec),
        "createdAt": CREATED,
        "updatedAt": CREATED,
    }


@answers("upsertView")
def upsert_view(server: "WandbServer", v: dict) -> dict:
    report_id = v["id"] or make_id("View", len(server.reports))
    report = server.reports.setdefault(report_id, Report(report_id, v["projectName"]))
    report.name, report.title, report.description = v["name"], v["displayName"], v["description"]
    report.type, report.spec = v["type"], json.loads(v["spec"])
    report.saves += 1
    return {"upsertView": {"view": _view(server, report), "inserted": report.saves == 1}}


@answers("SpecificReport")
def specific_report(server: "WandbServer", v: dict) -> dict:
    report = server.reports.get(v["reportId"])
    return {"view": _view(server, report) if report else None}


# Runs


@answers("RunResumeStatus")
def run_resume_status(server: "WandbServer", v: dict) -> dict:
    run = server.runs.get(v["name"])
    if not run:
        return {"model": None}
    history, events, output = (run.lines.get(file, {}) for file in (HISTORY, EVENTS, OUTPUT))
    bucket = {
        "id": run.storage_id,
        "name": run.id,
        "displayName": run.name,
        "tags": run.tags,
        "notes": run.notes,
        "config": json.dumps(run.wire_config),
        "wandbConfig": json.dumps({key: value for key, value in run.wandb_config.items() if key == "t"}),
        "summaryMetrics": json.dumps(run.summary),
        "historyLineCount": len(history),
        "eventsLineCount": len(events),
        "logLineCount": len(output),
        "historyTail": json.dumps([history[max(history)]] if history else []),
        "eventsTail": json.dumps([events[max(events)]] if events else []),
    }
    return {"model": _project(server, run.project) | {"bucket": bucket}}


@answers("UpsertBucket")
def upsert_bucket(server: "WandbServer", v: dict) -> dict:
    inserted = v["name"] not in server.runs
    if inserted:
        storage_id = make_id("Run", len(server.runs))
        server.runs[v["name"]] = Run(storage_id, v["name"], v["project"], v.get("entity") or server.entity)
    run = server.runs[v["name"]]
    run.name = v.get("displayName") or run.name
    run.group = v.get("groupName") or run.group
    run.job_type = v.get("jobType") or run.job_type
    run.notes = v.get("notes") or run.notes
    run.tags = run.tags if v.get("tags") is None else v["tags"]
    run.wire_config = json.loads(v["config"]) if v.get("config") else run.wire_config
    bucket = {
        "id": run.storage_id,
        "name": run.id,
        "displayName": run.name,
        "description": "",
        "config": json.dumps(run.wire_config),
        "sweepName": None,
        "project": _project(server, run.project),
        "historyLineCount": len(run.rows),
    }
    return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}


@answers("CreateRunFiles")
def create_run_files(server: "WandbServer", v: dict) -> dict:
    run = server.runs[v["run"]]
    files = [{"name": name, "uploadUrl": server.storage_url(run, name)} for name in v["files"]]
    return {"createRunFiles": {"runID": run.storage_id, "uploadHeaders": [], "files": files}}


# Artifacts


def _versions(server: "WandbServer", name: str) -> list[Artifact]:
    return [artifact for artifact in server.artifacts if artifact.name == name and artifact.version]


def _by_id(server: "WandbServer", storage_id: str) -> Artifact:
    return next(artifact for artifact in server.artifacts if artifact.storage_id == storage_id)


def _by_name(server: "WandbServer", name: str) -> Artifact | None:
    try:
        return server.artifact(name if ":" in name else f"{name}:latest")
    except KeyError:
        return None


def _give_aliases(server: "WandbServer", artifact: Artifact, aliases: list[str]) -> None:
    for other in _versions(server, artifact.name):  # an alias is one version's alone
        other.aliases = [alias for alias in other.aliases if alias not in aliases]
    artifact.aliases += aliases


@answers("CreateArtifact")
def create_artifact(server: "WandbServer", v: dict) -> dict:
    made = v["input"]
    name, aliases = made["artifactCollectionName"], [entry["alias"] for entry in made.get("aliases") or []]
    versions = _versions(server, name)
    artifact = next((version for version in versions if version.digest == made["digest"]), None)
    if artifact:  # only other content makes another version
        _give_aliases(server, artifact, aliases)
    else:
        artifact = Artifact(
            make_id("Artifact", len(server.artifacts)),
            name,
            made["artifactTypeName"],
            made["projectName"],
            made["digest"],
            made["clientID"],
            made.get("description") or "",
            json.loads(made.get("metadata") or "{}"),
            aliases,
            made.get("runName"),
        )
        server.artifacts.append(artifact)
    sequence = {"latestArtifact": {"id": versions[-1].storage_id} if versions else None}
    state = "COMMITTED" if artifact.version else "PENDING"
    created = {"id": artifact.storage_id, "state": state, "artifactSequence": sequence}
    return {"createArtifact": {"artifact": created}}


@answers("CreateArtifactManifest")
def create_artifact_manifest(server: "WandbServer", v: dict) -> dict:
    url = server.storage_url(_by_id(server, v["artifactID"]), MANIFEST)
    file = {"id": v["artifactID"], "uploadUrl": url, "uploadHeaders": []}
    return {"createArtifactManifest": {"artifactManifest": {"id": v["artifactID"], "file": file}}}


@answers("CreateArtifactFiles")
def create_artifact_files(server: "WandbServer", v: dict) -> dict:
    nodes = [
        {
            "storagePath": spec["name"],
            "uploadUrl": server.storage_url(_by_id(server, spec["artifactID"]), spec["name"]),
            "uploadHeaders": [],
            "uploadMultipartUrls": None,
            "artifact": {"id": spec["artifactID"]},
        }
        for spec in v["input"]["artifactFiles"]
    ]
    return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}


@answers("CommitArtifact")
def commit_artifact(server: "WandbServer", v: dict) -> dict:
    artifact = _by_id(server, v["artifactID"])
    artifact.index = len(_versions(server, artifact.name))
    _give_aliases(server, artifact, artifact.asked_aliases)
    return {"commitArtifact": {"artifact": {"id": artifact.storage_id, "digest": artifact.digest}}}


@answers("ClientIDMapping")
def client_id_mapping(server: "WandbServer", v: dict) -> dict:
    found = [artifact for artifact in server.artifacts if artifact.client_id == v["clientID"]]
    return {"clientIDMapping": {"serverID": found[0].storage_id} if found else None}


def _artifact(server: "WandbServer", artifact: Artifact) -> dict:
    project = _project(server, artifact.project)
    sequence = {"__typename": "ArtifactSequence", "name": artifact.name, "project": project}
    aliases = [
        {"__typename": "ArtifactAlias", "id": alias, "alias": alias, "artifactCollection": sequence}
        for alias in artifact.aliases
    ]
    return {
        "__typename": "Artifact",
        "id": artifact.storage_id,
        "artifactSequence": sequence,
        "versionIndex": artifact.index,
        "artifactType": {"name": artifact.type},
        "description": artifact.description,
        "metadata": json.dumps(artifact.metadata),
        "ttlDurationSeconds": -2,
        "ttlIsInherited": True,
        "tags": [],
        "historyStep": None,
        "state": "COMMITTED",
        "size": sum(map(len, artifact.files.values())),
        "digest": artifact.digest,
        "digestAlgorithm": "MANIFEST_MD5",
        "commitHash": "",
        "fileCount": len(artifact.files),
        "createdAt": CREATED,
        "updatedAt": None,
        "aliases": aliases,
    }


@answers("ArtifactByID")
def artifact_by_id(server: "WandbServer", v: dict) -> dict:
    return {"artifact": _artifact(server, _by_id(server, v["id"]))}


@answers("ArtifactType")
def artifact_type(server: "WandbServer", v: dict) -> dict:
    artifact = _by_name(server, v["name"])
    return {"project": {"artifact": _artifact(server, artifact) if artifact else None}}


@answers("ArtifactMembershipByName")
def artifact_membership(server: "WandbServer", v: dict) -> dict:
    found = _by_name(server, v["name"])
    if not found:
        return {"project": {"artifactCollectionMembership": None}}
    artifact = _artifact(server, found)
    membership = {key: artifact[key] for key in ["id", "versionIndex", "createdAt", "aliases"]}
    membership |= {"__typename": "ArtifactCollectionMembership", "artifact": artifact}
    membership |= {"artifactCollection": artifact["artifactSequence"]}
    return {"project": {"artifactCollectionMembership": membership}}


@answers("UseArtifact")
def use_artifact(server: "WandbServer", v: dict) -> dict:
    used = v.get("input", v)
    artifact = _by_id(server, used["artifactID"])
    if used["runName"] not in artifact.used_by:
        artifact.used_by.append(used["runName"])
    return {"useArtifact": {"artifact": _artifact(server, artifact)}}


@answers("FetchArtifactManifest")
def fetch_artifact_manifest(server: "WandbServer", v: dict) -> dict:
    url = server.storage_url(_by_id(server, v["id"]), MANIFEST)
    return {"artifact": {"currentManifest": {"file": {"directUrl": url}}}}


@answers("GetArtifactMembershipFileUrls")
def artifact_file_urls(server: "WandbServer", v: dict) -> dict:
    artifact = server.artifact(f"{v['collection']}:{v['alias']}")
    nodes = [
        {"__typename": "File", "name": name, "directUrl": server.storage_url(artifact, name)}
        for name in artifact.files
    ]
    files = {"pageInfo": LAST_PAGE, "edges": [{"node": node} for node in nodes]}
    collection = {"__typename": "ArtifactSequence", "artifactMembership": {"files": files}}
    return {"project": {"artifactCollection": collection}}
