"""Fewest sessions a core among the nodes that have the label asked for."""

from componentize_py_types import Err
from wit_world.exports import policy
from wit_world.exports.policy import Refusal_Declined, Setting
from wit_world.imports import answer, nodes, settings


class Policy:
    def settings(self):
        return [
            Setting("label", "pool", "the label that a node must have"),
            Setting("value", None, "the value that the label must have; any where it is absent"),
        ]

    def check(self):
        if not settings.get("label"):
            raise Err("label: expected the name of a label, found nothing")

    def rank(self):
        wanted = settings.get("value")
        key = settings.get("label")
        labels = nodes.label(key)
        names = nodes.names()
        sessions, cores = nodes.sessions(), nodes.cores()
        fit = [i for i, v in enumerate(labels) if v is not None and wanted in (None, v)]
        if not fit:
            raise Err(Refusal_Declined(f"no node has the label {key}"))
        fit.sort(key=lambda i: (sessions[i] / cores[i], names[i]))
        best = fit[0]
        answer.reason(f"{names[best]} has {sessions[best]} sessions on {cores[best]} cores")
        return fit
