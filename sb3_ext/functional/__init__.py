"""PPO's mathematics as pure functions: no framework, no state, no generators."""
