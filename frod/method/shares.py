"""The share of parameters that train, by every convention in which such shares are quoted."""


def shares(*, adapter: int, head: int, base: int, added: int | None = None) -> dict[str, float]:
    """Fractions by convention.

    Parameters
    ----------
    adapter, head : int
        What trains outside the head and in it.
    base : int
        The frozen model without its head.
    added : int, optional
        What the adapter adds to the base: all of it, or nothing in full fine-tuning, which trains the base itself.
    """
    trained, body = adapter + head, base + (adapter if added is None else added)
    return {
        "adapter/base": adapter / base,
        "adapter/(base+adapter)": adapter / body,
        "adapter/(base+head)": adapter / (base + head),
        "(adapter+head)/base": trained / base,
        "(adapter+head)/(base+head)": trained / (base + head),
        "(adapter+head)/(base+adapter+head)": trained / (body + head),
        # What the released scripts print: the head counts as it was and as it is trained.
        "(adapter+head)/(base+adapter+2head)": trained / (body + 2 * head),
    }


def in_words(convention: str) -> str:
    """A convention as a table's title."""
    named = convention.replace("(base+adapter+head)", "all").replace("(base+adapter+2head)", "all, head twice")
    return named.replace("/", " / ").replace("+", " + ")
