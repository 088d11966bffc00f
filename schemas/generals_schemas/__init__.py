"""The contracts: Avro schemas, topics, tile codes, record codecs."""
