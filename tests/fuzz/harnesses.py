"""All harnesses, by name."""

from tests.fuzz.readers import command, compressed, dump, frames, har, inspection, packets, recordings, tls

READERS = {
    one.READER.name: one.READER
    for one in (packets, tls, frames, dump, har, recordings, compressed, inspection, command)
}
