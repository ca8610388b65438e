"""Drives the core: lanes, the turn, the recorder, and what user code sees."""
