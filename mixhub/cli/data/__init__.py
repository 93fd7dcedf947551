"""`mixhub data …`: text, token shards, and what a run reads of them."""

from __future__ import annotations

from mixhub.cli.common.groups import group
from mixhub.cli.data.download import download
from mixhub.cli.data.exports import export
from mixhub.cli.data.imports import import_
from mixhub.cli.data.inspect import inspect
from mixhub.cli.data.pack import pack
from mixhub.cli.data.seen import seen
from mixhub.cli.data.verify import verify

app = group("Download and pack text, show what runs read of it, verify tokens, exchange them with other tools.")
app.command()(download)
app.command()(pack)
app.command()(inspect)
app.command()(seen)
app.command()(verify)
app.command("import")(import_)
app.command()(export)
