#!/bin/sh
# The parent of one guest's init: starts it, starts it again when the guest reboots, keeps its exit status.
# Started by host/power.py, outlives it, and holds (as an inherited descriptor) the lock that says "this guest runs".
# Usage: waiter.sh GUEST_DIR CLOUD_NETNS CLOUD_LINK LAUNCHER...
guest=$1 netns=$2 link=$3
shift 3
trap : HUP INT TERM

while :; do
    unshare --pid --fork "$@"
    status=$?
    # The kernel reports reboot(2) in a pid namespace as death by SIGHUP, power-off as death by SIGINT.
    [ "$status" = 129 ] || break
done
echo "$status" >"$guest/exit"
# A machine without power does not answer.
exec ip -n "$netns" link set "$link" down
