"""Tells what a file is, and whether it is a model of ours that nobody has changed, before anything in it is run."""

import zipfile
from pathlib import Path
from typing import Literal

from translate.errors import ModelError, one_line
from translate.inference.graph_file import GraphFacts, Value, read_graph
from translate.options import quoted
from translate.spec import METADATA_KEY, ModelSpec

Kind = Literal["unknown", "pickle", "safetensors", "archive", "page", "pointer", "text", "empty"]

_CONTROLS = ("label", "style", "detail")
_DOMAINS = ("com.microsoft", "ai.onnx.ml")
"""Domains of operators, besides the standard one, that are part of ONNX Runtime."""
_RESERVED = ("ai.onnx", "com.microsoft", "com.ms", "org.pytorch")
"""What the domains of ONNX and ONNX Runtime begin with. Where a file defines an operator that is built in, ONNX Runtime
runs its own, not the file's: a function called Loop would hide a real loop."""
_LISTED = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization Cast CastLike Ceil
Celu CenterCropPad Clip Col2Im Compress Concat Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumSum
DFT DeformConv DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike
Flatten Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GridSample
GroupNormalization HardSigmoid HardSwish Hardmax Identity If InstanceNormalization IsInf IsNaN LRN LayerNormalization
LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization MatMul MatMulInteger Max MaxPool Mean
MeanVarianceNormalization Min Mish Mod Mul Neg Not OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear
RMSNormalization Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize Round ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign
Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu
Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
com.microsoft.BiasGelu com.microsoft.DequantizeLinear com.microsoft.DynamicQuantizeMatMul com.microsoft.FastGelu
com.microsoft.FusedConv com.microsoft.FusedMatMul com.microsoft.Gelu com.microsoft.GridSample com.microsoft.GroupNorm
com.microsoft.MatMulIntegerToFloat com.microsoft.MatMulNBits com.microsoft.NhwcConv com.microsoft.NhwcMaxPool
com.microsoft.QLinearAdd com.microsoft.QLinearAveragePool com.microsoft.QLinearConcat
com.microsoft.QLinearGlobalAveragePool com.microsoft.QLinearLeakyRelu com.microsoft.QLinearMul
com.microsoft.QLinearSigmoid com.microsoft.QLinearSoftmax com.microsoft.QuantizeLinear com.microsoft.QuickGelu
com.microsoft.SkipLayerNormalization
"""
OPERATORS = frozenset(_LISTED.split())
"""What a picture model may be made of: arithmetic on tensors. Left out are loops, which may never end, texts,
sequences, chance, and whatever decodes files."""
_SHOWN = 12
"""Number of digits of a digest in messages."""


def kind_of(path: Path) -> Kind:
    """What the first bytes of a file say it is; `unknown`: none of the others, as ONNX, which has no mark.

    `pickle`: what `torch.save` writes. `archive`: any other zip. `page`: HTML or XML. `pointer`: what Git LFS has in
    the place of a file that was not fetched. `text`: any other in UTF-8.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "empty"
    if start.startswith(b"PK\x03\x04"):
        return "pickle" if _holds_pickle(path) else "archive"
    if start[0] == 0x80:
        return "pickle"
    length = int.from_bytes(start[:8], "little")  # of the header of safetensors, which is JSON
    if start[8:9] == b"{" and length < path.stat().st_size:
        return "safetensors"
    if start.lstrip().startswith(b"<"):
        return "page"
    if start.startswith(b"version https://git-lfs"):
        return "pointer"
    return "text" if _is_text(start) else "unknown"


def check_model(path: Path, said: str = "") -> ModelSpec:
    """Check that a file is a whole, unchanged model of ours; returns its description.

    The weights are compared with the digest in the description, if there is one: old files have none.

    Args:
        path: the file.
        said: what it is called in messages, if not by its path.

    Raises:
        ModelError: it is something else, truncated, changed, needs other files or operators, or has no description.
        OSError: the file cannot be read.
    """
    said = said or str(path)
    graph = read_onnx(path, said)
    spec = ModelSpec.from_metadata(graph.metadata, said)
    check_graph(graph, spec, said)
    if spec.weights_sha256 and graph.weights_sha256 not in ("", spec.weights_sha256):
        raise ModelError(
            f"{said}: the digest of its weights is {graph.weights_sha256[:_SHOWN]}..., but "
            f"{spec.weights_sha256[:_SHOWN]}... is recorded in it: they were damaged or changed after the export; "
            "download or export it again"
        )
    return spec


