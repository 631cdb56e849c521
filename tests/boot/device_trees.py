"""Device trees made by the tests, and dtc's account of one, read without any code of ttbr."""

import re
import struct
import subprocess
from typing import Any

Properties = dict[str, bytes]
Tree = tuple[str, Properties, list[Any]]

BEGIN, END_NODE, PROP, NOP, END = (struct.pack(">I", token) for token in (1, 2, 3, 4, 9))


def cells(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


class Strings:
    def __init__(self) -> None:
        self.block = b""

    def add(self, name: str) -> int:
        at = len(self.block)
        self.block += name.encode() + b"\0"
        return at


def structure(tree: Tree, strings: Strings) -> bytes:
    name, properties, children = tree
    out = BEGIN + padded(name.encode() + b"\0")
    for key, data in properties.items():
        out += PROP + cells(len(data), strings.add(key)) + padded(data)
    return out + b"".join(structure(child, strings) for child in children) + END_NODE


def blob(tree: Tree, *, reserve=(), version: int = 17, slack: int = 0, boot_cpu: int = 0) -> bytes:
    """A blob of the tree, in the order that dtc uses."""
    strings = Strings()
    body = structure(tree, strings) + END
    return assemble(
        body, strings.block, reserve=reserve, version=version, slack=slack, boot_cpu=boot_cpu
    )


def assemble(body, strings, *, reserve=(), version=17, slack=0, boot_cpu=0) -> bytes:
    reserve_at = 40
    reserve_block = b"".join(struct.pack(">QQ", *entry) for entry in [*reserve, (0, 0)])
    body_at = reserve_at + len(reserve_block)
    strings_at = body_at + len(body)
    total = strings_at + len(strings) + slack
    fields = [0xD00DFEED, total, body_at, strings_at, reserve_at, version, 16, boot_cpu]
    fields += [len(strings)] + ([len(body)] if version >= 17 else [])
    return cells(*fields).ljust(reserve_at, b"\0") + reserve_block + body + strings + bytes(slack)


def machine(**chosen: bytes) -> Tree:
    """A small board: 2 GiB of RAM at 0x60000000, one serial port, what /chosen is given."""
    wide = {"#address-cells": cells(2), "#size-cells": cells(2)}
    return (
        "",
        {**wide, "model": b"a board\0", "compatible": b"ttbr,board\0ttbr,any\0"},
        [
            ("chosen", dict(chosen), []),
            (
                "memory@60000000",
                {"device_type": b"memory\0", "reg": cells(0, 0x60000000, 0, 0x80000000)},
                [],
            ),
            (
                "soc",
                {"#address-cells": cells(1), "#size-cells": cells(1), "ranges": b""},
                [
                    (
                        "serial@9000000",
                        {"reg": cells(0x9000000, 0x1000), "phandle": cells(7), "status": b"okay\0"},
                        [],
                    ),
                    ("serial@9001000", {"status": b"disabled\0", "linux,phandle": cells(8)}, []),
                ],
            ),
        ],
    )


def content(node) -> Tree:
    """Names, properties and children of a node that ttbr has read."""
    properties = {name: found.data for name, found in node.properties.items()}
    return node.name, properties, [content(child) for child in node.children]


def run(command: list[str], data: bytes) -> bytes:
    done = subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def compile_source(dtc: str, source: str | bytes) -> bytes:
    text = source.encode() if isinstance(source, str) else source
    return run([dtc, "-q", "-I", "dts", "-O", "dtb", "-"], text)


def decompile(dtc: str, data: bytes) -> bytes:
    return run([dtc, "-q", "-f", "-I", "dtb", "-O", "dts", "-"], data)


# What dtc writes: tabs, then `name {`, `};`, `name;` or `name = value, value;`.
VALUE = re.compile(rb'"((?:[^"\\]|\\.)*)"|<([^>]*)>|\[([^\]]*)\]')
ESCAPES = {b"n": 10, b"t": 9, b"r": 13, b"a": 7, b"b": 8, b"v": 11, b"f": 12}
ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.S)


def unescape(text: bytes) -> bytes:
    def one(found: re.Match[bytes]) -> bytes:
        code = found.group(1)
        if code[:1] == b"x":
            return bytes([int(code[1:], 16)])
        if code.isdigit():
            return bytes([int(code, 8)])
        return bytes([ESCAPES.get(code, code[0])])

    return ESCAPE.sub(one, text)


def value(text: bytes) -> bytes:
    out = b""
    for string, numbers, hexadecimal in VALUE.findall(text):
        if numbers:
            out += cells(*(int(number, 16) for number in numbers.split()))
        elif hexadecimal:
            out += bytes.fromhex(hexadecimal.decode())
        else:
            out += unescape(string) + b"\0"
    return out


def read_source(source: bytes) -> tuple[list[tuple[int, int]], Tree]:
    """The reserve map and the tree in what dtc decompiled."""
    reserve: list[tuple[int, int]] = []
    stack: list[Tree] = [("", {}, [])]
    for line in source.splitlines():
        text = line.strip()
        if text.startswith(b"/memreserve/"):
            first, second = text.rstrip(b";").split()[1:]
            reserve.append((int(first, 16), int(second, 16)))
        elif text.endswith(b" {"):
            node: Tree = (text[:-2].decode().lstrip("/"), {}, [])
            stack[-1][2].append(node)
            stack.append(node)
        elif text == b"};":
            stack.pop()
        elif text.endswith(b";"):
            name, _, rest = text[:-1].partition(b" = ")
            stack[-1][1][name.decode()] = value(rest)
    return reserve, stack[0][2][0]
