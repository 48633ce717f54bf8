"""Playing in a real window: the screen is read, the keyboard is used, the game tells its state.

For offline play on one's own machine, and nothing else: docs/osu-mania-live.md. Nothing is imported
here.

    errors      what goes wrong
    capture     the note area of the game's window as small grey frames
    desktop     windows, focus and keys, by platform; `x11` and `elsewhere` have them
    watchdog    a process that lifts the keys when the agent can't
    hands       the only way to a key: checks before, releases after
    messages    the JSON of tosu and gosumemory
    readers     threads that keep the newest state
    song_time   where the song is between two states
    refusals    when not to play
    ledger      judgements, combo and score as rewards
    pacing      steps at a fixed rate
    options     what can be chosen
    gear        everything that is in use at once
    env         OsuManiaLive-v0
"""
