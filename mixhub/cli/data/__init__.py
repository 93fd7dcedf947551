"""`mixhub data …`: text, token shards, and what a run reads of them."""

from __future__ import annotations

from mixhub.cli.common.groups import group
from mixhub.cli.data.inspect import inspect
from mixhub.cli.data.pack import pack
from mixhub.cli.data.verify import verify

app = group("Pack text into token shards, inspect and verify them.")
app.command()(pack)
app.command()(inspect)
app.command()(verify)
