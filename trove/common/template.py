"""Configuration files of datastores, rendered for a flavor from Jinja2 templates (contract/rpc.md 9.1-9.4).

Templates of ``template_path`` go before those of the package, in each the datastore version's before the
datastore's before the manager's.
"""
from pathlib import Path

import jinja2

from trove.common import utils
from trove.common.cfg import CONF

_SHIPPED = Path(__file__).parents[1] / "templates"


def render(manager, datastore_name, version_name, flavor, instance_id, name="config.template", **extra):
    """The text of a configuration file.

    flavor: dict with ``ram`` in MB; name: file name of the template; extra: further variables.
    Raises jinja2.TemplateNotFound.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([CONF.template_path, str(_SHIPPED)]), undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True, autoescape=False)  # noqa: S701 - no HTML is made of it
    template = environment.select_template([
        f"{datastore_name}/{version_name}/{name}", f"{datastore_name}/{name}", f"{manager}/{name}"])
    return template.render(
        flavor=flavor, server_id=utils.stable_server_id(instance_id),
        datastore={"name": datastore_name, "manager": manager, "version": version_name}, **extra)
