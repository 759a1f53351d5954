"""Bits per character of finished runs, their statistics, and the report."""
