"""Find the safety mechanisms that the files of a checkpoint show, and compare two checkpoints'.

Read only, nothing is executed, everything is bounded. What no file shows, above all whether the
weights refuse, is not found here: absence is unknown, never "none".
"""
