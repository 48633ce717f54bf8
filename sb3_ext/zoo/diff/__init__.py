"""Two PPOs, or two saved models, held against each other: what differs first?"""
