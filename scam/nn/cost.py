# SPDX-License-Identifier: Apache-2.0
"""What each way of computing one attention costs: the cost model behind ``fused``."""

from typing import Literal

from scam.nn.free_sizes import is_free

Form = Literal["projected", "absorbed_queries", "absorbed_keys", "absorbed_keys_and_values"]
"""Where the projections are applied. All forms compute the same.

projected: queries and keys are both brought to the attention width, as the paper writes it.
absorbed_queries: the key projection acts on the queries, the value projection on what they read;
    keys are used as they are. For few queries (latents) and many keys (pixels).
absorbed_keys: the query projection acts on the keys. For many queries and few keys.
absorbed_keys_and_values: the output projection and the head behind it act on the values too, so
    queries are never projected at all.
"""
FOLDED: Form = "absorbed_keys_and_values"
TRACED_SIZE = 64 * 64
"""What a number of elements counts as in a graph that leaves it free."""


def attention_cost(
    queries: int,
    keys: int,
    pairs: int,
    query_dim: int,
    key_dim: int,
    attention_dim: int,
    heads: int,
    head_dim: int,
) -> dict[Form, int]:
    """Multiply-adds of one image, for every form.

    Args:
        queries: number of queries.
        keys: number of keys.
        pairs: (query, key) pairs of equal label.
        query_dim: width of queries, in and out.
        key_dim: width of keys.
        attention_dim: inner width d over all heads.
        heads: attention heads; an absorbed query or key has its full width in each.
        head_dim: width of the linear head behind the output projection, 0 if there is none.
    """
    keys_values = 2 * keys * key_dim * attention_dim
    project_query = queries * query_dim * attention_dim
    behind = queries * query_dim * (attention_dim + head_dim)
    return {
        "projected": project_query + keys_values + 2 * pairs * attention_dim + behind,
        "absorbed_queries": project_query
        + 2 * queries * attention_dim * key_dim
        + 2 * pairs * heads * key_dim
        + behind,
        "absorbed_keys": keys_values
        + keys * attention_dim * query_dim
        + pairs * (heads * query_dim + attention_dim)
        + behind,
        "absorbed_keys_and_values": keys_values
        + keys * attention_dim * (query_dim + head_dim)
        + attention_dim * query_dim * head_dim
        + pairs * heads * (query_dim + head_dim),
    }


def cheapest(cost: dict[Form, int], *, head: bool = False) -> Form:
    """The form that costs least; the last one only where a linear ``head`` follows."""
    return min((form for form in cost if head or form != FOLDED), key=lambda form: cost[form])


def weighed(count: int) -> int:
    """``count``, or ``TRACED_SIZE`` where torch.compile or torch.export leave it free.

    Comparing a free number would bind the graph to a range of it.
    """
    return TRACED_SIZE if is_free(count) else count
