"""What is imported when: inference without torch, help without anything."""

import subprocess
import sys

import pytest

BLOCKED = "import sys; [sys.modules.__setitem__(name, None) for name in {blocked}]; {code}"


def run(code: str, *blocked: str) -> str:
    command = [sys.executable, "-c", BLOCKED.format(blocked=blocked, code=code)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_public_names_without_torch() -> None:
    run("import translate; [getattr(translate, name) for name in translate.__all__]", "torch", "gradio")


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_imports_next_to_nothing(argument: str) -> None:
    code = f"from translate.cli.main import main; sys.exit(main([{argument!r}]))"
    assert "translate" in run(code, "torch", "gradio", "tyro", "onnxruntime", "rich", "numpy", "PIL")


def test_import_translate_is_instant() -> None:
    run("import translate; translate.__version__", "numpy", "PIL", "onnxruntime")
