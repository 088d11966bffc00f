"""The contracts: records, Avro schemas, topics, tile codes, actions, encodings."""
