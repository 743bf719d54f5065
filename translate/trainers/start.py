"""What a run begins with: nothing, another run, or a model file."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from translate.errors import ConfigError, ModelError, SnapshotError
from translate.models import resolve, shipped
from translate.networks.colour_style import ColourStyle
from translate.networks.condition import condition_vector
from translate.networks.standard import LEAST_SPREAD
from translate.trainers.adversary import AdversarialGame
from translate.trainers.exported import Exported, read_exported
from translate.trainers.snapshot import FILE_NAME, read_header, read_tensors, take_over

if TYPE_CHECKING:
    from translate.tasks import Task
    from translate.trainers.base import Batch, Trainer

FINE_TUNING: Mapping[str, Any] = {"warm_start": 0.0, "discriminator_warmup": 0.05}
"""Settings for a start from a model file. The generator is good already and would unlearn sharpness in a phase without
the game; and it must not be judged by a discriminator that has seen nothing."""

MEASURED, ASKED, STYLES_EACH = 64, 8, 8
"""Pictures by which the units of styles are measured, about how many of them the generator is asked for, and random
styles for each of these."""


def model_files(start: str, task: "Task") -> dict[str, Path]:
    """Which model files `--start-from` names, by direction; none of them: it is the folder of a run.

    A shipped model brings the one that was shipped as its way back.

    Raises:
        ModelError: no such file.
    """
    names = [model.name for model in shipped()]
    if (start not in names and Path(start).suffix.lower() != ".onnx") or (Path(start) / FILE_NAME).is_file():
        return {}
    files = {"forward": resolve(start)}
    if start == task.name and task.back in names:
        files["back"] = resolve(task.back)
    return files


def settings_of(files: Mapping[str, Path]) -> dict[str, Any]:
    """The settings that a run takes over from model files where the user gives no others."""
    return {**FINE_TUNING, **read_exported(files["forward"]).settings}


def start_from_files(
    trainer: "Trainer", task: "Task", files: Mapping[str, Path], first_batch: "Callable[[], Batch]"
) -> str:
    """Give the generators the weights of model files; returns what is to be said about the rest.

    Args:
        trainer: whose networks begin.
        task: what is to be learnt.
        files: what `model_files` returns.
        first_batch: gives a few pictures of the data, for measuring what the file does not say.

    Raises:
        ConfigError: the kinds differ, or the file goes the other way round.
        ModelError: not a model file of ours, or one whose network has other sizes.
    """
    taken: set[str] = set()
    for direction, path in files.items():
        found = read_exported(path)
        if direction == "forward" and task.back and found.spec.task == task.back:
            raise ConfigError(
                f"--start-from {path} is a model for {task.back}; train that task, or name one for {task.name}"
            )
        _check_meaning(trainer, path, found.settings)
        name = trainer.directions[direction]
        _take_weights(trainer.get_submodule(name), found)
        taken.add(name)
        if direction == "forward":
            taken |= _take_buffers(trainer, found, first_batch)
    untrained = [name for name, _ in _learnt_parts(trainer) if name not in taken]
    origin = trainer.config.start_from + (f" and {task.back}, its way back" if len(files) > 1 else "")
    return f"not in {origin}, begins untrained: {', '.join(untrained)}" if untrained else ""


def start_from_run(trainer: "Trainer", folder: Path) -> str:
    """Give the networks what another run has learnt; returns what is to be said about the rest.

    Raises:
        ConfigError: the numbers it was told besides the picture meant something else.
        SnapshotError: no run there, none of this generator in it, or networks of other sizes.
    """
    header = read_header(folder / FILE_NAME)
    _check_meaning(trainer, folder, header.config)
    tensors = read_tensors(folder / FILE_NAME)
    scales = {header.config.get("scale"), getattr(trainer.config, "scale", None)}
    other_scale = len(scales - {None}) == 2
    missing = {
        name: take_over(network, name, folder, tensors, other_scale=other_scale)
        for name, network in _learnt_parts(trainer)
    }
    if missing[trainer.directions["forward"]] is None:
        raise SnapshotError(f"--start-from {folder} has nothing of this generator; name a run of the same networks")
    untrained = [name for name, names in missing.items() if names is None]
    untrained += [key for names in missing.values() for key in names or ()]
    more = f" and {len(untrained) - 3} more" if len(untrained) > 3 else ""
    return f"not in {folder}, begins untrained: {', '.join(untrained[:3])}{more}" if untrained else ""


def _learnt_parts(trainer: "Trainer") -> list[tuple[str, nn.Module]]:
    """The networks that a start can give something to: not what a game remembers, nor what comes out of packages."""
    return [
        (name, part)
        for name, part in trainer.named_children()
        if not isinstance(part, AdversarialGame) and part.state_dict()
    ]


def _check_meaning(trainer: "Trainer", origin: Path, settings: Mapping[str, Any]) -> None:
    """Refuse kinds and styles that meant something else."""
    kinds, now = list(settings.get("label_names") or ()), list(trainer.config.label_names)
    if kinds and now and kinds != now:
        raise ConfigError(
            f"--start-from {origin}: its kinds are {', '.join(kinds)}, this run's are {', '.join(now)}; "
            "name the sub-folders alike"
        )
    kind, now = settings.get("style_kind"), getattr(trainer.config, "style_kind", None)
    if settings.get("style_size") and now and kind != now:
        raise ConfigError(f"--start-from {origin}: its --style-kind is {kind}, this run's is {now}; give the same")


def _take_weights(generator: nn.Module, found: Exported) -> None:
    """Fill a generator from a file.

    Modules that are exported in another form than they are learnt in (folded kernels) have a method
    `load_exported(state: Mapping[str, Tensor])`, which is given what the file has below their name.

    Raises:
        ModelError: names or shapes differ.
    """
    state = generator.state_dict()
    # What every network of the kind has alike, the kernel of an enlargement for example, stands in the file too.
    fixed = {name for name, _ in generator.named_buffers()} - state.keys()
    weights = {name: value for name, value in found.weights.items() if name not in fixed}
    for name, part in generator.named_modules():
        load = getattr(part, "load_exported", None)
        if load is None:
            continue
        below = {key: weights.pop(key) for key in list(weights) if key.startswith(f"{name}." if name else "")}
        load({key.removeprefix(f"{name}."): value for key, value in below.items()})
        state = {key: value for key, value in state.items() if not key.startswith(f"{name}." if name else "")}
    advice = "give this run the same networks, channels, labels, styles and scale, or leave these options out"
    for name in sorted(weights.keys() | state.keys()):
        shapes = [str(tuple(some[name].shape)) if name in some else "none" for some in (weights, state)]
        if shapes[0] != shapes[1]:
            raise ModelError(
                f"--start-from {found.path}: its generator.{name} has shape {shapes[0]}, expected {shapes[1]}; {advice}"
            )
    generator.load_state_dict(weights, strict=False)


def _take_buffers(trainer: "Trainer", found: Exported, first_batch: "Callable[[], Batch]") -> set[str]:
    """Fill what the generator's numbers are measured in; returns the names of the parts that were filled."""
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
    """Find the middle and the units of colour styles by what the generator answers to random ones.

    Its result for the style s has the colours centre + spread * s, about: a straight line, fitted by least squares,
    the slope within each picture and the middle over all. It answers to some numbers less than it was asked for,
    texture above all. So the spread is at least that of the new pictures, and where it answers to less than half of
    that, the middle is theirs, too: such numbers must only be of the size it knows.
    """
    generator, labels = trainer.get_submodule(trainer.directions["forward"]), len(trainer.config.label_names)
    size = len(colours.standard.centre_S)
    styles: list[Tensor] = []
    raw: list[Tensor] = []
    for number in range(0, len(batch.source_BCHW), max(1, len(batch.source_BCHW) // ASKED)):
        style_KS = torch.randn(STYLES_EACH, size)
        label_K = batch.label_B[number].expand(STYLES_EACH)
        condition_KD = condition_vector(labels, size, label_K, style_KS, label_K.device)
        made_KCHW = generator(batch.source_BCHW[number : number + 1].expand(STYLES_EACH, -1, -1, -1), condition_KD)
        styles.append(style_KS)
        raw.append(colours(made_KCHW.clamp(-1.0, 1.0)))  # as they are: nothing has been followed yet
    style_PKS, raw_PKS = torch.stack(styles), torch.stack(raw)
    moved_PKS, answer_PKS = (x_PKS - x_PKS.mean(dim=1, keepdim=True) for x_PKS in (style_PKS, raw_PKS))
    slope_S = (moved_PKS * answer_PKS).sum(dim=(0, 1)) / moved_PKS.square().sum(dim=(0, 1))
    real_BS = colours(batch.target_BCHW)
    spread_S = real_BS.std(dim=0, correction=0)
    middle_S = (raw_PKS - slope_S * style_PKS).mean(dim=(0, 1))
    colours.standard.centre_S = torch.where(2 * slope_S < spread_S, real_BS.mean(dim=0), middle_S)
    colours.standard.spread_S = torch.maximum(slope_S, spread_S).clamp_min(LEAST_SPREAD)
