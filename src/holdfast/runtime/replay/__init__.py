"""Playback: a recorded run is driven again by the code of today, from what the record says that the outside answered.

Nothing here can reach anything: no tool is imported, the planner and the outside are the tape.
"""
