"""murmur2 as everybody else computes it."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2
from hypothesis import given
from hypothesis import strategies as st

from streams.serde.partitioning import murmur2, partition_of

# From the tests of Kafka's Java client.
KNOWN = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("data", sorted(KNOWN))
def test_hashes_are_those_of_the_java_client(data: bytes) -> None:
    """The values that Kafka's own tests pin."""
    assert murmur2(data) == KNOWN[data] & 0xFFFFFFFF


@given(st.binary(max_size=70))
def test_hashes_are_those_of_aiokafka(data: bytes) -> None:
    """For any bytes, of any length modulo 4."""
    assert murmur2(data) == aiokafka_murmur2(data)


@given(st.text(max_size=30), st.integers(1, 200))
def test_a_partition_is_one_of_those_there_are(key: str, partitions: int) -> None:
    """And the same each time."""
    assert 0 <= partition_of(key, partitions) < partitions
    assert partition_of(key, partitions) == partition_of(key, partitions)
