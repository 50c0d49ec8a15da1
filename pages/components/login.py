"""Who may look: nobody but this machine, unless logins are set up (docs/security.md).

Without `[auth]` in Streamlit's secrets there are no users, and the server has to listen on this
machine alone. With it every page asks for a login first. In doubt nothing is drawn.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit import config

from pages.components.problems import as_text

NO_LOGIN = "CRUCIBLE_NETWORK_WITHOUT_LOGIN"
SECTION = "crucible"
_OF_ALL = ("redirect_uri", "cookie_secret", "expose_tokens")


def require() -> None:
    """End the run of a page, with a sentence, unless whoever looks may see it."""
    if broken := _broken_secrets():
        _refuse(f"{broken} cannot be read, so nobody can be logged in. Correct the file, and "
                "restart Crucible.")  # fmt: skip
    secrets = _secrets()
    if "auth" not in secrets:
        if not listens_here_only() and os.environ.get(NO_LOGIN) != "1":
            _refuse(
                "Crucible listens on the network and has no logins, so it shows nothing. Set up "
                "[auth] as docs/security.md says, or start it without --server.address."
            )
        return
    if not st.user.get("is_logged_in"):
        _ask(secrets["auth"])
    if not is_allowed(st.user.to_dict(), secrets.get(SECTION, {})):
        st.error(
            f"{as_text(str(st.user.get('email') or 'This account'))} is not among those who may "
            "use this Crucible.", icon=":material/lock:",
        )  # fmt: skip
        st.button("Log out", on_click=st.logout)
        st.stop()


def draw() -> None:
    """Who is logged in, and the way out, at the foot of the menu; nothing without logins."""
    if not st.user.get("is_logged_in"):
        return
    with st.sidebar:
        st.caption(as_text(f"Logged in as {st.user.get('email') or st.user.get('name') or '?'}"))
        st.button("Log out", on_click=st.logout, key="log_out", type="tertiary")


def is_allowed(user: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """Whether a logged-in user is one of those who may come in.

    Args:
        user: the claims of the identity token.
        ours: the secrets' section `[crucible]`: `allowed_emails`, where everybody that the
            provider knows is not meant.
    """
    if "allowed_emails" not in ours:
        return True
    listed = ours["allowed_emails"]
    if isinstance(listed, str) or not hasattr(listed, "__iter__"):
        return False  # one address without brackets would be a list of letters
    email = str(user.get("email") or "").strip().casefold()
    proven = user.get("email_verified", True) not in (False, "false")
    return bool(email) and proven and email in {str(one).strip().casefold() for one in listed}


def listens_here_only() -> bool:
    """Whether the server's address can be reached from this machine alone."""
    address = str(config.get_option("server.address") or "")
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def providers(auth: Mapping[str, Any]) -> list[str | None]:
    """What `st.login` takes: None for the one provider, or the names of several."""
    named = [name for name, value in auth.items()
             if name not in _OF_ALL and isinstance(value, Mapping)]  # fmt: skip
    return ([None] if "client_id" in auth else []) + sorted(named)


def _ask(auth: Mapping[str, Any]) -> None:
    """The only thing that somebody without a login sees."""
    st.title("Crucible", anchor=False)
    st.markdown("Log in to see the models, merges and scores.")
    for name in providers(auth):
        label = "Log in" if name is None else f"Log in with {as_text(name)}"
        st.button(label, on_click=st.login, args=[name] if name else [], key=f"log_in_{name}")
    st.stop()


def _refuse(why: str) -> None:
    st.error(as_text(why), icon=":material/lock:")
    st.stop()


def _secrets() -> Mapping[str, Any]:
    return st.secrets if st.secrets.load_if_toml_exists() else {}


def _broken_secrets() -> str | None:
    """A file of secrets that is there and cannot be read: it may have held the logins."""
    if st.secrets.load_if_toml_exists():
        return None
    there = [file for file in config.get_option("secrets.files") if Path(file).exists()]
    return str(there[0]) if there else None
