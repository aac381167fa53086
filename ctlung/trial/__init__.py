"""A whole trial: manifest, batch, results table, cohort."""
