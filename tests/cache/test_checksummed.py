"""What was sealed is read back, and nothing else."""

import hashlib
import io

from hypothesis import given
from hypothesis import strategies as st

from ftu.cache import checksummed


def written(payload: bytes) -> bytes:
    file = io.BytesIO()
    checksummed.write(file, payload)
    return file.getvalue()


@given(st.binary())
def test_a_payload_stands_behind_its_hash(payload):
    assert written(payload) == hashlib.sha256(payload).digest() + payload
    assert checksummed.payload(written(payload)) == payload


@given(payload=st.binary(), place=st.integers(0), bit=st.integers(0, 7), more=st.binary(min_size=1))
def test_a_bit_that_differs_or_bytes_that_are_missing_or_more_are_damage(payload, place, bit, more):
    content = written(payload)
    spoilt = bytearray(content)
    spoilt[place % len(content)] ^= 1 << bit
    for damaged in (bytes(spoilt), content[: place % len(content)], content + more):
        assert checksummed.payload(damaged) is None
