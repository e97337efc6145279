"""All harnesses, by name."""

from tests.fuzz.readers import command, compressed, dump, har, inspection, packets, recordings, streams

READERS = {
    one.name: one
    for one in (
        packets.READER, streams.TLS, streams.FRAMES, dump.READER, har.READER, recordings.READER, compressed.READER,
        inspection.READER, command.READER,
    )
}  # fmt: skip
