"""The start of a run: from scratch, from another run, or from a model file."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from translate.errors import ConfigError, ModelError, SnapshotError
from translate.inference.models import find, resolve
from translate.networks.colour_style import ColourStyle
from translate.networks.condition import condition_vector
from translate.networks.running_stats import LEAST_SPREAD
from translate.trainers.adversarial import AdversarialGame
from translate.training.exported import Exported, read_exported
from translate.training.snapshot import FILE_NAME, read_header, read_tensors, take_over

if TYPE_CHECKING:
    from translate.tasks import Task
    from translate.trainers.base import Batch, Trainer

FINE_TUNING: Mapping[str, Any] = {"warm_start": 0.0, "discriminator_warmup": 0.05}
"""Settings for a start from a model file. The generator is already good: it would lose sharpness in a phase without the
adversarial loss, and must not be trained against an untrained discriminator."""

MEASURED, ASKED, STYLES_EACH = 64, 8, 8
"""Number of images used to estimate the style statistics, about how many of them are translated, and the number of
random styles for each of these."""


def model_files(start: str, task: "Task") -> dict[str, Path]:
    """The model files that `--start-from` refers to, by direction; empty if it is the folder of a run.

    The shipped model of a task includes that of the reverse direction.

    Raises:
        ModelError: no such file.
    """
    if (find(start) is None and Path(start).suffix.lower() != ".onnx") or (Path(start) / FILE_NAME).is_file():
        return {}
    files = {"forward": resolve(start)}
    if start == task.name and find(task.back) is not None:
        files["back"] = resolve(task.back)
    return files


def settings_of(files: Mapping[str, Path]) -> dict[str, Any]:
    """The settings that a run takes from model files unless the user gives others."""
    return {**FINE_TUNING, **read_exported(files["forward"]).settings}


def start_from_files(
    trainer: "Trainer", task: "Task", files: Mapping[str, Path], first_batch: "Callable[[], Batch]"
) -> str:
    """Load the weights of model files into the generators; returns a message about untrained networks, or "".

    Args:
        trainer: the trainer of the new run.
        task: its task.
        files: returned by `model_files`.
        first_batch: returns a few images of the data, to estimate statistics that the file lacks.

    Raises:
        ConfigError: the class labels differ, or the file is for the reverse task.
        ModelError: not written by `translate export`, or the network has other sizes.
    """
    taken: set[str] = set()
    for direction, path in files.items():
        found = read_exported(path)
        if direction == "forward" and task.back and found.spec.task == task.back:
            raise ConfigError(
                f"--start-from {path} is a model for {task.back}; train that task, or give a model for {task.name}"
            )
        _check_meaning(trainer, path, found.settings)
        name = trainer.directions[direction]
        _take_weights(trainer.get_submodule(name), found)
        taken.add(name)
        if direction == "forward":
            taken |= _take_buffers(trainer, found, first_batch)
    untrained = [name for name, _ in _trained_parts(trainer) if name not in taken]
    origin = trainer.config.start_from + (f" and {task.back}" if len(files) > 1 else "")
    return f"not in {origin}, starts untrained: {', '.join(untrained)}" if untrained else ""


def start_from_run(trainer: "Trainer", folder: Path) -> str:
    """Load the weights of another run into the networks; returns a message about untrained weights, or "".

    Raises:
        ConfigError: its class labels or styles have another meaning.
        SnapshotError: no run there, none of this generator's weights in it, or networks of other sizes.
    """
    header = read_header(folder / FILE_NAME)
    _check_meaning(trainer, folder, header.config)
    tensors = read_tensors(folder / FILE_NAME)
    scales = {header.config.get("scale"), trainer.config.settings().get("scale")}
    other_scale = len(scales - {None}) == 2
    missing = {
        name: take_over(network, name, folder, tensors, other_scale=other_scale)
        for name, network in _trained_parts(trainer)
    }
    if missing[trainer.directions["forward"]] is None:
        raise SnapshotError(
            f"--start-from {folder} has no weights for this generator; give a run with the same networks"
        )
    untrained = [name for name, names in missing.items() if names is None]
    untrained += [key for names in missing.values() for key in names or ()]
    more = f" and {len(untrained) - 3} more" if len(untrained) > 3 else ""
    return f"not in {folder}, starts untrained: {', '.join(untrained[:3])}{more}" if untrained else ""


def _trained_parts(trainer: "Trainer") -> list[tuple[str, nn.Module]]:
    """The networks that can be initialised: without the state of adversarial training and pretrained networks."""
    return [
        (name, part)
        for name, part in trainer.named_children()
        if not isinstance(part, AdversarialGame) and part.state_dict()
    ]


def _check_meaning(trainer: "Trainer", origin: Path, settings: Mapping[str, Any]) -> None:
    """Raise ConfigError for class labels or styles with another meaning."""
    labels, now = list(settings.get("label_names") or ()), list(trainer.config.data.label_names)
    if labels and now and labels != now:
        raise ConfigError(
            f"--start-from {origin}: its labels are {', '.join(labels)}, this run's are {', '.join(now)}; "
            "give the sub-folders the same names"
        )
    kind, now = settings.get("style_kind"), trainer.config.settings().get("style_kind")
    if settings.get("style_size") and now and kind != now:
        raise ConfigError(f"--start-from {origin}: its --style-kind is {kind}, this run's is {now}; use the same")


def _take_weights(generator: nn.Module, found: Exported) -> None:
    """Load the weights of a file into a generator.

    Modules that are exported in another form (folded kernels) have a method
    `load_exported(state: Mapping[str, Tensor])`, which gets the tensors below their name in the file.

    Raises:
        ModelError: names or shapes differ.
    """
    state = generator.state_dict()
    # The file also contains constants that are not in the state dict, the bicubic kernel for example.
    fixed = {name for name, _ in generator.named_buffers()} - state.keys()
    weights = {name: value for name, value in found.weights.items() if name not in fixed}
    for name, part in generator.named_modules():
        load = getattr(part, "load_exported", None)
        if load is None:
            continue
        below = {key: weights.pop(key) for key in list(weights) if key.startswith(f"{name}." if name else "")}
        load({key.removeprefix(f"{name}."): value for key, value in below.items()})
        state = {key: value for key, value in state.items() if not key.startswith(f"{name}." if name else "")}
    advice = "use the same networks, channels, labels, styles and scale, or omit these options"
    for name in sorted(weights.keys() | state.keys()):
        shapes = [str(tuple(some[name].shape)) if name in some else "none" for some in (weights, state)]
        if shapes[0] != shapes[1]:
            raise ModelError(
                f"--start-from {found.path}: its generator.{name} has shape {shapes[0]}, expected {shapes[1]}; {advice}"
            )
    generator.load_state_dict(weights, strict=False)


def _take_buffers(trainer: "Trainer", found: Exported, first_batch: "Callable[[], Batch]") -> set[str]:
    """Restore the statistics that the generator depends on; returns the names of the restored parts."""
    colours = getattr(trainer, "colours", None)
    if not isinstance(colours, ColourStyle):
        return set()
    state = {name.removeprefix("colours."): value for name, value in found.buffers.items()}
    if state:
        colours.load_state_dict(state)
    else:
        _measure_units(trainer, colours, first_batch())
    return {"colours"}


@torch.no_grad()
def _measure_units(trainer: "Trainer", colours: ColourStyle, batch: "Batch") -> None:
    """Estimate centre and spread of colour styles from the generator's outputs for random styles.

    The output for style s has the colours centre + spread * s, approximately: a line, fitted by least squares, with the
    slope within each image and the intercept over all. The generator follows some components, texture above all, only
    in part. So the spread is at least that of the new images, and where the slope is less than half of that, the centre
    is theirs, too; such components only need the right scale.
    """
    generator, labels = trainer.get_submodule(trainer.directions["forward"]), len(trainer.config.data.label_names)
    size = len(colours.standard.centre_S)
    styles: list[Tensor] = []
    raw: list[Tensor] = []
    for number in range(0, len(batch.source_BCHW), max(1, len(batch.source_BCHW) // ASKED)):
        style_KS = torch.randn(STYLES_EACH, size)
        label_K = batch.label_B[number].expand(STYLES_EACH)
        condition_KD = condition_vector(labels, size, label_K, style_KS, label_K.device)
        made_KCHW = generator(batch.source_BCHW[number : number + 1].expand(STYLES_EACH, -1, -1, -1), condition_KD)
        styles.append(style_KS)
        raw.append(colours(made_KCHW.clamp(-1.0, 1.0)))  # not standardised, as there was no update yet
    style_PKS, raw_PKS = torch.stack(styles), torch.stack(raw)
    moved_PKS, answer_PKS = (x_PKS - x_PKS.mean(dim=1, keepdim=True) for x_PKS in (style_PKS, raw_PKS))
    slope_S = (moved_PKS * answer_PKS).sum(dim=(0, 1)) / moved_PKS.square().sum(dim=(0, 1))
    real_BS = colours(batch.target_BCHW)
    spread_S = real_BS.std(dim=0, correction=0)
    middle_S = (raw_PKS - slope_S * style_PKS).mean(dim=(0, 1))
    colours.standard.centre_S = torch.where(2 * slope_S < spread_S, real_BS.mean(dim=0), middle_S)
    colours.standard.spread_S = torch.maximum(slope_S, spread_S).clamp_min(LEAST_SPREAD)
