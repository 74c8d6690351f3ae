"""Contracts: what every topic promises, as data under ``avro/``."""

from streams.contracts.catalogue import Contracts, TopicContract, load_contracts
from streams.contracts.locator import contract_path, load_schema

__all__ = ["Contracts", "TopicContract", "contract_path", "load_contracts", "load_schema"]
