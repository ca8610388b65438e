"""The pure heart of qtui: no clock, thread, loop, disk or screen. Time is always an argument."""
