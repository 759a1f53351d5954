"""Bits per character of finished runs, statistics, figures and the report."""
