"""How a peer is started: its options, and its reference rows."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from agents.bench.peer import PeerBilling
from agents.bench.topics import read_topic
from agents.billing.reference import BillingReference
from agents.billing.view import BillingView
from streams.references.feed import PREFIX
from streams.serde import Decoder, Registry


@dataclass(frozen=True, slots=True)
class PeerOptions:
    """Where a peer runs. Its outputs have ``prefix`` before their contracted names.

    ``started`` is a file that it makes at its first event.
    """

    bootstrap: str
    registry: str
    folder: Path
    partitions: int
    prefix: str
    started: Path
    schema_ids: dict[str, int]


def parse_options(program: str) -> PeerOptions:
    """Options of the command line; one JSON object, since only the benchmark starts a peer."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("options", type=json.loads)
    values = parser.parse_args().options
    return PeerOptions(**{**values, "folder": Path(values["folder"]), "started": Path(values["started"])})


def load_billing(options: PeerOptions) -> PeerBilling:
    """What a peer computes with, its reference rows loaded."""
    decoder = Decoder(Registry(options.registry))
    return PeerBilling(_reference(options.bootstrap, decoder), decoder, options.schema_ids)


def _reference(bootstrap: str, decoder: Decoder) -> BillingReference:
    """The reference tables as they are now: each topic is read once, to its end."""
    view = BillingView()
    for entity in view.entities:
        for _, value in read_topic(bootstrap, PREFIX + entity):
            if value is not None:
                row = decoder.decode(value)
                view.apply(entity, row["id"], None if row["deleted"] else row)
    return view.reference
