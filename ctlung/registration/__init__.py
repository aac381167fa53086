"""Follow-up onto baseline, lung by lung."""
