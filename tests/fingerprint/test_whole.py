import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise import noise

from mobius_tui.fingerprint.whole import is_whole, is_whole_exr, is_whole_psd


@pytest.mark.parametrize("format_name", ["WEBP", "AVIF", "JPEG2000"])
def test_a_container_knows_its_length(format_name):
    buffer = io.BytesIO()
    noise((100, 80), 90).convert("RGB").save(buffer, format_name)
    data = buffer.getvalue()
    assert is_whole(data, format_name)
    for cut in (1, 10, len(data) // 2):
        assert not is_whole(data[:-cut], format_name)


def psd(rows, packing=b"\0\1"):
    """One channel of 8 bits, rows packed."""
    head = b"8BPS\0\1" + bytes(6) + b"\0\1" + len(rows).to_bytes(4, "big") + b"\0\0\0\4" + b"\0\x08\0\1" + bytes(12)
    if packing == b"\0\0":
        return head + packing + b"".join(rows)
    return head + packing + b"".join(len(row).to_bytes(2, "big") for row in rows) + b"".join(rows)


@given(st.lists(st.binary(min_size=4, max_size=4), min_size=1, max_size=9), st.sampled_from([b"\0\0", b"\0\1"]))
def test_every_missing_byte_of_a_psd_is_noticed(rows, packing):
    data = psd(rows, packing)
    assert is_whole_psd(data)
    for cut in range(1, len(b"".join(rows)) + 1):
        assert not is_whole_psd(data[:-cut])


def exr(chunks):
    head = b"\x76\x2f\x31\x01\x02\0\0\0" + b"name\0int\0\4\0\0\0abcd" + b"\0"
    at, table, body = len(head) + 8 * len(chunks), b"", b""
    for number, chunk in enumerate(chunks):
        table += (at + len(body)).to_bytes(8, "little")
        body += number.to_bytes(4, "little") + len(chunk).to_bytes(4, "little") + chunk
    return head + table + body


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=6))
def test_every_missing_byte_of_an_exr_is_noticed(chunks):
    data = exr(chunks)
    assert is_whole_exr(data)
    for kept in range(12, len(data)):
        assert not is_whole_exr(data[:kept])


@given(st.binary(max_size=300), st.sampled_from(["OpenEXR", "PSD", "PSB", "WEBP", "JPEG XL", "HEIF", "DPX"]))
def test_any_bytes_get_an_answer(data, name):
    assert is_whole(data, name) in {True, False}
