"""RLGym's own class around parts of ours: cars that count, and are 1, 2, 3, 1, ... an episode."""

import numpy as np
from rlgym import api


class Counts(api.TransitionEngine):
    def __init__(self):
        self.size, self._state = 0, {}

    agents = property(lambda self: list(self._state))
    max_num_agents = property(lambda self: 1337)
    state = property(lambda self: self._state)
    config = property(lambda self: {}, lambda self, value: None)

    def create_base_state(self):
        self.size = self.size % 3 + 1
        return {f"blue-{i}": 0 for i in range(self.size)}

    def set_state(self, desired_state, shared_info):
        self._state = dict(desired_state)
        return self._state

    def step(self, actions, shared_info):
        for agent, action in actions.items():
            assert action.shape == (1,)
            self._state[agent] += int(action[0])
        return self._state

    def close(self):
        pass


class Sees(api.ObsBuilder):
    """Says -1 before the first reset, as DefaultObs does."""

    seen = -1

    def get_obs_space(self, agent):
        return "real", self.seen

    def reset(self, agents, initial_state, shared_info):
        self.seen = 2

    def build_obs(self, agents, state, shared_info):
        return {agent: np.array([state[agent], len(agents)], np.float64) for agent in agents}


class Acts(api.ActionParser):
    def get_action_space(self, agent):
        return "discrete", 5

    def reset(self, agents, initial_state, shared_info):
        pass

    def parse_actions(self, actions, state, shared_info):
        return actions


class Pays(api.RewardFunction):
    def reset(self, agents, initial_state, shared_info):
        pass

    def get_rewards(self, agents, state, is_terminated, is_truncated, shared_info):
        return {agent: np.float32(state[agent]) for agent in agents}


class Ends(api.DoneCondition):
    """Once a car has counted so far."""

    def __init__(self, at):
        self.at = at

    def reset(self, agents, initial_state, shared_info):
        pass

    def is_done(self, agents, state, shared_info):
        over = max(state.values()) >= self.at
        return {agent: np.bool_(over) for agent in agents}


class LeavesAsItIs(api.StateMutator):
    def apply(self, state, shared_info):
        pass


def rlgym_toy():
    """A match that is truncated when a car has counted to 4."""
    return api.RLGym(LeavesAsItIs(), Sees(), Acts(), Pays(), Counts(), Ends(99), Ends(4))