def read_onnx(path: Path, said: str = "") -> GraphFacts:
    """Read what an ONNX file says of itself, whichever program wrote it.

    Args:
        path: the file.
        said: what it is called in messages, if not by its path.

    Raises:
        ModelError: it is something else or truncated, or needs other files or operators.
        OSError: the file cannot be read.
    """
    said = said or str(path)
    refuse_kind(kind_of(path), said, path)
    graph = read_graph(path, said)
    if graph.elsewhere:
        raise ModelError(
            f"{said}: some of its weights are in another file, expected one file with everything in it; export it "
            "again, with the weights inside"
        )
    domains = {name: name.rpartition(".")[0] for name in graph.functions}
    if reserved := [name for name, domain in domains.items() if not domain or domain.startswith(_RESERVED)]:
        raise ModelError(
            f"{said}: defines the operators {', '.join(sorted(reserved)[:3])} itself, whose names belong to ONNX or "
            "ONNX Runtime; export it again with `translate export`"
        )
    names = [name for name in graph.operators if "." in name and name.rpartition(".")[0] not in _DOMAINS]
    if foreign := [name for name in names if name not in graph.functions]:
        raise ModelError(
            f"{said}: needs the operators {', '.join(foreign[:3])}, expected are those of ONNX alone; export it again "
            "with `translate export`"
        )
    return graph


def refuse_kind(kind: Kind, said: str, path: Path) -> None:
    """Refuse what is not ONNX by its kind; `path` is what a command for it would name.

    Raises:
        ModelError: it is of another kind than `unknown`.
    """
    checkpoint = (
        "is a checkpoint of PyTorch, expected an ONNX model; turn it into one with: "
        f"translate import {quoted(path)} -o mine.onnx"
    )
    found = {
        "empty": "is empty (0 bytes), expected an ONNX model; download or export it again",
        "pickle": checkpoint,
        "safetensors": checkpoint,
        "archive": "is a zip archive, expected an ONNX model; unpack it and give the .onnx file in it",
        "page": "is a web page, expected an ONNX model; download the file itself, not the page about it",
        "pointer": "stands for a file in Git LFS, expected an ONNX model; fetch the file itself: git lfs pull",
        "text": "is a text, expected an ONNX model; check the name, or download it again",
    }
    if kind in found:
        raise ModelError(f"{said}: {found[kind]}")


def _is_text(start: bytes) -> bool:
    """Whether bytes are the beginning of a text; those of an ONNX file have control characters among them."""
    try:
        letters = start.decode()
    except UnicodeDecodeError as error:
        if error.end < len(start):  # not merely a letter that was cut
            return False
        letters = start[: error.start].decode()
    return all(letter.isprintable() or letter.isspace() for letter in letters)


def _holds_pickle(path: Path) -> bool:
    """Whether a zip has what `torch.save` puts in; also for one that is cut short, since few others end up here."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.rpartition("/")[2] == "data.pkl" for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return True


def check_graph(graph: GraphFacts, spec: ModelSpec, said: str) -> None:
    """Check that the inputs and outputs are those that the description promises, and that only operators of the table
    are in the graph; `said`: the file, in messages.

    Raises:
        ModelError: they are not.
    """
    if others := [name for name in graph.operators if name not in OPERATORS and name not in graph.functions]:
        raise ModelError(
            f"{said}: has the operators {one_line(', '.join(others[:3]))}, which no picture model needs; export it "
            "again with `translate export`"
        )
    image, *controls = graph.inputs or [Value("no input", "", None)]
    (result, *_) = graph.outputs or [Value("no output", "", None)]
    wanted = ((image, spec.input_bits, spec.input_channels), (result, spec.output_bits, spec.output_channels))
    for value, bits, channels in wanted:
        fits = value.shape is None or (len(value.shape) == 4 and value.shape[3] in (None, channels))
        name = "image" if value is image else value.name
        if value.type != f"uint{bits}" or not fits or value.name != name:
            raise ModelError(
                f"{said}: its graph has {one_line(str(value))}, expected {one_line(name)} uint{bits} "
                f"(?, ?, ?, {channels}) as its "
                f"{METADATA_KEY} says; export it again with `translate export`"
            )
    unknown = [str(value) for value in controls if value.name not in _CONTROLS]
    if unknown:
        raise ModelError(
            f"{said}: needs the inputs {one_line(', '.join(unknown[:3]))} besides the picture, expected are "
            f"{', '.join(_CONTROLS)} at most; export it again with `translate export`"
        )
