"""The effects of flows, one module per service they act on. Every function may be repeated: it looks before it acts."""
