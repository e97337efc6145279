"""Packet captures: pcap and pcapng, link layer, IP, TCP."""
