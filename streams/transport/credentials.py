"""How Faust's own clients connect: the same arguments as those of every other client, as Faust wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials

from streams.kafka.connection import client_arguments

if TYPE_CHECKING:
    from faust.types.auth import CredentialsT

    from streams.settings.kafka_client import Bootstrap


def faust_credentials(bootstrap: Bootstrap) -> CredentialsT | None:
    """Make Faust's credentials; None where brokers are spoken to in clear and ask for no name.

    Raises:
        BadSettings: A file cannot be read, or holds no certificate, key or secret.
    """
    arguments = client_arguments(bootstrap)
    context = arguments.get("ssl_context")
    if "sasl_oauth_token_provider" in arguments:
        return OAuthCredentials(oauth_cb=arguments["sasl_oauth_token_provider"], ssl_context=context)
    if "sasl_mechanism" in arguments:
        return SASLCredentials(
            username=arguments["sasl_plain_username"],
            password=arguments["sasl_plain_password"],
            mechanism=arguments["sasl_mechanism"],
            ssl_context=context,
        )
    return None if context is None else SSLCredentials(context)
