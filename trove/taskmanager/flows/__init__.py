"""The flows of all kinds of operations, each in a module of its own that reads like a recipe."""
from trove.taskmanager.flows import create, delete, reboot, restart, stop

FLOWS = {flow.kind: flow for flow in (create.FLOW, restart.FLOW, reboot.FLOW, stop.FLOW, delete.FLOW)}
