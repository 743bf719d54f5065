"""What a run was made on, for its log and report."""

import os
import platform
from importlib.metadata import version
from typing import Any

import torch

from translate import __version__


def machine_facts(device: torch.device, processes: int) -> dict[str, Any]:
    """Device, cores and versions, as JSON values; nothing that names the computer or its user."""
    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else "CPU",
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": processes,
        "system": platform.system(),
        "python": platform.python_version(),
        "translate": __version__,
        **{name: version(name) for name in ("torch", "torchvision", "kornia", "albumentations")},
    }
