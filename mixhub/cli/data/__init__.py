"""`mixhub data …`: text, token shards, and what a run reads of them."""

from __future__ import annotations

from mixhub.cli.common.groups import group
from mixhub.cli.data.inspect import inspect
from mixhub.cli.data.pack import pack

app = group("Pack text into token shards, and inspect them.")
app.command()(pack)
app.command()(inspect)
