"""Rules, maps, fog, policies, environments and the engine worker."""
