"""Webhooks: transitions of accounts' alarms, posted to receivers of the configuration, at least once each."""
