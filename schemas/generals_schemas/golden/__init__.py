"""Records written by every past version of a schema, kept for ever and decoded in the tests.

`<schema>.v<N>.bin` stands beside `<schema>.v<N>.json`, which says what it decodes to.
`python -m generals_schemas.golden` adds a pair for each schema whose fingerprint has none yet; existing files are never
changed.
"""
