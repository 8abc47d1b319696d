"""Every route of the REST contract beside the conversation that holds it: none without a row, no row without a test.

Rows that clients know and no server ever had answer 404; the routes of what this release cannot do exist and refuse.
"""
import importlib
import re
from pathlib import Path

import pytest

from trove.common import api

# Section of the contract, release (Kilo or before, Liberty, Mitaka, Newer), method, path below the tenant, test.
ROWS = (
    ("3.0", "K", "GET", "/", "test_frame.py::TestVersions::test_the_version"),
    ("3.1", "K", "GET", "/instances", "test_instances.py::TestList::test_2_5_pages_follow_each_other_by_id"),
    ("3.1", "K", "POST", "/instances",
     "test_instances_create.py::TestReply::test_200_with_the_show_view_while_it_builds"),
    ("3.1", "N", "GET", "/instances/detail", "test_instances.py::TestDetail::test_a_page_of_show_views"),
    ("3.1", "K", "GET", "/instances/{instance_id}", "test_instances.py::TestShow::test_1_25_of_another_tenant"),
    ("3.1", "K", "PUT", "/instances/{instance_id}", "test_configurations.py::TestAttaching::test_2e_detach"),
    ("3.1", "K", "PATCH", "/instances/{instance_id}", "test_instances.py::TestChange::test_a_name"),
    ("3.1", "K", "DELETE", "/instances/{instance_id}",
     "test_instances.py::TestDelete::test_202_empty_then_404_when_the_task_manager_is_done"),
    ("3.1", "K", "POST", "/instances/{instance_id}/action",
     "test_instances.py::TestRestart::test_202_and_the_task_is_taken"),
    ("3.1", "K", "GET", "/instances/{instance_id}/configuration",
     "test_configurations.py::TestDefaults::test_a_flat_dict_of_texts"),
    ("-", "own", "GET", "/instances/{instance_id}/operations",
     "test_instances.py::TestOperations::test_pages_newest_first_with_steps_and_errors"),
    ("-", "own", "GET", "/instances/{instance_id}/operations/{operation_id}",
     "test_instances.py::TestOperations::test_one"),
    ("3.1", "K", "GET", "/instances/{instance_id}/backups", "test_backups.py::test_2_6_lists"),
    ("3.7", "K", "GET", "/instances/{instance_id}/root",
     "test_databases_and_users.py::TestRoot::test_enable_and_disable_the_newest_rule"),
    ("3.7", "K", "POST", "/instances/{instance_id}/root",
     "test_databases_and_users.py::TestRoot::test_bodies_of_the_clients"),
    ("3.7", "M", "DELETE", "/instances/{instance_id}/root",
     "test_databases_and_users.py::TestRoot::test_enable_and_disable_the_newest_rule"),
    ("3.1", "M", "GET", "/instances/{instance_id}/log", "test_logs.py::test_the_logs_that_there_are"),
    ("3.1", "M", "POST", "/instances/{instance_id}/log",
     "test_logs.py::test_what_is_published_lies_in_the_callers_account"),
    ("3.7", "K", "GET", "/instances/{instance_id}/databases",
     "test_databases_and_users.py::TestDatabases::test_create_list_delete"),
    ("3.7", "K", "POST", "/instances/{instance_id}/databases",
     "test_databases_and_users.py::TestDatabases::test_create_list_delete"),
    ("3.7", "K", "GET", "/instances/{instance_id}/databases/{name}",
     "test_databases_and_users.py::TestDatabases::test_a_single_one_cannot_be_shown"),
    ("3.7", "K", "DELETE", "/instances/{instance_id}/databases/{name}",
     "test_databases_and_users.py::TestDatabases::test_create_list_delete"),
    ("3.7", "K", "GET", "/instances/{instance_id}/users",
     "test_databases_and_users.py::TestUsers::test_create_show_list_delete"),
    ("3.7", "K", "POST", "/instances/{instance_id}/users",
     "test_databases_and_users.py::TestUsers::test_create_show_list_delete"),
    ("3.7", "K", "PUT", "/instances/{instance_id}/users",
     "test_databases_and_users.py::TestUsers::test_change_passwords"),
    ("3.7", "K", "GET", "/instances/{instance_id}/users/{name}",
     "test_databases_and_users.py::TestUsers::test_create_show_list_delete"),
    ("3.7", "N", "POST", "/instances/{instance_id}/users/{name}",
     "test_databases_and_users.py::TestUsers::test_the_body_of_the_sdk"),
    ("3.7", "K", "PUT", "/instances/{instance_id}/users/{name}", "test_databases_and_users.py::TestUsers::test_update"),
    ("3.7", "K", "DELETE", "/instances/{instance_id}/users/{name}",
     "test_databases_and_users.py::TestUsers::test_create_show_list_delete"),
    ("3.7", "K", "GET", "/instances/{instance_id}/users/{user}/databases",
     "test_databases_and_users.py::TestGrants::test_grant_show_revoke"),
    ("3.7", "K", "PUT", "/instances/{instance_id}/users/{user}/databases",
     "test_databases_and_users.py::TestGrants::test_grant_show_revoke"),
    ("3.7", "K", "DELETE", "/instances/{instance_id}/users/{user}/databases/{database}",
     "test_databases_and_users.py::TestGrants::test_grant_show_revoke"),
    ("3.4", "K", "GET", "/backups", "test_backups.py::test_2_6_lists"),
    ("3.4", "K", "POST", "/backups", "test_backups.py::test_create_shows_every_attribute"),
    ("3.4", "K", "GET", "/backups/{backup_id}", "test_backups.py::test_create_shows_every_attribute"),
    ("3.4", "K", "POST", "/backups/{backup_id}", "test_backups.py::test_404_501_and_400"),
    ("3.4", "K", "DELETE", "/backups/{backup_id}", "test_backups.py::test_delete"),
    ("3.4", "N", "GET", "/backup_strategies", "test_backup_strategies.py::test_the_operators_choice_is_listed"),
    ("3.4", "N", "POST", "/backup_strategies", "test_backup_strategies.py::test_the_same_may_be_asked_for"),
    ("3.4", "N", "DELETE", "/backup_strategies", "test_backup_strategies.py::test_it_cannot_be_taken_away"),
    ("3.2", "K", "GET", "/datastores", "test_datastores.py::TestDatastores::test_a_tenant_sees_what_it_can_use"),
    ("3.2", "K", "GET", "/datastores/versions/{version_id}",
     "test_datastores.py::TestVersions::test_show_in_its_three_ways"),
    ("3.2", "K", "GET", "/datastores/versions/{version_id}/parameters",
     "test_datastores.py::TestParameters::test_list"),
    ("3.2", "K", "GET", "/datastores/versions/{version_id}/parameters/{name}",
     "test_datastores.py::TestParameters::test_show_is_bare_and_has_both_names_of_a_bound"),
    ("3.2", "K", "GET", "/datastores/{datastore}", "test_datastores.py::TestDatastores::test_show_by_id_and_by_name"),
    ("3.2", "N", "DELETE", "/datastores/{datastore}", "test_datastore_versions.py::TestDelete::test_datastores"),
    ("3.2", "K", "GET", "/datastores/{datastore}/versions", "test_datastores.py::TestVersions::test_list"),
    ("3.2", "K", "GET", "/datastores/{datastore}/versions/{version}",
     "test_datastores.py::TestVersions::test_show_in_its_three_ways"),
    ("3.2", "L", "GET", "/datastores/{datastore}/versions/{version}/flavors",
     "test_datastores.py::TestVersions::test_flavors_are_all_unless_some_are_bound"),
    ("3.2", "N", "GET", "/datastores/{datastore}/versions/{version}/volume-types",
     "test_volume_types.py::test_of_a_version"),
    ("3.2", "K", "GET", "/datastores/{datastore}/versions/{version}/parameters",
     "test_datastores.py::TestParameters::test_list"),
    ("3.2", "K", "GET", "/datastores/{datastore}/versions/{version}/parameters/{name}",
     "test_datastores.py::TestParameters::test_show_is_bare_and_has_both_names_of_a_bound"),
    ("3.10", "M", "GET", "/modules", "test_modules.py::TestList::test_whose"),
    ("3.10", "M", "POST", "/modules", "test_modules.py::TestCreate::test_the_view"),
    ("3.10", "M", "GET", "/modules/{module_id}", "test_modules.py::TestCreate::test_the_view"),
    ("3.10", "M", "PUT", "/modules/{module_id}", "test_modules.py::TestChange::test_what_is_named"),
    ("3.10", "M", "DELETE", "/modules/{module_id}", "test_modules.py::TestChange::test_delete"),
    ("3.10", "M", "GET", "/modules/{module_id}/instances", "test_modules.py::TestInstances::test_of_a_module"),
    ("3.10", "N", "PUT", "/modules/{module_id}/instances", "test_modules.py::TestInstances::test_agents_take_none"),
    ("3.1", "M", "GET", "/instances/{instance_id}/modules", "test_modules.py::TestInstances::test_of_an_instance"),
    ("3.1", "M", "POST", "/instances/{instance_id}/modules", "test_modules.py::TestInstances::test_agents_take_none"),
    ("3.1", "M", "DELETE", "/instances/{instance_id}/modules/{module_id}",
     "test_modules.py::TestInstances::test_agents_take_none"),
    ("3.6", "K", "GET", "/clusters", "test_clusters.py::TestIndexAndShow::test_index"),
    ("3.6", "K", "POST", "/clusters", "test_clusters.py::TestCreate::test_501_for_every_datastore"),
    ("3.6", "K", "GET", "/clusters/{cluster_id}", "test_clusters.py::TestIndexAndShow::test_show"),
    ("3.6", "K", "POST", "/clusters/{cluster_id}", "test_clusters.py::TestActions::test_reset_status"),
    ("3.6", "K", "DELETE", "/clusters/{cluster_id}", "test_clusters.py::TestActions::test_delete"),
    ("3.6", "K", "GET", "/clusters/{cluster_id}/instances/{instance_id}",
     "test_clusters.py::TestIndexAndShow::test_member"),
    ("3.6", "L", "GET", "/clusters/{cluster_id}/root", "test_clusters.py::TestActions::test_root"),
    ("3.6", "L", "POST", "/clusters/{cluster_id}/root", "test_clusters.py::TestActions::test_root"),
    ("3.5", "K", "GET", "/configurations", "test_configurations.py::TestGroups::test_list_in_pages"),
    ("3.5", "K", "POST", "/configurations", "test_configurations.py::TestGroups::test_create_and_show"),
    ("3.5", "K", "GET", "/configurations/{configuration_id}",
     "test_configurations.py::TestGroups::test_create_and_show"),
    ("3.5", "K", "PUT", "/configurations/{configuration_id}", "test_configurations.py::TestGroups::test_put_replaces"),
    ("3.5", "K", "PATCH", "/configurations/{configuration_id}",
     "test_configurations.py::TestGroups::test_patch_merges"),
    ("3.5", "K", "DELETE", "/configurations/{configuration_id}", "test_configurations.py::TestGroups::test_delete"),
    ("3.5", "K", "GET", "/configurations/{configuration_id}/instances",
     "test_configurations.py::TestAttaching::test_attach"),
    ("3.3", "K", "GET", "/flavors", "test_flavors.py::test_list"),
    ("3.3", "K", "GET", "/flavors/{flavor}", "test_flavors.py::test_show"),
    ("3.2", "N", "GET", "/volume-types", "test_volume_types.py::test_index_and_show"),
    ("3.2", "N", "GET", "/volume-types/{name}", "test_volume_types.py::test_index_and_show"),
    ("3.3", "K", "GET", "/limits", "test_limits.py::test_the_quotas_come_first"),
    ("3.3", "K", "GET", "/extensions", "test_frame.py::TestExtensions::test_they_are_listed"),
    ("3.9", "K", "GET", "/security-groups", "test_security_groups.py::TestGroups::test_index"),
    ("3.9", "K", "GET", "/security-groups/{group_id}", "test_security_groups.py::TestGroups::test_show_by_either_id"),
    ("3.9", "K", "POST", "/security-group-rules",
     "test_security_groups.py::TestRules::test_one_rule_for_each_port_range"),
    ("3.9", "K", "DELETE", "/security-group-rules/{rule_id}",
     "test_security_groups.py::TestRules::test_add_and_delete"),
    ("4", "K", "GET", "/mgmt/instances", "test_mgmt.py::TestInstances::test_all_tenants_and_what_is_added"),
    ("4", "K", "GET", "/mgmt/instances/{instance_id}", "test_mgmt.py::TestInstances::test_show"),
    ("4", "K", "POST", "/mgmt/instances/{instance_id}/action", "test_mgmt.py::TestInstances::test_reboot_and_stop"),
    ("4", "K", "GET", "/mgmt/instances/{instance_id}/root", "test_mgmt.py::TestInstances::test_root_history"),
    ("4", "K", "GET", "/mgmt/instances/{instance_id}/rpc_ping", "test_mgmt.py::TestInstances::test_rpc_ping"),
    ("4", "K", "GET", "/mgmt/instances/{instance_id}/diagnostics",
     "test_mgmt.py::TestInstances::test_diagnostics_and_hwinfo"),
    ("4", "K", "GET", "/mgmt/instances/{instance_id}/hwinfo",
     "test_mgmt.py::TestInstances::test_diagnostics_and_hwinfo"),
    ("4", "K", "POST", "/mgmt/instances/{instance_id}/upgrade", "test_mgmt.py::TestInstances::test_upgrade_is_refused"),
    ("4", "K", "GET", "/mgmt/clusters", "test_clusters.py::TestManagement::test_index_and_show"),
    ("4", "K", "GET", "/mgmt/clusters/{cluster_id}", "test_clusters.py::TestManagement::test_index_and_show"),
    ("4", "K", "POST", "/mgmt/clusters/{cluster_id}/action", "test_clusters.py::TestManagement::test_reset_task"),
    ("4", "K", "GET", "/mgmt/hosts", "test_hosts.py::test_index"),
    ("4", "K", "GET", "/mgmt/hosts/{name}", "test_hosts.py::test_show"),
    ("4", "K", "POST", "/mgmt/hosts/{name}/instances/action", "test_hosts.py::test_update_of_all_agents_is_refused"),
    ("4", "K", "GET", "/mgmt/storage", "test_storage.py::test_the_pools_of_the_cloud"),
    ("4", "K", "GET", "/mgmt/accounts", "test_accounts.py::test_index_and_show"),
    ("4", "K", "GET", "/mgmt/accounts/{tenant}", "test_accounts.py::test_index_and_show"),
    ("4", "L", "GET", "/mgmt/datastore-versions", "test_datastore_versions.py::TestCreate::test_of_a_new_datastore"),
    ("4", "L", "POST", "/mgmt/datastore-versions", "test_datastore_versions.py::TestCreate::test_the_answer_is_empty"),
    ("4", "L", "GET", "/mgmt/datastore-versions/{version_id}", "test_datastore_versions.py::test_index_and_show"),
    ("4", "L", "PATCH", "/mgmt/datastore-versions/{version_id}",
     "test_datastore_versions.py::TestEdit::test_only_what_is_named"),
    ("4", "L", "DELETE", "/mgmt/datastore-versions/{version_id}",
     "test_datastore_versions.py::TestDelete::test_with_what_belongs_to_it"),
    ("4", "K", "GET", "/mgmt/datastores/versions/{version_id}/parameters",
     "test_mgmt_parameters.py::test_index_and_show_have_the_deleted_ones"),
    ("4", "K", "POST", "/mgmt/datastores/versions/{version_id}/parameters",
     "test_mgmt_parameters.py::TestCreate::test_it_can_be_set_at_once"),
    ("4", "K", "GET", "/mgmt/datastores/versions/{version_id}/parameters/{name}",
     "test_mgmt_parameters.py::test_index_and_show_have_the_deleted_ones"),
    ("4", "K", "PUT", "/mgmt/datastores/versions/{version_id}/parameters/{name}",
     "test_mgmt_parameters.py::TestUpdate::test_type_and_bounds"),
    ("4", "K", "DELETE", "/mgmt/datastores/versions/{version_id}/parameters/{name}",
     "test_mgmt_parameters.py::TestDelete::test_it_cannot_be_set_any_more_and_comes_back"),
    ("4", "K", "GET", "/mgmt/quotas/{tenant}", "test_mgmt.py::TestQuotas::test_the_list_form"),
    ("4", "K", "PUT", "/mgmt/quotas/{tenant}", "test_mgmt.py::TestQuotas::test_what_is_set_holds"),
)
# Section, method and path of what clients can send and no server up to Mitaka had.
NEVER = (
    ("3.1", "GET", "/instances/{instance_id}/metadata"), ("3.1", "GET", "/instances/{instance_id}/metadata/key"),
    ("3.1", "POST", "/instances/{instance_id}/metadata/key"), ("3.1", "PUT", "/instances/{instance_id}/metadata/key"),
    ("3.1", "PATCH", "/instances/{instance_id}/metadata/key"),
    ("3.1", "DELETE", "/instances/{instance_id}/metadata/key"), ("3.1", "GET", "/instances/{instance_id}/ssl"),
    ("3.6", "POST", "/clusters/{cluster_id}/action"), ("4", "POST", "/mgmt/flavors"),
    ("4", "GET", "/mgmt/datastores/mysql/versions/5.7"), ("4", "GET", "/mgmt/datastore-versions/5.7/members"),
)


def name(row):
    return " ".join(row[:4])


def test_the_table_is_the_route_table():
    assert [(method, path) for _, _, method, path, _ in ROWS] == [
        (row.method, row.path.removeprefix("/{tenant_id}")) for row in api.ROUTES]


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_its_test_is_there_and_speaks_of_it(row):
    _section, _release, _method, path, test = row
    file, _, where = test.partition("::")
    found = importlib.import_module(f"tests.functional.{file.removesuffix('.py')}")
    for part in where.split("::"):
        found = getattr(found, part)
    assert callable(found)
    text = Path(__file__).with_name(file).read_text()
    for word in re.sub(r"{\w+}", "", path).strip("/").split("/"):
        assert word in text, f"{file} never says {word}"


@pytest.mark.parametrize(("section", "method", "path"), NEVER)
def test_what_no_server_ever_had_is_404(world, admin, section, method, path):
    admin(method, re.sub(r"{\w+}", "i", path), {} if method in ("POST", "PUT", "PATCH") else None, status=404)
