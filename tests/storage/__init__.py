"""Claims, leases, copies, outages: what workers may rely on."""
