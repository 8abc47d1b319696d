"""Every command of the two command line clients, with arguments that make sense on a system with an instance m1.

Only test_every_command.py reads this. In braces: facts that the test looks up before it runs the command. Later lines
may use what earlier ones made; everything that is made is removed again. Commands that the client has and that are not
here fail the test. ``admin:`` stands before those that an administrator gives.
"""
OPENSTACK = """
database flavor list
database flavor show {flavor}
database limit list
datastore list
datastore show mariadb
datastore version list mariadb
datastore version show 10.11 --datastore mariadb
admin: database quota show {project}
admin: database quota update {project} backups 40
admin: datastore version create 0.0 mariadb mariadb {image}
admin: datastore version set {spare_version} --image {image}
admin: datastore version delete {spare_version}
admin: datastore delete nosuch
database instance create c1 --flavor {flavor} --size 1
database instance list
database instance show m1
database instance update c1 --name c2
admin: database instance reset status {c2}
admin: database instance force delete {c2}
database instance create c3 --flavor {flavor} --size 1
database instance delete c3
database instance detach m1
database instance promote m1
database instance eject m1
admin: database instance reboot {m1}
database instance restart m1
database instance resize volume m1 2
database instance resize flavor m1 {larger}
database instance upgrade m1 {version}
admin: database instance rebuild {m1} {image}
database db create m1 films
database db list m1
database db delete m1 films
database user create m1 dave {password} --databases app
database user list m1
database user show m1 dave
database user show access m1 dave
database user revoke access m1 dave app
database user grant access m1 dave app
database user update attributes m1 dave --new_password {password}x
database user delete m1 dave
database root enable m1
database root show m1
database root disable m1
database configuration parameter list {version}
database configuration parameter show {version} max_connections
database configuration create g1 {{"max_connections":55}} --datastore mariadb --datastore-version 10.11
database configuration list
database configuration show {group}
database configuration set {group} {{"max_connections":56}}
database configuration parameter set {group} {{"max_connections":57}}
database configuration attach m1 {group}
database configuration instances {group}
database configuration detach m1
database configuration default m1
database configuration delete {group}
database backup strategy create --project-id {project} --swift-container database_backups
database backup strategy list
database backup strategy delete --project-id {project}
database backup create b1 --instance m1
database backup list
database backup list instance m1
database backup show {backup}
database backup delete {backup}
database backup execution delete {unknown}
database cluster create c1 mariadb 10.11 --instance flavor={flavor},volume=1
database cluster list
database cluster show {unknown}
database cluster list instances {unknown}
database cluster modules {unknown}
database cluster grow {unknown} --instance flavor={flavor},volume=1
database cluster shrink {unknown} {unknown}
database cluster upgrade {unknown} {version}
admin: database cluster reset status {unknown}
admin: database cluster force delete {unknown}
database cluster delete {unknown}
database log list m1
database log show m1 general
database log set m1 general --enable
database log set m1 general --publish
database log tail m1 general
database log save m1 general
database ssl show m1
database ssl enable m1 {unknown}
database ssl rollback m1
database ssl disable m1
"""

TROVE = """
datastore-list
datastore-show mariadb
datastore-version-list mariadb
datastore-version-show 10.11 --datastore mariadb
flavor-list
flavor-show {flavor}
limit-list
create c1 {flavor} --size 1
list
show m1
update c1 --name c2
delete c2
restart m1
resize-volume m1 3
resize-instance m1 {flavor}
detach-replica m1
promote-to-replica-source m1
eject-replica-source m1
database-create m1 films
database-list m1
database-delete m1 films
user-create m1 dave {password} --databases app
user-list m1
user-show m1 dave
user-show-access m1 dave
user-revoke-access m1 dave app
user-grant-access m1 dave app
user-update-attributes m1 dave --new_password {password}x
user-delete m1 dave
root-enable m1
root-show m1
root-disable m1
configuration-parameter-list {version}
configuration-parameter-show {version} max_connections
configuration-create g1 {{"max_connections":55}} --datastore mariadb --datastore_version 10.11
configuration-list
configuration-show {group}
configuration-patch {group} {{"max_connections":56}}
configuration-update {group} {{"max_connections":57}}
configuration-attach m1 {group}
configuration-instances {group}
configuration-detach m1
configuration-default m1
configuration-delete {group}
backup-create m1 b1
backup-list
backup-list-instance m1
backup-show {backup}
backup-copy b2 {backup}
backup-delete {backup}
cluster-create c1 mariadb 10.11 --instance flavor={flavor},volume=1
cluster-list
cluster-show {unknown}
cluster-instances {unknown}
cluster-grow {unknown} --instance flavor={flavor},volume=1
cluster-shrink {unknown} {unknown}
cluster-delete {unknown}
log-list m1
log-show m1 general
log-enable m1 general
log-publish m1 general
log-tail m1 general
log-save m1 general
log-discard m1 general
log-disable m1 general
metadata-create m1 key value
metadata-list m1
metadata-show m1 key
metadata-edit m1 key value
metadata-update m1 key key2 value
metadata-delete m1 key
module-create mod1 ping {file}
module-list
module-show {module}
module-update {module} --description changed
module-delete {module}
secgroup-list
secgroup-show {security_group}
secgroup-list-rules {security_group}
secgroup-add-rule {security_group} 10.0.0.0/8
secgroup-delete-rule {rule}
"""
