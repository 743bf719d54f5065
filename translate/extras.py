"""Optional groups of packages."""

from importlib.util import find_spec

from translate.errors import MissingExtra


def require(extra: str, *modules: str) -> None:
    """Check that the top-level `modules` of the optional group `extra` are installed, without importing them.

    Raises:
        MissingExtra: one is not; the message says how to install the group.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MissingExtra(f"{', '.join(missing)} not installed; in the source folder run: pip install '.[{extra}]'")
