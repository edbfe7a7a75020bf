"""The Temporal flush engine, and the only importer of temporalio.

`starter` starts the workflow, `workflow` orders the steps, `activities` run them, `worker` polls for both, and
`messages` is what travels between the four. The steps themselves are those of `sidecar.flush`. Importing any of
these modules creates no thread: Temporal's runtime must come after a fork.
"""
