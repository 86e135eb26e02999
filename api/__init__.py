"""The REST server of vdb; installed as `vdb_api`. `vdb serve` starts it through `vdb_api.server.serve`."""
