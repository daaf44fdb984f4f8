"""The tables of docs/controllers.md, from the chart's files/controllers.json."""

from typing import Any

Json = dict[str, Any]


def controllers(catalogue: Json) -> list[str]:
    """A row for each controller: its ServiceAccounts and its kinds."""
    rows = ["| controller | ServiceAccounts | kinds |", "| --- | --- | --- |"]
    for name, controller in catalogue["controllers"].items():
        accounts = "<br>".join(f"`{one['namespace']}/{one['name']}`" for one in controller["accounts"])
        kinds = ", ".join(kind["kind"] for kind in controller["kinds"])
        rows.append(f"| `{name}` | {accounts} | {kinds or 'none: its users send their requests to its own API'} |")
    return rows


def paths(catalogue: Json) -> list[str]:
    """A row for each path of each kind."""
    rows = ["| kind | path | contains |", "| --- | --- | --- |"]
    for name, controller in catalogue["controllers"].items():
        for kind in controller["kinds"]:
            first = f"{kind['kind']} (`{name}`)"
            for path, what in kind["paths"].items():
                rows.append(f"| {first} | `{path}` | {_what(what)} |")
                first = ""
            for implied in kind.get("implied", ()):
                rows.append(f"| {first} | {_when(implied)} | the account {_account(implied['account'])} |")
                first = ""
            if kind.get("referred"):
                rows.append(f"| {first} | `metadata.name` | the name by which other objects refer to it |")
    return rows


def shapes(catalogue: Json) -> list[str]:
    """A row for each path of each shape."""
    rows = ["| shape | path | contains |", "| --- | --- | --- |"]
    for name, below in catalogue["shapes"].items():
        first = f"`{name}`"
        for path, what in below.items():
            where = f"`{path}`" if path else "the object itself"
            rows.append(f"| {first} | {where} | {_what(what)} |")
            first = ""
    return rows


def _what(what: Any) -> str:
    if isinstance(what, dict):
        allowed = ", ".join(f"`{one}`" for one in what["anyUnless"] if one)
        return f"any account, except {allowed}" + (" or nothing" if "" in what["anyUnless"] else "")
    words = {"account": "an account", "reference": "a reference to an object", "any": "any account"}
    return words.get(what, f"`{what}`")


def _when(implied: Json) -> str:
    unless = " and ".join(f"`{path}`" for path in implied.get("unless", ()))
    flag = f", with `{implied['if']}: true`" if "if" in implied else ""
    return f"nothing at {unless}{flag}" if unless else "always"


def _account(account: str) -> str:
    if account == "{default}":
        return "`defaultAccount` of the values"
    return f"`{account.replace('{name}', '<name of the object>')}`"
