"""The nine kinds that make pods, or are pods: one of each, with a given ServiceAccount."""

import copy
from typing import Any

from support.guarded import pod
from support.server import Json

RESOURCES = (
    "pods",
    "podtemplates",
    "replicationcontrollers",
    "deployments",
    "replicasets",
    "statefulsets",
    "daemonsets",
    "jobs",
    "cronjobs",
)


def template(account: str | None, **field: Any) -> Json:
    of_pod = pod(account, **field)
    of_pod["metadata"].pop("name")
    return of_pod


def workload(resource: str, account: str | None, **field: Any) -> tuple[str, Json]:
    """(API group's path, object) of each of the nine kinds."""
    meta = {"metadata": {"name": "p"}}
    made = template(account, **field)
    selector = {"selector": {"matchLabels": {"app": "p"}}}
    job = copy.deepcopy(made)
    job["spec"]["restartPolicy"] = "Never"
    cron = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": job}}}
    groups = {"jobs": "/apis/batch/v1", "cronjobs": "/apis/batch/v1"}
    core = {"pods", "podtemplates", "replicationcontrollers"}
    bodies: dict[str, Json] = {
        "pods": pod(account, **field),
        "podtemplates": meta | {"template": made},
        "replicationcontrollers": meta | {"spec": {"selector": {"app": "p"}, "template": made}},
        "statefulsets": meta | {"spec": {"serviceName": "s", "template": made, **selector}},
        "jobs": meta | {"spec": {"template": job}},
        "cronjobs": meta | {"spec": cron},
    }
    body = bodies.get(resource, meta | {"spec": {"template": made, **selector}})
    return groups.get(resource, "/api/v1" if resource in core else "/apis/apps/v1"), body
