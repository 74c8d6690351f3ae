"""The exception queue: reports of the flows become incidents with an owner, a grace period and an end."""

from agents.exceptions.catalogue import Catalogue, ExceptionClass, load_catalogue
from agents.exceptions.incident import Incident
from agents.exceptions.state_machine import TRANSITIONS, Event, State, apply, due
from agents.exceptions.timers import GraceTimers

__all__ = [
    "TRANSITIONS",
    "Catalogue",
    "Event",
    "ExceptionClass",
    "GraceTimers",
    "Incident",
    "State",
    "apply",
    "due",
    "load_catalogue",
]
