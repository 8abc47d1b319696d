"""The one loader of dotted paths: options that name a class or function are resolved here and nowhere else."""
import importlib
import importlib.util
import inspect


def load(path, base=None, option=None):
    """Import the object that ``path`` names and check it.

    path: ``package.module.Name``; base: class of which it must be a complete subclass, or None for any object;
    option: name of the option the path came from, for the message.
    Raises ValueError naming the option, the value and what was expected.
    """
    where = f"option {option}: " if option else ""
    module_name, _, name = (path or "").rpartition(".")
    if not module_name:
        raise ValueError(f"{where}'{path}' is not a dotted path such as package.module.Name")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{where}'{path}' cannot be loaded: {error}") from error
    if base is not None:
        check(found, base, where, path)
    return found


def require_module(path, option):
    """Check that there is a module of the dotted ``path``, without running it: a guest's may need its drivers.

    Raises ValueError naming the option and the module that is missing.
    """
    try:
        found = importlib.util.find_spec(path or "")
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise ValueError(f"option {option}: there is no module '{path}'")


def check(found, base, where="", path=None):
    """Check that ``found`` is a complete subclass of ``base``.

    where: begins the message; path: how the message calls ``found``, its own dotted path if None.
    Raises ValueError that names every abstract method that is missing.
    """
    path = path or (f"{found.__module__}.{found.__qualname__}" if inspect.isclass(found) else found)
    if not (inspect.isclass(found) and issubclass(found, base)):
        raise ValueError(f"{where}'{path}' must be a subclass of {base.__module__}.{base.__qualname__}")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        raise ValueError(f"{where}'{path}' does not implement {missing}")
