"""Pictures of the worlds with pygame-ce, imported when the first frame is drawn.

A renderer is a class named by its world's `renderer` string. It has no window and no clock: those
are `envs.rendering.screen`'s, which also writes the caption.
"""
