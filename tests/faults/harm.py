"""Ways in which a file is damaged."""


def flipped(path):
    """One bit in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(bytes(data))


def truncated(path):
    """The second half is gone."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def emptied(path):
    """Nothing is left in it."""
    path.write_bytes(b"")


def appended(path):
    """Something else follows."""
    with path.open("ab") as file:
        file.write(b"\n{ something else }\n")


HARMS = {"flipped": flipped, "truncated": truncated, "emptied": emptied, "appended": appended}
