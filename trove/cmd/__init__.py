"""Entry points: each module has one ``main`` that parses options, sets up logging, builds the service and serves."""
