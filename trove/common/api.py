"""The API's table of contents: every route with its controller, and the application at the end of the paste pipeline.

Rows are data; ``trove.common.routing`` loads and checks all controllers at start. A controller's method gets the
variables of its path by name, without the tenant, and ``body`` for POST, PUT and PATCH; its ``apischema.contract`` says
which bodies, answers and codes it has. A row's last column is who may call it by default.
"""
from trove.common import policy
from trove.common.policy import ADMIN, ADMIN_OR_NAMED
from trove.common.routing import Route, Router

VERSIONS = "trove.versions.VersionsController"
INSTANCES = "trove.instance.service.InstanceController"
DATASTORES = "trove.datastore.service.DatastoreController"
PARAMETERS = "trove.datastore.service.ParametersController"
FLAVORS = "trove.flavor.service.FlavorController"
VOLUME_TYPES = "trove.volume_type.service.VolumeTypeController"
CLUSTERS = "trove.cluster.service.ClusterController"
MODULES = "trove.module.service.ModuleController"
INSTANCE_MODULES = "trove.module.service.InstanceModuleController"
CONFIGURATIONS = "trove.configuration.service.ConfigurationController"
DEFAULTS = "trove.configuration.service.DefaultController"
LIMITS = "trove.limits.service.LimitsController"
EXTENSIONS = "trove.common.extensions.ExtensionsController"
ROOT = "trove.extensions.common.service.RootController"
SCHEMAS = "trove.extensions.common.databases.SchemaController"
USERS = "trove.extensions.common.users.UserController"
USER_ACCESS = "trove.extensions.common.users.UserAccessController"
LOGS = "trove.extensions.log.service.LogController"
SECURITY_GROUPS = "trove.extensions.security_group.service.SecurityGroupController"
SECURITY_GROUP_RULES = "trove.extensions.security_group.service.SecurityGroupRuleController"
BACKUPS = "trove.backup.service.BackupController"
BACKUP_STRATEGIES = "trove.backup.service.BackupStrategyController"
MGMT_INSTANCES = "trove.extensions.mgmt.instances.service.MgmtInstanceController"
MGMT_QUOTAS = "trove.extensions.mgmt.quota.service.QuotaController"
MGMT_CLUSTERS = "trove.extensions.mgmt.clusters.service.MgmtClusterController"
MGMT_HOSTS = "trove.extensions.mgmt.host.service.HostController"
MGMT_STORAGE = "trove.extensions.mgmt.storage.service.StorageController"
MGMT_ACCOUNTS = "trove.extensions.mgmt.account.service.AccountController"
MGMT_PARAMETERS = "trove.extensions.mgmt.configuration.service.MgmtParameterController"
MGMT_VERSIONS = "trove.extensions.mgmt.datastore.service.DatastoreVersionController"

_T = "/{tenant_id}"
_DS = _T + "/datastores"
_I = _T + "/instances/{instance_id}"
_C = _T + "/clusters/{cluster_id}"
_G = _T + "/configurations"
_M = _T + "/mgmt"
# No datastore may be called "versions".
_V = _DS + "/versions/{version_id}"
_MV = _M + "/datastores/versions/{version_id}"

