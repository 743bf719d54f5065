"""What an ONNX file says of itself, read without the package onnx: versions, operators, inputs, digest of the weights.

ONNX Runtime does not tell these. Defaults of inputs are taken out here too. The file is a protocol buffer, whose
encoding is simple: a message is a sequence of fields, each a number, a wire type and a value
(https://protobuf.dev/programming-guides/encoding/). The numbers of the fields are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translate.errors import ModelError

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
MOST_BYTES = 1 << 30
"""The largest file that is read; the largest generator that is known here has 165 MB."""
MOST_NODES = 100_000
"""Nodes of all graphs together, with those that functions stand for; generators have some hundred."""
MOST_DEPTH = 16
"""Graphs within graphs."""
_DATA_ELSEWHERE = (4, 5, 6, 7, 10, 11, 13)
"""Fields of TensorProto that hold values in other ways than as raw bytes."""
_TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
}
"""Names of the most frequent values of TensorProto.DataType."""


@dataclass(frozen=True)
class Value:
    """An input or output of a graph."""

    name: str
    type: str
    """As in numpy, e.g. `uint8`; `type N` for one that has no name here."""
    shape: tuple[int | None, ...] | None
    """None for an axis of any length; None if the file does not say."""

    def __str__(self) -> str:
        """As in messages: `image uint8 (?, ?, ?, 3)`."""
        axes = (
            "" if self.shape is None else f" ({', '.join('?' if axis is None else str(axis) for axis in self.shape)})"
        )
        return f"{self.name} {self.type}{axes}"


@dataclass(frozen=True, kw_only=True)
class GraphFacts:
    """The graph of a file."""

    ir_version: int
    opsets: Mapping[str, int]
    """Version of every operator set, by domain; the standard one is `ai.onnx`."""
    operators: Mapping[str, int]
    """Number of nodes by operator, most frequent first, including those in branches and loops. Operators of other
    domains are named with it, as `com.microsoft.Gelu`."""
    weights_sha256: str
    """Digest as in `ModelSpec.weights_sha256`; empty if weights are not stored as raw bytes, as `translate` does."""
    inputs: Sequence[Value]
    """Those that have to be given: without a default in the file."""
    outputs: Sequence[Value]
    metadata: Mapping[str, str]
    functions: frozenset[str]
    """Operators that the file itself defines, named as in `operators`."""
    elsewhere: bool
    """Whether values of any tensor are in another file: a weight, a sparse one, or one inside a node."""


def read_graph(path: Path, said: str = "") -> GraphFacts:
    """Read the facts about the graph of an ONNX file.

    Args:
        path: the file.
        said: what it is called in messages, if not by its path.

    Raises:
        ModelError: the file is truncated, not ONNX, or has more bytes or nodes than any picture model.
        OSError: the file cannot be read.
    """
    if (size := path.stat().st_size) > MOST_BYTES:
        raise ModelError(
            f"{said or path}: has {size / 2**20:,.0f} MiB, expected a model of at most {MOST_BYTES >> 20:,} MiB; check "
            "that it is one"
        )
    try:
        return _facts(memoryview(path.read_bytes()))
    except _TooMuch as error:
        raise ModelError(f"{said or path}: has {error}; it is no picture model, or made to harm") from None
    except (ValueError, IndexError, TypeError, RecursionError):  # TypeError: a field of another wire type
        raise ModelError(f"{said or path}: truncated, or not an ONNX file; download or export it again") from None


def read_metadata(path: Path) -> dict[str, str]:
    """Read the entries of `metadata_props` alone, which is quick.

    Raises:
        ModelError: the file is truncated, or not ONNX.
        OSError: the file cannot be read.
    """
    try:
        return metadata_of(path.read_bytes())
    except (ValueError, IndexError, TypeError):
        raise ModelError(f"{path}: truncated, or not an ONNX file; download or export it again") from None


def metadata_of(model: bytes) -> dict[str, str]:
    """The entries of `metadata_props`.

    Raises:
        ValueError, IndexError, TypeError: the bytes are no message.
    """
    entries = [dict(_fields(value)) for number, value in _fields(memoryview(model)) if number == 14]
    return {_text(entry.get(1)): _text(entry.get(2)) for entry in entries}


def with_required_inputs(model: bytes) -> bytes:
    """The same model without the defaults of its inputs, which makes optional inputs required.

    Some runtimes do not offer inputs that have a default: they take the default for a constant.

    Raises:
        ValueError, IndexError, TypeError: the bytes are no message.
    """
    made = bytearray()
    for number, value, whole in _parts(memoryview(model)):
        if number != 7:  # graph
            made += whole
            continue
        parts = list(_parts(value))
        inputs = {_text(dict(_fields(one)).get(1)) for kind, one, _ in parts if kind == 11}
        kept = [
            part for kind, one, part in parts if kind != 5 or _text(dict(_fields(one)).get(8)) not in inputs
        ]  # initializer, and its name
        size = sum(map(len, kept))
        made += bytes([7 << 3 | _LENGTH]) + _as_varint(size)
        for part in kept:
            made += part
    return bytes(made)


def without_metadata(model: bytes) -> bytes:
    """The same model without the entries of `metadata_props`: what a runtime computes.

    Raises:
        ValueError, IndexError, TypeError: the bytes are no message.
    """
    return b"".join(whole for number, _, whole in _parts(memoryview(model)) if number != 14)


def weights_digest(weights: Iterable[tuple[str, bytes | memoryview]]) -> str:
    """`ModelSpec.weights_sha256`: SHA-256 of the names and raw bytes of all initializers, sorted by name."""
    digest = hashlib.sha256()
    for name, raw in sorted(weights, key=lambda weight: weight[0]):
        digest.update(name.encode() + b"\0")
        digest.update(raw)
    return digest.hexdigest()


def encoded(*fields: tuple[int, int | str | bytes]) -> bytes:
    """A message of these fields: their numbers and values."""
    made = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            made += bytes([number << 3 | _VARINT]) + _as_varint(value)
        else:
            content = value.encode() if isinstance(value, str) else value
            made += bytes([number << 3 | _LENGTH]) + _as_varint(len(content)) + content
    return bytes(made)


def _facts(data: memoryview) -> GraphFacts:
    ir_version, graphs, nodes = 0, list["memoryview | int"](), _Nodes()
    opsets, metadata = dict[str, int](), dict[str, str]()
    for number, value in _fields(data):
        if number == 1:  # ir_version
            ir_version = int(value)  # pyright: ignore[reportArgumentType]
        elif number == 8:  # opset_import
            one = dict(_fields(value))
            opsets[_text(one.get(1)) or "ai.onnx"] = int(one.get(2, 0))  # pyright: ignore[reportArgumentType]
        elif number == 7:  # graph
            graphs.append(value)
        elif number == 14:  # metadata_props
            one = dict(_fields(value))
            metadata[_text(one.get(1))] = _text(one.get(2))
        elif number == 25:  # functions
            nodes.add_function(value)
        elif number == 20:  # training_info, whose graphs nothing runs here
            raise ValueError("a training")
    if not ir_version or not opsets or len(graphs) != 1:  # readers would merge several
        raise ValueError("no versions, or not one graph")
    (graph,) = graphs
    nodes.add_graph(graph)
    operators = nodes.operators
    parts = list(_fields(graph))
    tensors = [dict(_fields(value)) for number, value in parts if number == 5]
    weights = [_weight(tensor) for tensor in tensors]
    raw = [(name, value) for name, value in weights if value is not None]
    given = {name for name, _ in weights}
    return GraphFacts(
        ir_version=ir_version,
        opsets=opsets,
        operators=dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))),
        weights_sha256=weights_digest(raw) if len(raw) == len(weights) else "",
        inputs=[one for number, value in parts if number == 11 and (one := _value(value)).name not in given],
        outputs=[_value(value) for number, value in parts if number == 12],
        metadata=metadata,
        functions=frozenset(nodes.functions),
        elsewhere=nodes.elsewhere,
    )


def _fields(data: "memoryview | int | None") -> Iterator[tuple[int, "memoryview | int"]]:
    """The fields of a message: their numbers and values, see `_parts`."""
    return ((number, value) for number, value, _ in _parts(data))


def _parts(data: "memoryview | int | None") -> Iterator[tuple[int, "memoryview | int", memoryview]]:
    """The fields of a message: their numbers, their values, a whole number or bytes, and the bytes of the whole field.

    Raises:
        ValueError, IndexError, TypeError: the bytes are no message.
    """
    if not isinstance(data, memoryview):
        raise TypeError("not a message")
    at = 0
    while at < len(data):
        start = at
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value, data[start:at]
            continue
        if kind == _LENGTH:
            length, at = _varint(data, at)
        else:
            length = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(kind, len(data) + 1)
        if at + length > len(data):
            raise ValueError("longer than the message")
        yield tag >> 3, data[at : at + length], data[start : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A whole number, seven bits a byte, lowest first; and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number of more than ten bytes")


def _as_varint(value: int) -> bytes:
    """The inverse of `_varint`."""
    found = bytearray()
    while value >= 128:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _text(value: "memoryview | int | None") -> str:
    return bytes(value).decode() if isinstance(value, memoryview) else ""


class _TooMuch(Exception):  # noqa: N818 - becomes a ModelError
    """More than any picture model has."""


class _Nodes:
    """Counts the nodes of graphs and functions, and looks at the tensors in them."""

    def __init__(self) -> None:
        self.operators = Counter[str]()
        self.functions: dict[str, Counter[str]] = {}
        """Operators that the file itself defines -> the operators they are made of."""
        self.elsewhere = False
        self._count = 0

    def add_graph(self, graph: "memoryview | int") -> None:
        """The main graph, after all functions."""
        self._look(graph, self.operators, 1, 1)
        sizes: dict[str, int] = {}
        total = sum(count * self._size(name, sizes) for name, count in self.operators.items())
        if total > MOST_NODES:
            raise _TooMuch(f"more than {MOST_NODES:,} nodes behind its functions")
        for found in self.functions.values():
            self.operators += Counter({name: count for name, count in found.items() if name not in self.operators})

    def add_function(self, function: "memoryview | int") -> None:
        one = dict(_fields(function))
        found = self.functions.setdefault(_operator(_text(one.get(1)), _text(one.get(10))), Counter[str]())
        self._look(function, found, 7, 1)

    def _look(self, graph: "memoryview | int", operators: Counter[str], node: int, depth: int) -> None:
        """Look at a graph or function; `node`: the number of the field with its nodes."""
        if depth > MOST_DEPTH:
            raise _TooMuch(f"more than {MOST_DEPTH} graphs within each other")
        for number, value in _fields(graph):
            if number == node:
                self._look_at_node(value, operators, depth)
            elif node == 1 and number in (5, 15):  # initializer, sparse_initializer
                self._look_at_tensor(value, sparse=number == 15)
            elif node == 7 and number == 11:  # attribute_proto: defaults
                self._look_at_attribute(value, operators, depth)

    def _look_at_node(self, node: "memoryview | int", operators: Counter[str], depth: int) -> None:
        self._count += 1
        if self._count > MOST_NODES:
            raise _TooMuch(f"more than {MOST_NODES:,} nodes")
        name = domain = ""
        for part, value in _fields(node):
            if part == 4:  # op_type
                name = _text(value)
            elif part == 7:  # domain
                domain = _text(value)
            elif part == 5:  # attribute
                self._look_at_attribute(value, operators, depth)
        operators[_operator(name, domain)] += 1

    def _look_at_attribute(self, attribute: "memoryview | int", operators: Counter[str], depth: int) -> None:
        for kind, inner in _fields(attribute):
            if kind in (6, 11):  # g, graphs: branches and loops
                self._look(inner, operators, 1, depth + 1)
            elif kind in (5, 10, 22, 23):  # t, tensors, sparse_tensor, sparse_tensors
                self._look_at_tensor(inner, sparse=kind > 10)

    def _look_at_tensor(self, tensor: "memoryview | int", *, sparse: bool) -> None:
        for number, value in _fields(tensor):
            if sparse and number in (1, 2):  # values, indices
                self._look_at_tensor(value, sparse=False)
            elif not sparse and (number == 13 or (number == 14 and value == 1)):  # external_data, data_location
                self.elsewhere = True

    def _size(self, name: str, sizes: dict[str, int]) -> int:
        """How many nodes an operator stands for: functions may call each other."""
        if name not in self.functions:
            return 1
        if name not in sizes:
            sizes[name] = MOST_NODES + 1  # for one that calls itself
            total = sum(count * self._size(each, sizes) for each, count in self.functions[name].items())
            sizes[name] = min(total, MOST_NODES + 1)
        return sizes[name]


def _operator(name: str, domain: str) -> str:
    return f"{domain}.{name}" if domain not in ("", "ai.onnx") else name


def _value(data: "memoryview | int") -> Value:
    """An input or output, from its ValueInfoProto."""
    parts = dict(_fields(data))
    kind: dict[int, Any] = {}
    for number, tensor in _fields(parts.get(2, memoryview(b""))):  # type
        kind = dict(_fields(tensor)) if number == 1 else kind  # tensor_type
    shape = None
    if 2 in kind:
        axes = [dict(_fields(axis)) for number, axis in _fields(kind[2]) if number == 1]
        shape = tuple(int(length) if isinstance(length := axis.get(1), int) else None for axis in axes)
    code = kind.get(1, 0)
    return Value(_text(parts.get(1)), _TYPES.get(code, f"type {code}") if isinstance(code, int) else "?", shape)


def _weight(parts: "Mapping[int, memoryview | int]") -> tuple[str, memoryview | None]:
    """Name and raw bytes of an initializer; None if its values are stored in another way."""
    raw = parts.get(9, memoryview(b""))
    elsewhere = any(number in parts for number in _DATA_ELSEWHERE)
    return _text(parts.get(8)), raw if isinstance(raw, memoryview) and not elsewhere else None
