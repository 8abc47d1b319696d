"""What the datastores of the MySQL family are made of."""
from trove.guestagent.datastore import manager
from trove.guestagent.datastore.mysql_common.admin import MySqlAdmin
from trove.guestagent.datastore.mysql_common.logs import MySqlLogs
from trove.guestagent.datastore.mysql_common.service import MySqlApp


class MySqlManager(manager.Manager):
    """Base of mysql, percona and mariadb."""

    server_class = MySqlApp
    admin_class = MySqlAdmin
    root_class = MySqlAdmin
    logs_class = MySqlLogs
