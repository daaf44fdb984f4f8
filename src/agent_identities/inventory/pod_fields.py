"""Which fields of two pod specs differ, apart from the defaults of the API server.

Paths only: the values of fields can be secret.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import zip_longest
from typing import Any

Json = dict[str, Any]

_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "ports": "containerPort",
    "topologySpreadConstraints": "topologyKey",
}
"""The patch merge key of the lists whose elements are compared one by one. Other lists are compared as a whole."""

_CONTAINER = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_VOLUME = {"defaultMode": 0o644}
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "": {
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "terminationGracePeriodSeconds": 30,
        "enableServiceLinks": True,
        "hostUsers": True,
    },
    **dict.fromkeys(("containers", "initContainers"), _CONTAINER),
    **dict.fromkeys(("livenessProbe", "readinessProbe", "startupProbe"), _PROBE),
    "httpGet": {"path": "/", "scheme": "HTTP"},
    "ports": {"protocol": "TCP"},
    "fieldRef": {"apiVersion": "v1"},
    "resourceFieldRef": {"divisor": "0"},
    "serviceAccountToken": {"expirationSeconds": 3600},
    **dict.fromkeys(("projected", "configMap", "secret", "downwardAPI"), _VOLUME),
    "volumeClaimTemplate.spec": {"volumeMode": "Filesystem"},
}
"""The defaults of the API server, by the field that has them: pkg/apis/core/v1/{defaults,zz_generated.defaults}.go.

Those of projected sources have no defaultMode: both sides get the same.
"""

_NOT_EMPTY = frozenset(
    {
        "allowPrivilegeEscalation",
        "automountServiceAccountToken",
        "enableServiceLinks",
        "fsGroup",
        "hostUsers",
        "runAsGroup",
        "runAsUser",
        "terminationGracePeriodSeconds",
    }
)
"""Fields whose false or 0 is not the same as no value."""

_QUANTITIES = frozenset({"limits", "requests"})
_SUFFIXES = {
    **{suffix: Decimal(10) ** (3 * power) for power, suffix in enumerate(("n", "u", "m", "", "k", "M", "G"), -3)},
    **{suffix: Decimal(10) ** (3 * power) for power, suffix in enumerate(("T", "P", "E"), 4)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that differs. ``steps`` lead to it: names of fields, and (merge key, value) of list elements.

    ``added``: the declared spec does not have it, or has the default of the API server.
    """

    steps: tuple[str | tuple[str, Any], ...]
    added: bool = False

    @property
    def path(self) -> str:
        """``containers[agent].env[LD_PRELOAD]``."""
        parts = (f"[{step[1]}]" if isinstance(step, tuple) else f".{step}" for step in self.steps)
        return "".join(parts).removeprefix(".")


def differences(live: Mapping[str, Any], declared: Mapping[str, Any]) -> tuple[Difference, ...]:
    """The fields of the spec of a pod that differ from those of the declared spec.

    The order of containers, volumes, variables and mounts is not compared: patches can change it. The digest that an
    admission webhook adds to an image is no difference, and neither is the pull policy that the API server chose.
    """
    return tuple(dict.fromkeys(_compared(_normal(live), _normal(declared), ())))


def _compared(live: Any, declared: Any, steps: tuple[Any, ...]) -> Iterator[Difference]:
    if isinstance(live, dict) and isinstance(declared, dict):
        for key in sorted({*live, *declared}):
            if key not in declared:
                if not _chosen(key, live[key]):
                    yield from _each_added(live[key], (*steps, key))
            elif key not in live:
                yield Difference((*steps, key))
            else:
                yield from _compared(live[key], declared[key], (*steps, key))
    elif isinstance(live, list) and isinstance(declared, list) and steps[-1] in _KEYS:
        yield from _elements(live, declared, steps)
    elif live != declared and not (steps[-1] == "image" and str(live).startswith(f"{declared}@")):
        yield Difference(steps, added=_is_default(declared, steps))


def _is_default(value: Any, steps: tuple[Any, ...]) -> bool:
    """Whether the API server gives a field this value, if nobody sets it."""
    above, parent, field = ["", "", *(step for step in steps if isinstance(step, str))][-3:]
    defaults = _defaults(_place(above, parent))
    return bool(field in defaults and defaults[field] == value)


def _chosen(key: str, value: object) -> bool:
    """Whether a field is the pull policy that the API server chose for this or an earlier image (or image volume)."""
    return key in ("imagePullPolicy", "pullPolicy") and value in ("Always", "IfNotPresent")


def _each_added(value: Any, steps: tuple[Any, ...]) -> Iterator[Difference]:
    """An added field; each element of an added list, and the handlers of an added lifecycle."""
    key = _KEYS.get(steps[-1])
    if key and isinstance(value, list) and len({each.get(key) for each in value}) == len(value):
        yield from (Difference((*steps, (key, each.get(key, ""))), added=True) for each in value)
    elif steps[-1] in ("dnsConfig", "lifecycle"):
        yield from (Difference((*steps, name), added=True) for name in value)
    else:
        yield Difference(steps, added=True)


def _elements(live: list[Json], declared: list[Json], steps: tuple[Any, ...]) -> Iterator[Difference]:
    key = _KEYS[steps[-1]]
    before, now = _by_key(declared, key), _by_key(live, key)
    for name in dict.fromkeys((*before, *now)):
        step = (*steps, (key, name))
        for one, other in zip_longest(now.get(name, ()), before.get(name, ())):
            if one is not None and other is not None:
                yield from _compared(one, other, step)
            else:
                yield Difference(step, added=other is None)


def _by_key(elements: list[Json], key: str) -> dict[Any, list[Json]]:
    found: dict[Any, list[Json]] = {}
    for each in elements:
        found.setdefault(each.get(key, ""), []).append(each)
    return found


def _normal(spec: Mapping[str, Any]) -> Json:
    """The spec with defaults, without empty fields, and without the deprecated name of the ServiceAccount."""
    spec = {**spec}
    if spec.get("serviceAccount") == spec.get("serviceAccountName"):
        spec.pop("serviceAccount", None)
    found: Json = _normalized(spec, "")
    return found


def _normalized(value: Any, field: str) -> Any:
    if isinstance(value, Mapping):
        found = {key: _normalized(each, _place(field, key)) for key, each in value.items()}
        if field in _QUANTITIES:
            return {key: _quantity(each) for key, each in found.items()}
        kept = {key: each for key, each in found.items() if key in _NOT_EMPTY or _is_set(each)}
        return {**_defaults(field), **{key: each for key, each in kept.items() if each is not None}}
    if isinstance(value, (list, tuple)):
        return [_normalized(each, field) for each in value]
    return _quantity(value) if field in ("sizeLimit", "divisor") else value


def _place(field: str, key: str) -> str:
    return f"{field}.{key}" if (field, key) == ("volumeClaimTemplate", "spec") else key


def _defaults(field: str) -> Mapping[str, Any]:
    return {key: _quantity(value) if key == "divisor" else value for key, value in _DEFAULTS.get(field, {}).items()}


def _is_set(value: object) -> bool:
    return bool(value) or isinstance(value, Decimal)


def _quantity(value: Any) -> Any:
    """The number of a quantity: ``500m`` and ``0.5`` are the same."""
    text = str(value)
    number = text.rstrip("numkMGTPEKi")
    try:
        return Decimal(number) * _SUFFIXES[text[len(number) :]]
    except (InvalidOperation, KeyError):
        return text
