"""The driver's parts that need no terminal: any byte on the way in, no waiting on the way out."""

import os
import select

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("termios", reason="a terminal of Linux or macOS is needed")

from mobius_tui.console.driver import MOST_BACKLOG, PatientWriter, TolerantInput


def read_all(chunks):
    tolerant = TolerantInput()
    return "".join(tolerant.feed(chunk) for chunk in chunks)


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_any_bytes_give_text(chunks):
    read_all(chunks).encode("utf-8")


@given(st.text(st.characters(exclude_characters="\x1b", exclude_categories=["Cs"]), max_size=40), st.integers(1, 7))
def test_utf8_comes_through_however_it_is_cut(text, size):
    data = text.encode()
    assert read_all(data[n : n + size] for n in range(0, len(data), size)) == text


@given(st.binary(min_size=3, max_size=3), st.integers(1, 9))
def test_old_mouse_reports_are_no_keys(report, size):
    data = b"a\x1b[M" + report + b"z"
    text = read_all(data[n : n + size] for n in range(0, len(data), size))
    assert text.replace("\x1b", "").replace("[", "") == "az"  # a cut report may leave its harmless beginning
    assert read_all([data]) == "az"


def test_a_mouse_report_that_spells_keys_does_nothing():
    assert read_all([b"\x1b[M Md", b"\x1b[MqCb"]) == ""


def test_escape_alone_is_not_held_back():
    assert read_all([b"\x1b"]) == "\x1b"
    assert read_all([b"\x1b", b"[", b"A"]) == "\x1b[A"


def test_modern_sequences_come_through():
    assert read_all([b"\x1b[<0;3;4M\x1b[A"]) == "\x1b[<0;3;4M\x1b[A"


def test_bytes_that_are_not_utf8_are_left_out():
    assert read_all([b"a\xff\xfe", b"b\x80c"]) == "abc"


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        os.close(descriptor)


def test_a_reader_that_stalls_never_stops_the_writer(pipe):
    reading, writing = pipe
    writer = PatientWriter(writing)
    for _ in range(3 * MOST_BACKLOG // 10_000):
        writer.write("x" * 10_000)
    assert writer.lost
    assert 0 < writer.backlog() <= MOST_BACKLOG + 4096
    taken = 0
    while select.select([reading], [], [], 0.5)[0]:
        taken += len(os.read(reading, 65536))
    assert taken >= MOST_BACKLOG // 2
    writer.stop(5)


def test_all_is_written_in_order_before_the_end(pipe):
    reading, writing = pipe
    writer = PatientWriter(writing)
    for number in range(100):
        writer.write(f"{number} é\n")
    writer.stop(5)
    assert os.read(reading, 65536).decode() == "".join(f"{number} é\n" for number in range(100))


def test_a_terminal_that_has_gone_is_noticed():
    reading, closed = os.pipe()
    os.close(reading)
    writer = PatientWriter(closed)
    writer.write("x")
    writer.stop(5)
    assert writer.gone
    writer.write("y")
    assert writer.backlog() == 0
    os.close(closed)


def test_stopping_does_not_wait_for_a_stalled_reader(pipe):
    _, writing = pipe
    writer = PatientWriter(writing)
    writer.write("x" * 500_000)
    writer.stop(0.05)
    assert writer.backlog() > 0


def test_a_lone_surrogate_does_not_end_the_writer(pipe):
    reading, writing = pipe
    writer = PatientWriter(writing)
    writer.write("a\udcffb")
    writer.stop(5)
    assert os.read(reading, 100) == b"a?b"
