"""The product on one machine: what tools/quickstart, tools/test and tools/bench have in common.

One module per concern; nothing here is imported by trove or minicloud.
"""
