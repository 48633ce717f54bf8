"""A small osu!mania client for people and agents: `python -m envs.osu_mania.client MAP.osu`.

It opens a window, plays maps by the simulator's rules from the keyboard's own events, and serves
the game's state on the loopback interface as tosu and gosumemory do. docs/osu-mania-live.md tells
how to use it. Nothing is imported here.

    identity    by what its window is known
    song        the clock of a song, and its click track
    game        menu, play and results: what happens, without a window
    report      the game at one moment, for whoever asks
    messages    a report as the JSON of tosu v1, tosu v2 and gosumemory
    server      the HTTP and WebSocket server
    drawing     the picture
    window      the window and its events
"""
