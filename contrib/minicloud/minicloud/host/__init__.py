"""The root helper and its client: the only code that touches namespaces, loop devices, cgroups and nftables."""
