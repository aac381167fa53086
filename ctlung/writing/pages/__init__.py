"""HTML pages that need nothing but a browser: one per scan, one per comparison."""
