"""Avro in Confluent framing, with a schema registry."""

from streams.serde.codec import Decoder, Encoder, frame_id
from streams.serde.registry import Registry

__all__ = ["Decoder", "Encoder", "Registry", "frame_id"]
