"""What people read of a table of calls: `help` as text, the reference as Markdown. Pure."""

from __future__ import annotations

import json

from chains.calls.table import TYPES, Access, Call, CallTable


def help_text(table: CallTable, name: str | None = None) -> str:
    """One line per call by group as Bitcoin Core prints it, or everything about one. Raises CallError."""
    if name is not None:
        return _one(table.find(name))
    blocks = []
    for group, calls in table.groups().items():
        blocks.append("\n".join([f"== {group.capitalize()} ==", *sorted(call.usage() for call in calls)]))
    return "\n\n".join(blocks)


def _one(call: Call) -> str:
    lines = [call.usage(), "", call.doc]
    if call.parameters:
        lines += ["", "Arguments:"]
        for number, p in enumerate(call.parameters, 1):
            lines.append(f"{number}. {p.name} ({p.type.name}, {_default(p.required, p.default)}) {p.meaning}")
    if call.result:
        lines += ["", "Result:", call.result]
    if call.access is Access.WRITE:
        lines += ["", "Needs credentials."]
    return "\n".join(lines)


def _default(required: bool, default: object) -> str:
    if required:
        return "required"
    if isinstance(default, bytes):
        default = default.hex()
    return "optional" if default is None else f"optional, default {json.dumps(default)}"


def reference_page(title: str, table: CallTable) -> str:
    """The Markdown page of all calls."""
    lines = [
        f"# {title}",
        "",
        "Made of the table of calls. JSON-RPC over HTTP as Bitcoin Core speaks it: parameters by place or by name;",
        "null is as good as left out. A call that writes needs credentials: user and password, or the cookie file.",
        "",
        "| type | what it is |",
        "|---|---|",
        *(f"| {kind.name} | {kind.meaning} |" for kind in TYPES),
    ]
    for group, calls in table.groups().items():
        lines += ["", f"## {group.capitalize()}"]
        for call in sorted(calls, key=lambda call: call.name):
            lines += ["", f"### {call.name}", "", f"*{call.access.value}* · {call.doc}"]
            if call.parameters:
                lines += ["", "| parameter | type | | meaning |", "|---|---|---|---|"]
                lines += [
                    f"| `{p.name}` | {p.type.name} | {_default(p.required, p.default)} | {p.meaning} |"
                    for p in call.parameters
                ]
            if call.result:
                lines += ["", f"Result: {call.result}"]
    return "\n".join(lines) + "\n"
