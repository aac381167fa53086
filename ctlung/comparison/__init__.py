"""Baseline against follow-up: may they be compared, what changed, is it more than noise."""