ROUTES = tuple(Route(*row) for row in (
    ("/", "GET", VERSIONS, "show"),

    (_T + "/instances", "GET", INSTANCES, "index"),
    (_T + "/instances", "POST", INSTANCES, "create"),
    (_T + "/instances/detail", "GET", INSTANCES, "index_detail"),
    (_I, "GET", INSTANCES, "show"),
    (_I, "PUT", INSTANCES, "update"),
    (_I, "PATCH", INSTANCES, "edit"),
    (_I, "DELETE", INSTANCES, "delete"),
    (_I + "/action", "POST", INSTANCES, "action"),
    (_I + "/configuration", "GET", DEFAULTS, "show"),

    (_I + "/operations", "GET", INSTANCES, "operations"),
    (_I + "/operations/{operation_id}", "GET", INSTANCES, "operation"),

    (_I + "/backups", "GET", BACKUPS, "index_by_instance"),

    (_I + "/root", "GET", ROOT, "index"),
    (_I + "/root", "POST", ROOT, "create"),
    (_I + "/root", "DELETE", ROOT, "delete"),

    (_I + "/log", "GET", LOGS, "index"),
    (_I + "/log", "POST", LOGS, "action"),

    (_I + "/databases", "GET", SCHEMAS, "index"),
    (_I + "/databases", "POST", SCHEMAS, "create"),
    (_I + "/databases/{name}", "GET", SCHEMAS, "show"),
    (_I + "/databases/{name}", "DELETE", SCHEMAS, "delete"),

    (_I + "/users", "GET", USERS, "index"),
    (_I + "/users", "POST", USERS, "create"),
    (_I + "/users", "PUT", USERS, "update_all"),
    (_I + "/users/{name}", "GET", USERS, "show"),
    (_I + "/users/{name}", "POST", USERS, "create_named"),
    (_I + "/users/{name}", "PUT", USERS, "update"),
    (_I + "/users/{name}", "DELETE", USERS, "delete"),
    (_I + "/users/{user}/databases", "GET", USER_ACCESS, "index"),
    (_I + "/users/{user}/databases", "PUT", USER_ACCESS, "update"),
    (_I + "/users/{user}/databases/{database}", "DELETE", USER_ACCESS, "delete"),

    (_T + "/backups", "GET", BACKUPS, "index"),
    (_T + "/backups", "POST", BACKUPS, "create"),
    (_T + "/backups/{backup_id}", "GET", BACKUPS, "show"),
    (_T + "/backups/{backup_id}", "POST", BACKUPS, "refuse"),
    (_T + "/backups/{backup_id}", "DELETE", BACKUPS, "delete"),

    (_T + "/backup_strategies", "GET", BACKUP_STRATEGIES, "index"),
    (_T + "/backup_strategies", "POST", BACKUP_STRATEGIES, "create"),
    (_T + "/backup_strategies", "DELETE", BACKUP_STRATEGIES, "delete"),

    (_DS, "GET", DATASTORES, "index"),
    (_V, "GET", DATASTORES, "show_version_by_id"),
    (_V + "/parameters", "GET", PARAMETERS, "index_by_version"),
    (_V + "/parameters/{name}", "GET", PARAMETERS, "show_by_version"),
    (_DS + "/{datastore}", "GET", DATASTORES, "show"),
    (_DS + "/{datastore}", "DELETE", DATASTORES, "delete", ADMIN),
    (_DS + "/{datastore}/versions", "GET", DATASTORES, "index_versions"),
    (_DS + "/{datastore}/versions/{version}", "GET", DATASTORES, "show_version"),
    (_DS + "/{datastore}/versions/{version}/flavors", "GET", DATASTORES, "index_version_flavors"),
    (_DS + "/{datastore}/versions/{version}/volume-types", "GET", DATASTORES, "index_version_volume_types"),
    (_DS + "/{datastore}/versions/{version}/parameters", "GET", PARAMETERS, "index"),
    (_DS + "/{datastore}/versions/{version}/parameters/{name}", "GET", PARAMETERS, "show"),

    (_T + "/modules", "GET", MODULES, "index"),
    (_T + "/modules", "POST", MODULES, "create"),
    (_T + "/modules/{module_id}", "GET", MODULES, "show"),
    (_T + "/modules/{module_id}", "PUT", MODULES, "update"),
    (_T + "/modules/{module_id}", "DELETE", MODULES, "delete"),
    (_T + "/modules/{module_id}/instances", "GET", MODULES, "index_instances"),
    (_T + "/modules/{module_id}/instances", "PUT", MODULES, "reapply"),
    (_I + "/modules", "GET", INSTANCE_MODULES, "index"),
    (_I + "/modules", "POST", INSTANCE_MODULES, "apply"),
    (_I + "/modules/{module_id}", "DELETE", INSTANCE_MODULES, "remove"),

    (_T + "/clusters", "GET", CLUSTERS, "index"),
    (_T + "/clusters", "POST", CLUSTERS, "create"),
    (_C, "GET", CLUSTERS, "show"),
    (_C, "POST", CLUSTERS, "action"),
    (_C, "DELETE", CLUSTERS, "delete"),
    (_C + "/instances/{instance_id}", "GET", CLUSTERS, "show_instance"),
    (_C + "/root", "GET", CLUSTERS, "root"),
    (_C + "/root", "POST", CLUSTERS, "enable_root"),

    (_G, "GET", CONFIGURATIONS, "index"),
    (_G, "POST", CONFIGURATIONS, "create"),
    (_G + "/{configuration_id}", "GET", CONFIGURATIONS, "show"),
    (_G + "/{configuration_id}", "PUT", CONFIGURATIONS, "update"),
    (_G + "/{configuration_id}", "PATCH", CONFIGURATIONS, "edit"),
    (_G + "/{configuration_id}", "DELETE", CONFIGURATIONS, "delete"),
    (_G + "/{configuration_id}/instances", "GET", CONFIGURATIONS, "instances"),

    (_T + "/flavors", "GET", FLAVORS, "index"),
    (_T + "/flavors/{flavor}", "GET", FLAVORS, "show"),
    (_T + "/volume-types", "GET", VOLUME_TYPES, "index"),
    (_T + "/volume-types/{name}", "GET", VOLUME_TYPES, "show"),
    (_T + "/limits", "GET", LIMITS, "index"),
    (_T + "/extensions", "GET", EXTENSIONS, "index"),

    (_T + "/security-groups", "GET", SECURITY_GROUPS, "index"),
    (_T + "/security-groups/{group_id}", "GET", SECURITY_GROUPS, "show"),
    (_T + "/security-group-rules", "POST", SECURITY_GROUP_RULES, "create"),
    (_T + "/security-group-rules/{rule_id}", "DELETE", SECURITY_GROUP_RULES, "delete"),

    (_M + "/instances", "GET", MGMT_INSTANCES, "index", ADMIN),
    (_M + "/instances/{instance_id}", "GET", MGMT_INSTANCES, "show", ADMIN),
    (_M + "/instances/{instance_id}/action", "POST", MGMT_INSTANCES, "action", ADMIN),
    (_M + "/instances/{instance_id}/root", "GET", MGMT_INSTANCES, "root", ADMIN),
    (_M + "/instances/{instance_id}/rpc_ping", "GET", MGMT_INSTANCES, "rpc_ping", ADMIN),
    (_M + "/instances/{instance_id}/diagnostics", "GET", MGMT_INSTANCES, "diagnostics", ADMIN),
    (_M + "/instances/{instance_id}/hwinfo", "GET", MGMT_INSTANCES, "hwinfo", ADMIN),
    (_M + "/instances/{instance_id}/upgrade", "POST", MGMT_INSTANCES, "upgrade", ADMIN),
    (_M + "/clusters", "GET", MGMT_CLUSTERS, "index", ADMIN),
    (_M + "/clusters/{cluster_id}", "GET", MGMT_CLUSTERS, "show", ADMIN),
    (_M + "/clusters/{cluster_id}/action", "POST", MGMT_CLUSTERS, "action", ADMIN),
    (_M + "/hosts", "GET", MGMT_HOSTS, "index", ADMIN),
    (_M + "/hosts/{name}", "GET", MGMT_HOSTS, "show", ADMIN),
    (_M + "/hosts/{name}/instances/action", "POST", MGMT_HOSTS, "action", ADMIN),
    (_M + "/storage", "GET", MGMT_STORAGE, "index", ADMIN),
    (_M + "/accounts", "GET", MGMT_ACCOUNTS, "index", ADMIN),
    (_M + "/accounts/{tenant}", "GET", MGMT_ACCOUNTS, "show", ADMIN),
    (_M + "/datastore-versions", "GET", MGMT_VERSIONS, "index", ADMIN),
    (_M + "/datastore-versions", "POST", MGMT_VERSIONS, "create", ADMIN),
    (_M + "/datastore-versions/{version_id}", "GET", MGMT_VERSIONS, "show", ADMIN),
    (_M + "/datastore-versions/{version_id}", "PATCH", MGMT_VERSIONS, "edit", ADMIN),
    (_M + "/datastore-versions/{version_id}", "DELETE", MGMT_VERSIONS, "delete", ADMIN),
    (_MV + "/parameters", "GET", MGMT_PARAMETERS, "index", ADMIN),
    (_MV + "/parameters", "POST", MGMT_PARAMETERS, "create", ADMIN),
    (_MV + "/parameters/{name}", "GET", MGMT_PARAMETERS, "show", ADMIN),
    (_MV + "/parameters/{name}", "PUT", MGMT_PARAMETERS, "update", ADMIN),
    (_MV + "/parameters/{name}", "DELETE", MGMT_PARAMETERS, "delete", ADMIN),
    (_M + "/quotas/{tenant}", "GET", MGMT_QUOTAS, "show", ADMIN_OR_NAMED),
    (_M + "/quotas/{tenant}", "PUT", MGMT_QUOTAS, "update", ADMIN),
))


def list_policies():
    """The rules of all routes: what ``oslopolicy-sample-generator --namespace trove`` shows."""
    return [*policy.BASE, *policy.rules(ROUTES)]


def app_factory(_global_conf, **_local_conf):
    """The application of the paste file: everything below ``/v1.0``."""
    return Router(ROUTES)
