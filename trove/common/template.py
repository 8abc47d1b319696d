"""Configuration files of database servers, rendered from Jinja2 templates for one instance. Used by the task manager.

Operators put their own templates below ``template_path``; those of the package are looked for after them. In both the
more special wins: datastore and version, datastore, manager.
"""
import functools
from pathlib import Path

import jinja2

from trove.common import cfg, exception, memory, utils
from trove.common.cfg import CONF

# Of this package; a datastore's card that comes from another one brings a directory of its own.
PACKAGED = Path(__file__).resolve().parent.parent / "templates"


@functools.cache
def _environment(directory):
    # What a template includes may also be one of the package's.
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([str(directory), str(PACKAGED)]), undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        autoescape=False)  # noqa: S701 - configuration files, no HTML


def render(manager, datastore_name, version_name, flavor, instance_id, name="config.template", **extra):
    """The text of a configuration file.

    flavor: dict with ``ram`` in MB, empty for what must not depend on it; extra: further variables of the template.
    With a flavor the template also has ``memory``, the ``trove.common.memory.Plan`` of such a guest, if the datastore's
    card knows its server's memory. Raises TroveError that names the template when none is found or it cannot be
    rendered.
    """
    directory, found = _find(name, manager, datastore_name, version_name)
    if "ram" in flavor and (server := cfg.traits(manager).memory):
        extra["memory"] = memory.plan(int(flavor["ram"]), server, CONF[manager].backup_strategy)
    try:
        return _environment(directory).get_template(found).render(
            flavor=flavor, server_id=utils.stable_server_id(instance_id),
            datastore={"name": datastore_name, "manager": manager, "version": version_name}, **extra)
    except (jinja2.TemplateError, ArithmeticError, TypeError, ValueError) as error:
        raise exception.TroveError(f"The template {directory / found} cannot be rendered: {error}") from error


def _packaged(manager):
    """Return the directories of templates in packages: this one's, and that of a card from another package."""
    own = getattr(cfg.CARDS.get(manager), "TEMPLATES", None)
    return (PACKAGED, own) if own else (PACKAGED,)


def _find(name, manager, datastore_name, version_name):
    """(directory, path below it) of the template. An operator's of a manager wins over a packaged one of a version."""
    directories = (Path(CONF.template_path), *_packaged(manager))
    candidates = (f"{datastore_name}/{version_name}/{name}", f"{datastore_name}/{name}", f"{manager}/{name}")
    for directory in directories:
        for candidate in candidates:
            if ".." not in candidate.split("/") and (directory / candidate).is_file():
                return directory, candidate
    raise exception.TroveError(f"There is no template {' or '.join(candidates)} in "
                               f"{' or '.join(str(directory) for directory in directories)} (option template_path).")


def defaults(manager, datastore_name, version_name, flavor, instance_id):
    """Return the server's settings in the rendered ``config.template``: {name of the server's variable: text}.

    The arguments are those of ``render``. Raises NotImplementedHere for a datastore that this version does not know,
    TroveError as ``render`` does.
    """
    file_format = cfg.traits(manager).file_format
    return file_format.variables(render(manager, datastore_name, version_name, flavor, instance_id))
