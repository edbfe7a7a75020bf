"""What makes summaries, behind the port `Summariser`: sentences of the conversation, or a language model.

Nothing here knows Redis, a definition or an engine; who picks one is `sidecar.flush.summing`, and what they are
configured with is read in `sidecar.config.summarisers`.
"""
